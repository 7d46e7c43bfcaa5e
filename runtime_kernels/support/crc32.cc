#include "support/crc32.h"

#include <array>
#include <cstring>

namespace spa {
namespace {

// Eight bytes a step: table k holds the remainder of a byte followed by k zero
// bytes (Kounavis and Berry, "A Systematic Approach to Building High
// Performance Software-Based CRC Generators", ISCC 2005).
constexpr std::size_t kStep = 8;
using Tables = std::array<std::array<std::uint32_t, 256>, kStep>;

constexpr Tables MakeTables() {
  constexpr std::uint32_t kReversedPolynomial = 0xEDB88320u;
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t rest = byte;
    for (int bit = 0; bit < 8; ++bit) {
      rest = (rest >> 1) ^ ((rest & 1u) != 0 ? kReversedPolynomial : 0u);
    }
    tables[0][byte] = rest;
  }
  for (std::size_t k = 1; k < kStep; ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t shorter = tables[k - 1][byte];
      tables[k][byte] = (shorter >> 8) ^ tables[0][shorter & 0xFFu];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

}  // namespace

std::uint32_t Crc32(std::uint32_t crc, const unsigned char* data,
                    std::size_t size) {
  crc = ~crc;
  for (; size >= kStep; data += kStep, size -= kStep) {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    std::memcpy(&low, data, sizeof(low));
    std::memcpy(&high, data + sizeof(low), sizeof(high));
    low ^= crc;
    crc = kTables[7][low & 0xFFu] ^ kTables[6][(low >> 8) & 0xFFu] ^
          kTables[5][(low >> 16) & 0xFFu] ^ kTables[4][low >> 24] ^
          kTables[3][high & 0xFFu] ^ kTables[2][(high >> 8) & 0xFFu] ^
          kTables[1][(high >> 16) & 0xFFu] ^ kTables[0][high >> 24];
  }
  for (; size > 0; ++data, --size) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ *data) & 0xFFu];
  }
  return ~crc;
}

}  // namespace spa
