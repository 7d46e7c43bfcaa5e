#include "simt/shadow.h"

#include <stdexcept>
#include <string>

#include "simt/simt.h"

namespace spa::simt {
namespace {

bool SameWarp(const Moment& one, const Moment& other) {
  return one.thread / kLanes == other.thread / kLanes;
}

// Whether a barrier lies between two moments of different threads.
bool IsApart(const Moment& before, const Moment& now) {
  if (before.block_barriers != now.block_barriers) return true;
  return SameWarp(before, now) && before.warp_barriers != now.warp_barriers;
}

[[noreturn]] void ThrowRace(const char* what, std::size_t at,
                            const Moment& before, const Moment& now) {
  throw std::runtime_error(
      "race in shared memory at byte " + std::to_string(at) + ": thread " +
      std::to_string(now.thread) + " " + what + " thread " +
      std::to_string(before.thread) + " with no barrier in between");
}

}  // namespace

Shadow::Shadow(const unsigned char* start, std::size_t bytes)
    : start_(start), units_((bytes + kUnit - 1) / kUnit) {}

Shadow::Unit* Shadow::UnitsOf(const void* at, std::size_t bytes) {
  const auto offset =
      static_cast<std::size_t>(static_cast<const unsigned char*>(at) - start_);
  const std::size_t end = units_.size() * kUnit;
  if (offset > end || bytes > end - offset || offset % kUnit != 0) {
    throw std::runtime_error("an access of " + std::to_string(bytes) +
                             " bytes at " + std::to_string(offset) +
                             " of shared memory of " + std::to_string(end));
  }
  return units_.data() + offset / kUnit;
}

void Shadow::Read(const void* from, std::size_t bytes, const Moment& now) {
  Unit* units = UnitsOf(from, bytes);
  for (std::size_t i = 0; i * kUnit < bytes; ++i) {
    Unit& unit = units[i];
    if (unit.writer.thread != kNobody && unit.writer.thread != now.thread &&
        !IsApart(unit.writer, now)) {
      ThrowRace("reads what was written by",
                static_cast<std::size_t>(units - units_.data() + i) * kUnit,
                unit.writer, now);
    }
    const bool is_new = unit.reader.thread == kNobody ||
                        unit.reader.block_barriers != now.block_barriers;
    unit.read_by_warps =
        !is_new && (unit.read_by_warps || !SameWarp(unit.reader, now));
    unit.reader = now;
  }
}

void Shadow::Write(const void* to, std::size_t bytes, const Moment& now) {
  Unit* units = UnitsOf(to, bytes);
  for (std::size_t i = 0; i * kUnit < bytes; ++i) {
    Unit& unit = units[i];
    const auto at = static_cast<std::size_t>(units - units_.data() + i) * kUnit;
    if (unit.writer.thread != kNobody && unit.writer.thread != now.thread &&
        !IsApart(unit.writer, now)) {
      ThrowRace("writes what was written by", at, unit.writer, now);
    }
    if (unit.reader.thread != kNobody &&
        unit.reader.block_barriers == now.block_barriers &&
        (unit.read_by_warps ||
         (unit.reader.thread != now.thread && !IsApart(unit.reader, now)))) {
      ThrowRace("writes what was read by", at, unit.reader, now);
    }
    unit.writer = now;
    unit.reader.thread = kNobody;
    unit.read_by_warps = false;
  }
}

}  // namespace spa::simt
