#include "layers/cuda/device_weight.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/packed/view.h"
#include "simt/device.h"

namespace spa::cuda {
namespace {

std::uint32_t Log2(std::size_t power) {
  std::uint32_t exponent = 0;
  while ((std::size_t{1} << exponent) < power) ++exponent;
  return exponent;
}

// Values lie last, with zeros behind them that kernels may read.
std::size_t SizeOf(const unsigned char* bytes, const Packed& packed) {
  constexpr std::size_t kTail = 64;
  return static_cast<std::size_t>(packed.values - bytes) +
         StoredValues(packed) * ValueSize(packed) + kTail;
}

// The row blocks, those with the most blocks first.
std::vector<std::uint32_t> OrderOf(const Packed& packed) {
  if (packed.kind != Kind::kTiles) return {};
  std::vector<std::uint32_t> order(RowBlocks(packed));
  std::iota(order.begin(), order.end(), 0u);
  const auto blocks = [&](std::uint32_t row_block) {
    return StartAt(packed.starts, row_block + 1) -
           StartAt(packed.starts, row_block);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t one, std::uint32_t other) {
                     return blocks(one) > blocks(other);
                   });
  return order;
}

std::size_t OrderSize(const Packed& packed) {
  return packed.kind == Kind::kTiles ? RowBlocks(packed) * sizeof(std::uint32_t)
                                     : 0;
}

}  // namespace

DeviceWeight::DeviceWeight(const unsigned char* bytes, const Packed& packed,
                           const Memory& memory)
    : bytes_(memory, SizeOf(bytes, packed)),
      order_(memory, OrderSize(packed)),
      view_{} {
  unsigned char* const start = bytes_.get();
  const gpu::Guard guard(gpu::DeviceOf(start));
  gpu::CopyToDevice(start, bytes, SizeOf(bytes, packed));
  view_.starts =
      reinterpret_cast<const std::uint32_t*>(start + (packed.starts - bytes));
  view_.indices = start + (packed.indices - bytes);
  view_.values = start + (packed.values - bytes);
  view_.rows = static_cast<std::uint32_t>(packed.rows);
  view_.columns = static_cast<std::uint32_t>(packed.columns);
  view_.index_size = static_cast<std::uint32_t>(packed.index_size);
  if (packed.kind == Kind::kTiles) {
    gpu::CopyToDevice(order_.get(), OrderOf(packed).data(), OrderSize(packed));
    view_.order = reinterpret_cast<const std::uint32_t*>(order_.get());
    view_.block_row_tiles = static_cast<std::uint32_t>(packed.block_rows / 16);
    view_.block_steps_log2 = Log2(packed.block_columns / 16);
  }
}

}  // namespace spa::cuda
