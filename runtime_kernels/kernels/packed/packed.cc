#include "kernels/packed/packed.h"

#include <algorithm>
#include <string>

#include "kernels/packed/check_fragments.h"
#include "kernels/packed/header.h"
#include "kernels/packed/view.h"
#include "support/crc32.h"

namespace spa {
namespace {

constexpr std::size_t kCheckedHeader = offsetof(PackedHeader, crc);
constexpr std::size_t kAfterCrc = kCheckedHeader + 8;

void CheckCrc(const PackedHeader& header, const unsigned char* bytes) {
  const std::uint32_t crc =
      Crc32(Crc32(0, bytes, kCheckedHeader), bytes + kAfterCrc,
            header.total_size - kAfterCrc);
  ExpectField("CRC-32", header.crc, crc);
}

// Starts of one chunk rise from where the last chunk ended.
void CheckStarts(const Packed& weight) {
  const std::size_t row_blocks = RowBlocks(weight);
  std::size_t end = 0;
  for (std::size_t chunk = 0; chunk < Chunks(weight); ++chunk) {
    const std::size_t first = chunk * (row_blocks + 1);
    ExpectField("first start of a chunk", StartAt(weight.starts, first), end);
    for (std::size_t b = first; b < first + row_blocks; ++b) {
      end = StartAt(weight.starts, b + 1);
      if (StartAt(weight.starts, b) > end) {
        RefusePacked("row block " + std::to_string(b - first) +
                     " ends before it starts");
      }
    }
  }
  ExpectField("last start", end, weight.blocks);
}

// Indices [from, to) rise and lie in [lowest, end).
void CheckRun(const Packed& weight, std::size_t from, std::size_t to,
              std::size_t lowest, std::size_t end) {
  for (std::size_t j = from; j < to; ++j) {
    const std::size_t index = IndexAt(weight.indices, weight.index_size, j);
    if (index >= end) {
      RefusePacked("index " + std::to_string(index) + " of block " +
                   std::to_string(j) + " is not below " + std::to_string(end));
    }
    if (index < lowest) {
      RefusePacked("index " + std::to_string(index) + " of block " +
                   std::to_string(j) + " does not rise");
    }
    lowest = index + 1;
  }
}

void CheckIndices(const Packed& weight) {
  const std::size_t row_blocks = RowBlocks(weight);
  const std::size_t places = BlockPlaces(weight);
  const std::size_t step =
      weight.kind == Kind::kBlocks ? weight.chunk_columns : places;
  for (std::size_t chunk = 0; chunk < Chunks(weight); ++chunk) {
    const std::size_t lowest = chunk * step;
    const std::size_t end = std::min(places, lowest + step);
    for (std::size_t b = 0; b < row_blocks; ++b) {
      const std::size_t start = chunk * (row_blocks + 1) + b;
      CheckRun(weight, StartAt(weight.starts, start),
               StartAt(weight.starts, start + 1), lowest, end);
    }
  }
}

void CheckMasks(const Packed& weight) {
  const std::size_t words = MaskWords(weight);
  for (std::size_t row = 0; row < weight.rows; ++row) {
    std::size_t count = 0;
    for (std::size_t g = 0; g < words; ++g) {
      const auto mask =
          ElementAt<std::uint16_t>(weight.indices, row * words + g);
      const std::size_t inside = std::min<std::size_t>(
          16, weight.columns - std::min(weight.columns, 16 * g));
      if ((mask >> inside) != 0) {
        RefusePacked("row " + std::to_string(row) + " stores columns beyond " +
                     std::to_string(weight.columns));
      }
      count += static_cast<std::size_t>(__builtin_popcount(mask));
    }
    const std::size_t values =
        StartAt(weight.starts, row + 1) - StartAt(weight.starts, row);
    if (values != count) {
      RefusePacked("row " + std::to_string(row) + " stores " +
                   std::to_string(values) + " values, but its mask has " +
                   std::to_string(count) + " bits");
    }
  }
}

const char* NameOf(Kind kind) {
  switch (kind) {
    case Kind::kBlocks:
      return "blocks";
    case Kind::kBitmask:
      return "bit mask";
    case Kind::kSegments:
      return "segments";
    case Kind::kTiles:
      return "tiles";
    case Kind::kTwoOfFour:
      return "two of four";
  }
  return "";
}

std::string ToText(Kind kind) {
  return "kind " + std::to_string(static_cast<unsigned>(kind)) + " (" +
         NameOf(kind) + ") is";
}

std::string ToText(ValueType type) {
  return std::string(NameOf(type)) + " values are";
}

template <typename What>
[[noreturn]] void RefuseOnCpu(What what) {
  RefusePacked(
      ToText(what) +
      " for CUDA; give the session the CUDA provider, or lower the model "
      "again without --target cuda");
}

template <typename What>
[[noreturn]] void RefuseOnCuda(What what) {
  RefusePacked(ToText(what) +
               " for the CPU; lower the model again with --target cuda");
}

}  // namespace

Packed ParsePacked(const unsigned char* bytes, std::size_t size) {
  const PackedHeader header = ReadPackedHeader(bytes, size);
  CheckCrc(header, bytes);
  const Packed weight = ViewOf(header, bytes);
  if (weight.kind == Kind::kTwoOfFour) {
    CheckTwoOfFour(weight);
    return weight;
  }
  CheckStarts(weight);
  if (weight.kind == Kind::kBitmask) {
    CheckMasks(weight);
  } else {
    CheckIndices(weight);
    CheckTails(weight);
  }
  return weight;
}

Packed ParseForCpu(const unsigned char* bytes, std::size_t size) {
  const Packed weight = ParsePacked(bytes, size);
  if (weight.kind == Kind::kTiles || weight.kind == Kind::kTwoOfFour) {
    RefuseOnCpu(weight.kind);
  }
  if (weight.value_type == ValueType::kBfloat16) RefuseOnCpu(weight.value_type);
  return weight;
}

Packed ParseForCuda(const unsigned char* bytes, std::size_t size) {
  const Packed weight = ParsePacked(bytes, size);
  if (weight.kind == Kind::kBlocks || weight.kind == Kind::kSegments) {
    RefuseOnCuda(weight.kind);
  }
  if (weight.value_type == ValueType::kFloat32) RefuseOnCuda(weight.value_type);
  return weight;
}

}  // namespace spa
