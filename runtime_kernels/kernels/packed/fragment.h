// Where the values of a fragment belong, and those of a 2:4 weight.

#ifndef SPA_KERNELS_PACKED_FRAGMENT_H_
#define SPA_KERNELS_PACKED_FRAGMENT_H_

#include <cstddef>
#include <cstdint>

#include "kernels/packed/packed.h"
#include "kernels/packed/view.h"

namespace spa {

constexpr std::size_t kFragment = kFragmentLanes * kFragmentValues;

// Of the 16 x 16 of a fragment.
static inline std::size_t FragmentRow(std::size_t value) {
  return value / kFragmentValues / 4 + 8 * (value / 2 % 2);
}

static inline std::size_t FragmentColumn(std::size_t value) {
  return 2 * (value / kFragmentValues % 4) + value % 2 + 8 * (value / 4 % 2);
}

static inline std::uint32_t MetadataAt(const Packed& weight,
                                       std::size_t row_block, std::size_t pair,
                                       std::size_t lane) {
  const std::size_t before = row_block * BlockPairs(weight) + pair;
  return ElementAt<std::uint32_t>(weight.indices,
                                  before * kFragmentLanes + lane);
}

// The column of a 2:4 weight that a stored value belongs to, of the block at a
// place of a row of blocks.
static inline std::size_t StoredColumn(const Packed& weight,
                                       std::size_t row_block, std::size_t place,
                                       std::size_t value) {
  constexpr std::size_t kGroup = 4;  // columns, of which two are stored
  const std::size_t row = FragmentRow(value);
  const std::size_t stored = FragmentColumn(value);
  const std::size_t group = stored / 2;
  const std::size_t lane = 4 * (row % 8) + 2 * (place % 2) + group / 4;
  const std::uint32_t word = MetadataAt(weight, row_block, place / 2, lane);
  const std::size_t bit = 16 * (row / 8) + 4 * (group % 4) + 2 * (stored % 2);
  return weight.block_columns * place + kGroup * group + (word >> bit & 3u);
}

}  // namespace spa

#endif  // SPA_KERNELS_PACKED_FRAGMENT_H_
