#include "layers/cuda/unpack_two_of_four.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/packed/fragment.h"
#include "kernels/packed/view.h"
#include "simt/device.h"

namespace spa::cuda {
namespace {

constexpr std::size_t kNumber = sizeof(std::uint16_t);
constexpr std::size_t kSlab = 4 << 20;  // bytes, about, copied at a time

// The row blocks that a slab has room for, at least one.
std::size_t BlocksOfSlab(const Packed& packed) {
  const std::size_t block = kNumber * packed.block_rows * packed.columns;
  return std::max<std::size_t>(1, kSlab / block);
}

// Adds a row block to a slab of zeros. Values beyond the columns are zeros, and
// rows beyond the matrix are left out when the slab is copied.
void UnpackRowBlock(const Packed& packed, std::size_t row_block,
                    std::uint16_t* rows) {
  const std::size_t places = BlockPlaces(packed);
  for (std::size_t place = 0; place < places; ++place) {
    const std::size_t first = (row_block * places + place) * kFragment;
    for (std::size_t value = 0; value < kFragment; ++value) {
      const std::size_t column = StoredColumn(packed, row_block, place, value);
      if (column >= packed.columns) continue;
      rows[FragmentRow(value) * packed.columns + column] =
          ElementAt<std::uint16_t>(packed.values, first + value);
    }
  }
}

}  // namespace

DeviceBytes UnpackTwoOfFour(const Packed& packed, const Memory& memory) {
  DeviceBytes dense(memory, kNumber * packed.rows * packed.columns);
  const std::size_t together = BlocksOfSlab(packed);
  std::vector<std::uint16_t> slab(together * packed.block_rows *
                                  packed.columns);
  const std::size_t blocks = RowBlocks(packed);
  for (std::size_t first = 0; first < blocks; first += together) {
    std::fill(slab.begin(), slab.end(), std::uint16_t{0});
    const std::size_t last = std::min(blocks, first + together);
    for (std::size_t block = first; block < last; ++block) {
      UnpackRowBlock(
          packed, block,
          slab.data() + (block - first) * packed.block_rows * packed.columns);
    }
    const std::size_t row = first * packed.block_rows;
    const std::size_t rows =
        std::min(packed.rows, last * packed.block_rows) - row;
    gpu::CopyToDevice(dense.get() + kNumber * row * packed.columns, slab.data(),
                      kNumber * rows * packed.columns);
  }
  return dense;
}

}  // namespace spa::cuda
