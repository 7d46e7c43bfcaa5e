#include "kernels/packed/check_fragments.h"

#include <string>

#include "kernels/packed/fragment.h"
#include "kernels/packed/header.h"
#include "kernels/packed/view.h"

namespace spa {
namespace {

constexpr std::uint32_t kNoBlock = 0x44444444;  // metadata
// Bit k: the two places in the four bits of k rise.
constexpr std::uint32_t kRising =
    1u << 0x4 | 1u << 0x8 | 1u << 0xC | 1u << 0x9 | 1u << 0xD | 1u << 0xE;

bool IsZero(const Packed& weight, std::size_t value) {
  if (weight.value_type == ValueType::kFloat32) {
    return (ElementAt<std::uint32_t>(weight.values, value) & 0x7FFFFFFFu) == 0;
  }
  return (ElementAt<std::uint16_t>(weight.values, value) & 0x7FFFu) == 0;
}

void ExpectZero(const Packed& weight, std::size_t value) {
  if (IsZero(weight, value)) return;
  RefusePacked("a value beyond the " + std::to_string(weight.columns) +
               " columns is not 0");
}

// The column of a block that its k-th stored value belongs to.
std::size_t ColumnWithin(const Packed& weight, std::size_t k) {
  if (weight.kind != Kind::kTiles) return k % weight.block_columns;
  const std::size_t step = kFragment * (weight.block_rows / kFragmentSide);
  return kFragmentSide * (k / step) + FragmentColumn(k % kFragment);
}

// The columns of a word all rise; a word of no block is what it has to be.
void CheckWord(const Packed& weight, std::size_t pair, std::size_t lane,
               std::uint32_t word) {
  for (std::size_t bit = 0; bit < 32; bit += 4) {
    if ((kRising >> (word >> bit & 0xFu) & 1u) != 0) continue;
    RefusePacked("metadata names no two columns of four in rising order");
  }
  const std::size_t block = 2 * pair + lane % 4 / 2;
  if (block >= BlockPlaces(weight) && word != kNoBlock) {
    RefusePacked("metadata beyond the last block is not 0x44444444");
  }
}

}  // namespace

void CheckTails(const Packed& weight) {
  const std::size_t inside = weight.columns % weight.block_columns;
  if (inside == 0) return;
  const std::size_t last = weight.columns / weight.block_columns;
  const std::size_t values = BlockValues(weight);
  for (std::size_t j = 0; j < weight.blocks; ++j) {
    if (IndexAt(weight.indices, weight.index_size, j) != last) continue;
    for (std::size_t k = 0; k < values; ++k) {
      if (ColumnWithin(weight, k) >= inside) ExpectZero(weight, j * values + k);
    }
  }
}

void CheckTwoOfFour(const Packed& weight) {
  const std::size_t places = BlockPlaces(weight);
  const bool whole = weight.columns % weight.block_columns == 0;
  for (std::size_t b = 0; b < RowBlocks(weight); ++b) {
    for (std::size_t pair = 0; pair < BlockPairs(weight); ++pair) {
      for (std::size_t lane = 0; lane < kFragmentLanes; ++lane) {
        CheckWord(weight, pair, lane, MetadataAt(weight, b, pair, lane));
      }
    }
    if (whole) continue;
    const std::size_t first = (b * places + places - 1) * kFragment;
    for (std::size_t value = 0; value < kFragment; ++value) {
      if (StoredColumn(weight, b, places - 1, value) >= weight.columns) {
        ExpectZero(weight, first + value);
      }
    }
  }
}

}  // namespace spa
