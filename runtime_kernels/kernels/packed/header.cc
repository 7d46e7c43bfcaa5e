#include "kernels/packed/header.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>

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
          header.block_columns,
          header.chunk_columns,
          header.blocks,
          nullptr,
          nullptr,
          nullptr};
}

using Sizes = std::initializer_list<std::uint16_t>;

bool IsOneOf(std::uint16_t number, Sizes sizes) {
  return std::find(sizes.begin(), sizes.end(), number) != sizes.end();
}

void CheckBlock(const PackedHeader& header, Sizes rows, Sizes columns) {
  const std::string blocks =
      "blocks of kind " + std::to_string(header.kind) + " have ";
  if (!IsOneOf(header.block_rows, rows)) {
    RefusePacked(blocks + std::to_string(header.block_rows) + " rows");
  }
  if (!IsOneOf(header.block_columns, columns)) {
    RefusePacked(blocks + std::to_string(header.block_columns) + " columns");
  }
}

void CheckKind(const PackedHeader& header) {
  switch (Kind(header.kind)) {
    case Kind::kBlocks:
      return CheckBlock(header, {1, 2, 4, 8, 16, 32}, {1});
    case Kind::kBitmask:
      return CheckBlock(header, {1}, {1});
    case Kind::kSegments:
      return CheckBlock(header, {1}, {kSegmentColumns});
    case Kind::kTiles:
      return CheckBlock(header, {16, 32, 64}, {16, 32, 64});
    case Kind::kTwoOfFour:
      return CheckBlock(header, {kFragmentSide}, {2 * kFragmentSide});
  }
  RefusePacked("kind is " + std::to_string(header.kind) + ", not 1 to 5");
}

bool Stores(Kind kind, ValueType type) {
  switch (kind) {
    case Kind::kBitmask:
      return true;
    case Kind::kTiles:
    case Kind::kTwoOfFour:
      return type != ValueType::kFloat32;
    default:
      return type != ValueType::kBfloat16;
  }
}

void CheckTypes(const PackedHeader& header) {
  if (header.value_type < 1 || header.value_type > 3) {
    RefusePacked("value type is " + std::to_string(header.value_type) +
                 ", not 1 to 3");
  }
  const auto type = ValueType(header.value_type);
  if (!Stores(Kind(header.kind), type)) {
    RefusePacked("kind " + std::to_string(header.kind) + " stores no " +
                 NameOf(type) + " values");
  }
  if (header.kind == std::uint16_t(Kind::kBitmask)) {
    ExpectField("index size", header.index_size, 0);
    return;
  }
  const std::uint64_t places = BlockPlaces(WithoutSections(header));
  ExpectField("index size", header.index_size,
              header.kind != std::uint16_t(Kind::kTwoOfFour) && places <= 65536
                  ? 2
                  : 4);
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
  if (header.kind == std::uint16_t(Kind::kTwoOfFour)) {
    const Packed weight = WithoutSections(header);
    ExpectField("blocks", header.blocks,
                std::uint64_t{RowBlocks(weight)} * BlockPlaces(weight));
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
// are at most 2^32 blocks of at most 2^13 bytes, 2^31 rows of 2^27 words, or
// 2^27 row blocks of 2^25 pairs of 2^7 bytes.
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

std::uint64_t StartCount(const Packed& weight) {
  if (weight.kind == Kind::kTwoOfFour) return 0;
  return std::uint64_t{Chunks(weight)} * (RowBlocks(weight) + 1);
}

std::uint64_t IndexBytes(const Packed& weight) {
  switch (weight.kind) {
    case Kind::kBitmask:
      return std::uint64_t{weight.rows} * MaskWords(weight) * 2;
    case Kind::kTwoOfFour:
      return std::uint64_t{RowBlocks(weight)} * BlockPairs(weight) *
             kFragmentLanes * 4;
    default:
      return std::uint64_t{weight.blocks} * weight.index_size;
  }
}

std::uint64_t ValueBytes(const Packed& weight) {
  return std::uint64_t{StoredValues(weight)} * ValueSize(weight);
}

void CheckLayout(const PackedHeader& header, const Packed& weight) {
  const std::uint64_t starts = StartCount(weight);
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

const char* NameOf(ValueType type) {
  switch (type) {
    case ValueType::kFloat32:
      return "float32";
    case ValueType::kFloat16:
      return "float16";
    case ValueType::kBfloat16:
      return "bfloat16";
  }
  return "";
}

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
