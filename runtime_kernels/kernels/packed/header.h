// The header of a packed matrix, and the checks that need nothing else.

#ifndef SPA_KERNELS_PACKED_HEADER_H_
#define SPA_KERNELS_PACKED_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/packed/packed.h"

namespace spa {

struct PackedHeader {
  char magic[4];
  std::uint16_t version;
  std::uint16_t kind;
  std::uint32_t rows;
  std::uint32_t columns;
  std::uint16_t block_rows;
  std::uint16_t block_columns;
  std::uint8_t value_type;
  std::uint8_t index_size;
  std::uint16_t zero_22;
  std::uint32_t chunk_columns;
  std::uint32_t zero_28;
  std::uint64_t blocks;
  std::uint64_t starts;
  std::uint64_t indices;
  std::uint64_t values;
  std::uint64_t total_size;
  std::uint32_t crc;
  unsigned char zeros_76[52];
};
static_assert(sizeof(PackedHeader) == 128, "the header has no padding");

const char* NameOf(ValueType type);

[[noreturn]] void RefusePacked(const std::string& problem);

void ExpectField(const char* what, std::uint64_t found, std::uint64_t expected);

// Returns a header whose fields agree with each other and whose sections lie
// within `size` bytes.
PackedHeader ReadPackedHeader(const unsigned char* bytes, std::size_t size);

// The header as kernels take it, with the sections' places.
Packed ViewOf(const PackedHeader& header, const unsigned char* bytes);

}  // namespace spa

#endif  // SPA_KERNELS_PACKED_HEADER_H_
