#include "kernels/packed/header.h"

#include <cstring>

#include "abi/failure.h"

namespace spa {
namespace {

constexpr std::uint16_t kVersion = 2;
constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kPadding = 64;
constexpr std::uint32_t kMostColumns = 0x7FFFFFFF;
constexpr std::uint64_t kMostBlocks = 0xFFFFFFFF;

// Sections may lie anywhere before they are checked, so nothing points there.
Packed WithoutSections(const PackedHeader& header) {
  return {Kind(header.kind),
          ValueType(header.value_type),
          header.index_size,
          header.rows,
          header.columns,
          header.block_rows,
          header.chunk_columns,
          header.blocks,
          nullptr,
          nullptr,
          nullptr};
}

bool IsOneOf(std::uint64_t number, std::initializer_list<std::uint64_t> list) {
  for (const std::uint64_t one : list) {
    if (number == one) return true;
  }
  return false;
}

void CheckKind(const PackedHeader& header) {
  const bool blocks = header.kind == std::uint16_t(Kind::kBlocks);
  const bool segments = header.kind == std::uint16_t(Kind::kSegments);
  if (!IsOneOf(header.kind, {1, 2, 3})) {
    RefusePacked("kind is " + std::to_string(header.kind) +
                 ", expected 1, 2 or 3");
  }
  if (!blocks) ExpectField("block rows", header.block_rows, 1);
  if (!IsOneOf(header.block_rows, {1, 2, 4, 8, 16, 32})) {
    RefusePacked("block rows are " + std::to_string(header.block_rows) +
                 ", expected 1, 2, 4, 8, 16 or 32");
  }
  ExpectField("block columns", header.block_columns,
              segments ? kSegmentColumns : 1);
}

void CheckTypes(const PackedHeader& header) {
  if (!IsOneOf(header.value_type, {1, 2})) {
    RefusePacked("value type is " + std::to_string(header.value_type) +
                 ", expected 1 or 2");
  }
  if (header.kind == std::uint16_t(Kind::kBitmask)) {
    ExpectField("index size", header.index_size, 0);
    return;
  }
  const std::uint64_t places =
      (std::uint64_t{header.columns} + header.block_columns - 1) /
      header.block_columns;
  ExpectField("index size", header.index_size, places <= 65536 ? 2 : 4);
}

void CheckShape(const PackedHeader& header) {
  if (header.rows == 0 || header.columns == 0 ||
      header.columns > kMostColumns || header.rows > kMostColumns) {
    RefusePacked("shape (" + std::to_string(header.rows) + ", " +
                 std::to_string(header.columns) +
                 ") is empty or has a length above 2^31 - 1");
  }
  if (header.kind != std::uint16_t(Kind::kBlocks)) {
    ExpectField("chunk columns", header.chunk_columns, header.columns);
  }
  if (header.chunk_columns == 0 || header.chunk_columns > header.columns) {
    RefusePacked("chunk columns are " + std::to_string(header.chunk_columns) +
                 " of " + std::to_string(header.columns));
  }
  if (header.blocks > kMostBlocks) {
    RefusePacked(std::to_string(header.blocks) + " blocks do not fit 32 bits");
  }
}

void CheckZeros(const PackedHeader& header) {
  ExpectField("reserved field", header.zero_22, 0);
  ExpectField("reserved field", header.zero_28, 0);
  for (const unsigned char byte : header.zeros_76) {
    ExpectField("reserved field", byte, 0);
  }
}

// Returns the end of the section. No product or sum here can overflow: there
// are at most 2^32 elements of at most 128 bytes, or 2^31 rows of 2^27 words.
std::uint64_t CheckSection(const char* name, std::uint64_t offset,
                           std::uint64_t bytes, std::uint64_t previous_end,
                           std::uint64_t total_size) {
  if (offset % kAlignment != 0) {
    RefusePacked(std::string(name) + " start at " + std::to_string(offset) +
                 ", not a multiple of " + std::to_string(kAlignment));
  }
  if (offset < previous_end || offset > total_size ||
      bytes > total_size - offset) {
    RefusePacked(std::string(name) + " (" + std::to_string(bytes) +
                 " bytes at offset " + std::to_string(offset) +
                 ") do not fit between byte " + std::to_string(previous_end) +
                 " and the end at " + std::to_string(total_size));
  }
  return offset + bytes;
}

std::uint64_t IndexBytes(const Packed& weight) {
  return weight.kind == Kind::kBitmask
             ? std::uint64_t{weight.rows} * MaskWords(weight) * 2
             : std::uint64_t{weight.blocks} * weight.index_size;
}

std::uint64_t ValueBytes(const Packed& weight) {
  const std::uint64_t size = weight.value_type == ValueType::kFloat32 ? 4 : 2;
  const std::uint64_t columns =
      weight.kind == Kind::kSegments ? kSegmentColumns : 1;
  return std::uint64_t{weight.blocks} * weight.block_rows * columns * size;
}

void CheckLayout(const PackedHeader& header, const Packed& weight) {
  const std::uint64_t starts =
      std::uint64_t{Chunks(weight)} * (RowBlocks(weight) + 1);
  // Before the product with 4: both factors may be near 2^31.
  if (starts > header.total_size / sizeof(std::uint32_t)) {
    RefusePacked(std::to_string(starts) + " starts do not fit " +
                 std::to_string(header.total_size) + " bytes");
  }
  std::uint64_t end = sizeof(PackedHeader);
  end = CheckSection("starts", header.starts, starts * sizeof(std::uint32_t),
                     end, header.total_size);
  end = CheckSection("indices", header.indices, IndexBytes(weight), end,
                     header.total_size);
  end = CheckSection("values", header.values, ValueBytes(weight), end,
                     header.total_size);
  ExpectField("end of values", end + kPadding, header.total_size);
}

}  // namespace

void RefusePacked(const std::string& problem) {
  throw InvalidInput("packed weight: " + problem);
}

void ExpectField(const char* what, std::uint64_t found,
                 std::uint64_t expected) {
  if (found == expected) return;
  RefusePacked(std::string(what) + " is " + std::to_string(found) +
               ", expected " + std::to_string(expected));
}

PackedHeader ReadPackedHeader(const unsigned char* bytes, std::size_t size) {
  PackedHeader header{};
  if (size < sizeof(header)) {
    RefusePacked(std::to_string(size) +
                 " bytes are too few for the header of " +
                 std::to_string(sizeof(header)));
  }
  std::memcpy(&header, bytes, sizeof(header));
  if (std::memcmp(header.magic, "SPAW", sizeof(header.magic)) != 0) {
    RefusePacked("does not start with the magic 'SPAW'");
  }
  ExpectField("version", header.version, kVersion);
  ExpectField("total size", header.total_size, size);
  CheckKind(header);
  CheckShape(header);
  CheckTypes(header);
  CheckZeros(header);
  CheckLayout(header, WithoutSections(header));
  return header;
}

Packed ViewOf(const PackedHeader& header, const unsigned char* bytes) {
  Packed weight = WithoutSections(header);
  weight.starts = bytes + header.starts;
  weight.indices = bytes + header.indices;
  weight.values = bytes + header.values;
  return weight;
}

}  // namespace spa
