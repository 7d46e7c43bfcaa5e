// Small kernels for the emulator: each is right, or wrong in one way that the
// emulator must find. Prints what came of the case that the argument names.

#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "simt/simt.h"

namespace {

using namespace spa::simt;

std::vector<float> results;

unsigned Lane() { return LaneOf(ThreadX()); }

std::uint32_t* Words() {
  return reinterpret_cast<std::uint32_t*>(SharedMemory());
}

// Every thread writes a word; its neighbour in the next warp reads it.
template <bool kWaits>
void PassOn() {
  StoreShared(Words() + ThreadX(), ThreadX());
  if (kWaits) SyncBlock();
  const unsigned other = (ThreadX() + kLanes) % BlockSize();
  if (LoadShared(Words() + other) != other)
    throw std::runtime_error("what was passed on has not arrived");
}

// The same within a warp.
template <bool kWaits>
void PassOnInWarp() {
  StoreShared(Words() + ThreadX(), ThreadX());
  if (kWaits) SyncWarp();
  const unsigned other = ThreadX() ^ 1;
  if (LoadShared(Words() + other) != other)
    throw std::runtime_error("what was passed on has not arrived");
}

// A place is used again; its readers of another warp may not be done.
template <bool kWaits>
void WriteAgain() {
  if (ThreadX() == 0) StoreShared(Words(), 1u);
  SyncBlock();
  LoadShared(Words());
  if (kWaits) SyncBlock();
  if (ThreadX() == BlockSize() - 1) StoreShared(Words(), 2u);
}

void BothWrite() {
  if (Lane() == 0) StoreShared(Words(), ThreadX());
}

void ShuffleIsNoBarrier() {
  StoreShared(Words() + ThreadX(), ThreadX());
  Broadcast(0, 0);
  LoadShared(Words() + (ThreadX() ^ 1));
}

void SomeStayAway() {
  if (ThreadX() < kLanes) SyncBlock();
}

void BesideShared() { StoreShared(Words() + 4096, 0u); }

void Misaligned() {
  LoadShared(reinterpret_cast<const Words4*>(SharedMemory() + 8));
}

alignas(16) std::uint32_t source[4 * 64];

template <bool kWaits>
void Fetch() {
  CopyAsync<16>(Words() + 4 * ThreadX(), source + 4 * ThreadX(), true);
  CommitCopies();
  if (kWaits) WaitForCopies(0);
  if (LoadShared(Words() + 4 * ThreadX()) != 4 * ThreadX()) {
    throw std::runtime_error("the copy has not arrived");
  }
}

// Only the older of two copies is waited for.
void FetchInTurn() {
  for (unsigned i = 0; i < 2; ++i) {
    CopyAsync<4>(Words() + 2 * ThreadX() + i, source + i, i == 0);
    CommitCopies();
  }
  WaitForCopies(1);
  if (LoadShared(Words() + 2 * ThreadX()) != 0) {
    throw std::runtime_error("the first copy has not arrived");
  }
  if (LoadShared(Words() + 2 * ThreadX() + 1) != 0xFFFFFFFF) {
    throw std::runtime_error("the second copy has arrived");
  }
  WaitForCopies(0);
  if (LoadShared(Words() + 2 * ThreadX() + 1) != 0) {
    throw std::runtime_error("what is not real is not 0");
  }
}

// Row r of four matrices below each other holds 8 r to 8 r + 7.
template <bool kTransposed>
void Matrices() {
  auto* halves = reinterpret_cast<std::uint16_t*>(SharedMemory());
  for (unsigned i = 0; i < 8; ++i) {
    StoreShared(halves + 8 * ThreadX() + i,
                static_cast<std::uint16_t>(8 * ThreadX() + i));
  }
  SyncWarp();
  std::uint32_t r[4];
  if (kTransposed) {
    LoadMatricesTransposed(r, halves + 8 * ThreadX());
  } else {
    LoadMatrices(r, halves + 8 * ThreadX());
  }
  for (unsigned j = 0; j < 4; ++j) {
    const unsigned place = 2 * (4 * ThreadX() + j);
    results[place] = static_cast<float>(r[j] & 0xFFFF);
    results[place + 1] = static_cast<float>(r[j] >> 16);
  }
}

// Words of lane after lane, from the command line.
std::vector<unsigned> operands;

void Product() {
  Words4 a;
  std::memcpy(&a, &operands[Lane() * 4], sizeof(a));
  const std::uint32_t* b = &operands[128 + Lane() * 2];
  float d[4] = {1, 2, 3, 4};
  Multiply<Float16>(d, a, b[0], b[1]);
  std::memcpy(&results[Lane() * 4], d, sizeof(d));
}

template <unsigned kSelector>
void SparseProduct() {
  Words4 a;
  std::memcpy(&a, &operands[Lane() * 4], sizeof(a));
  std::uint32_t b[4];
  std::memcpy(b, &operands[128 + Lane() * 4], sizeof(b));
  float d[4] = {1, 2, 3, 4};
  MultiplySparse<Bfloat16, kSelector>(d, a, b, operands[256 + Lane()]);
  std::memcpy(&results[Lane() * 4], d, sizeof(d));
}

void Shuffles() {
  const unsigned lane = Lane();
  results[lane] = static_cast<float>(ShuffleUp(lane, 3));
  results[32 + lane] = ShuffleXor(static_cast<float>(lane), 5);
  results[64 + lane] = static_cast<float>(Broadcast(lane, 7));
}

struct Case {
  void (*entry)();
  unsigned threads;
};

const std::map<std::string, Case> kCases = {
    {"passed on", {PassOn<true>, 64}},
    {"passed on too early", {PassOn<false>, 64}},
    {"passed on in a warp", {PassOnInWarp<true>, 64}},
    {"passed on too early in a warp", {PassOnInWarp<false>, 64}},
    {"written again", {WriteAgain<true>, 64}},
    {"written again too early", {WriteAgain<false>, 64}},
    {"written by two", {BothWrite, 64}},
    {"a shuffle is no barrier", {ShuffleIsNoBarrier, 32}},
    {"a barrier that some avoid", {SomeStayAway, 64}},
    {"beside shared memory", {BesideShared, 32}},
    {"misaligned", {Misaligned, 32}},
    {"half a warp", {SyncWarp, 16}},
    {"fetched", {Fetch<true>, 64}},
    {"fetched and not awaited", {Fetch<false>, 64}},
    {"fetched in turn", {FetchInTurn, 64}},
    {"matrices", {Matrices<false>, 32}},
    {"matrices transposed", {Matrices<true>, 32}},
    {"product", {Product, 32}},
    {"sparse product 0", {SparseProduct<0>, 32}},
    {"sparse product 1", {SparseProduct<1>, 32}},
    {"shuffles", {Shuffles, 32}},
};

void (*chosen)() = nullptr;

}  // namespace

int main(int count, char** arguments) {
  const Case& found = kCases.at(arguments[1]);
  for (int i = 2; i < count; ++i) {
    operands.push_back(
        static_cast<unsigned>(std::stoul(arguments[i], nullptr, 16)));
  }
  for (unsigned i = 0; i < 4 * 64; ++i) source[i] = i;
  results.assign(256, 0);
  chosen = found.entry;
  try {
    Emulate([](const void*) { chosen(); }, nullptr, 2, found.threads, 4096);
  } catch (const std::runtime_error& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
  for (const float number : results) std::printf("%g ", number);
  return 0;
}
