#include "kernels/packed/packed.h"

#include <algorithm>
#include <string>

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
  const bool segments = weight.kind == Kind::kSegments;
  const std::size_t places =
      segments ? (weight.columns + kSegmentColumns - 1) / kSegmentColumns
               : weight.columns;
  const std::size_t step = segments ? places : weight.chunk_columns;
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

bool IsZero(const Packed& weight, std::size_t value) {
  if (weight.value_type == ValueType::kFloat16) {
    return (ElementAt<std::uint16_t>(weight.values, value) & 0x7FFFu) == 0;
  }
  return (ElementAt<std::uint32_t>(weight.values, value) & 0x7FFFFFFFu) == 0;
}

// The last segment of a row may pass the columns, with zeros only.
void CheckTails(const Packed& weight) {
  const std::size_t inside = weight.columns % kSegmentColumns;
  if (inside == 0) return;
  const std::size_t last = weight.columns / kSegmentColumns;
  for (std::size_t j = 0; j < weight.blocks; ++j) {
    if (IndexAt(weight.indices, weight.index_size, j) != last) continue;
    for (std::size_t k = inside; k < kSegmentColumns; ++k) {
      if (IsZero(weight, j * kSegmentColumns + k)) continue;
      RefusePacked("a value beyond the " + std::to_string(weight.columns) +
                   " columns is not 0");
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

}  // namespace

Packed ParsePacked(const unsigned char* bytes, std::size_t size) {
  const PackedHeader header = ReadPackedHeader(bytes, size);
  CheckCrc(header, bytes);
  const Packed weight = ViewOf(header, bytes);
  CheckStarts(weight);
  if (weight.kind == Kind::kBitmask) {
    CheckMasks(weight);
  } else {
    CheckIndices(weight);
  }
  if (weight.kind == Kind::kSegments) CheckTails(weight);
  return weight;
}

}  // namespace spa
