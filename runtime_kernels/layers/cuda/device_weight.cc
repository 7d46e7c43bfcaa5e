#include "layers/cuda/device_weight.h"

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

}  // namespace

DeviceWeight::DeviceWeight(const unsigned char* bytes, const Packed& packed,
                           const Memory& memory)
    : bytes_(memory, SizeOf(bytes, packed)), view_{} {
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
    view_.block_row_tiles = static_cast<std::uint32_t>(packed.block_rows / 16);
    view_.block_steps_log2 = Log2(packed.block_columns / 16);
  }
}

}  // namespace spa::cuda
