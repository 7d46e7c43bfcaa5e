#include "layers/cuda/layer.h"

#include <utility>

#include "abi/failure.h"

namespace spa::cuda {
namespace {

// The first compute capability with mma.sp and cp.async.
constexpr int kLeastMajor = 8;

constexpr std::size_t kVector = 16;
constexpr std::size_t kNumber = sizeof(std::uint16_t);

const gpu::Properties& NewEnough(const gpu::Properties& device) {
  if (device.major >= kLeastMajor) return device;
  throw InvalidInput("device '" + device.name + "' has compute capability " +
                     std::to_string(device.major) + "." +
                     std::to_string(device.minor) +
                     ", sparse kernels need 8.0 or newer");
}

std::uintptr_t AddressOf(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

// The largest of 16, 8, 4 and 2 that divides an address and a distance.
std::uint32_t VectorOf(const void* pointer, std::uint64_t distance) {
  const std::uintptr_t both = AddressOf(pointer) | distance | kVector;
  return static_cast<std::uint32_t>(both & (~both + 1));
}

bool IsAligned(const void* pointer) {
  return AddressOf(pointer) % kVector == 0;  // null too
}

std::uint64_t BlocksOf(const TileCount& tiles) {
  return CheckedProduct(
      CheckedProduct(tiles.row_blocks, tiles.position_tiles, "the grid"),
      tiles.images, "the grid");
}

// Named it must be there, preferred it may.
std::unique_ptr<const CusparseltLayer> CusparseltFor(
    const Packed& packed, const Memory& memory, const gpu::Properties& device,
    const Epilogue& epilogue, const std::string& kernel, Engine engine) {
  const bool is_named = kernel == CusparseltLayer::kName;
  const bool is_preferred = kernel.empty() && engine == Engine::kCusparselt &&
                            CusparseltLayer::IsThere(device);
  if (!CusparseltLayer::Takes(packed) || !(is_named || is_preferred)) {
    return nullptr;
  }
  try {
    return std::make_unique<CusparseltLayer>(packed, memory, device, epilogue);
  } catch (const gpu::Failure&) {
    if (is_named) throw;
    return nullptr;  // our own kernels do it
  }
}

}  // namespace

Layer::Layer(const unsigned char* bytes, const Packed& packed,
             const Memory& memory, const gpu::Properties& device,
             const Epilogue& epilogue, std::string kernel, Engine engine)
    : packed_(packed),
      device_(NewEnough(device)),
      epilogue_(epilogue),
      kernel_(std::move(kernel)),
      weight_(bytes, packed, memory),
      cusparselt_(
          CusparseltFor(packed, memory, device, epilogue, kernel_, engine)) {
  // Now, since it may not be done while a graph is recorded.
  const gpu::Guard guard(device_.index);
  for (const Extent& extent : {TokensOf(1), PlanesOf(1, {1, 1}, {1, 1})}) {
    for (const CudaKernel& found : RankedKernels(WantedOf(extent), device_)) {
      gpu::AllowShared(found.function,
                       found.shared_bytes(StagesOf(found, device_)));
    }
  }
}

Wanted Layer::WantedOf(const Extent& extent) const {
  return {packed_.kind, packed_.value_type, extent.layout,   packed_.block_rows,
          packed_.rows, extent.images,      extent.positions};
}

std::vector<CudaKernel> Layer::OwnKernels(const Extent& extent) const {
  std::vector<CudaKernel> ranked = RankedKernels(WantedOf(extent), device_);
  if (ranked.empty()) {
    throw InvalidInput("no kernel for device '" + device_.name +
                       "' can do it; convolutions need tiles or a 2:4 weight");
  }
  if (kernel_.empty()) return ranked;
  for (const CudaKernel& found : ranked) {
    if (kernel_ == found.name) return {found};
  }
  throw InvalidInput("no kernel '" + kernel_ + "' can do it");
}

bool Layer::CusparseltTakes(const Extent& extent) const {
  return extent.layout == Layout::kTokens && CusparseltLayer::Takes(packed_) &&
         CusparseltLayer::Takes(extent.positions);
}

std::vector<CudaKernel> Layer::KernelsFor(const Extent& extent) const {
  CudaKernel library{};
  library.name = CusparseltLayer::kName;
  if (cusparselt_ != nullptr && CusparseltTakes(extent)) {
    if (!kernel_.empty()) return {library};
    std::vector<CudaKernel> kernels = OwnKernels(extent);
    kernels.insert(kernels.begin(), library);
    return kernels;
  }
  std::vector<CudaKernel> kernels = OwnKernels(extent);
  if (kernel_.empty() && CusparseltTakes(extent) &&
      CusparseltLayer::IsThere(device_)) {
    kernels.push_back(library);
  }
  return kernels;
}

Call Layer::CallOf(const CudaKernel& kernel, const Extent& extent,
                   const Tensors& tensors) const {
  const bool planes = extent.layout == Layout::kPlanes;
  const std::uint64_t x_line = planes ? extent.x_plane : columns();
  const std::uint64_t y_line = planes ? extent.positions : rows();
  const TileCount tiles = TilesOf(kernel, WantedOf(extent));
  Call call{};
  call.weight = weight_.view();
  call.x = static_cast<const std::uint16_t*>(tensors.x);
  call.bias = static_cast<const std::uint16_t*>(tensors.bias);
  call.residual = static_cast<const std::uint16_t*>(tensors.residual);
  call.y = static_cast<std::uint16_t*>(tensors.y);
  call.positions = extent.positions;
  call.x_plane = extent.x_plane;
  call.pixels = extent.pixels;
  call.row_blocks = Narrow(tiles.row_blocks, "the number of row blocks");
  call.position_tiles = Narrow(tiles.position_tiles, "the number of tiles");
  call.blocks = Narrow(BlocksOf(tiles), "the number of thread blocks");
  call.wave = static_cast<std::uint32_t>(device_.multiprocessors);
  call.stages = StagesOf(kernel, device_);
  call.x_vector =
      extent.has_strides() ? kNumber : VectorOf(tensors.x, kNumber * x_line);
  call.y_is_aligned = kNumber * y_line % kVector == 0 && IsAligned(tensors.y) &&
                      IsAligned(tensors.residual) &&
                      (planes || IsAligned(tensors.bias));
  call.epilogue = epilogue_;
  return call;
}

bool Layer::RunByCusparselt(const Extent& extent, const Tensors& tensors,
                            gpu::Stream stream) const {
  return cusparselt_ != nullptr && CusparseltTakes(extent) &&
         cusparselt_->Run(extent.positions, tensors, stream, !kernel_.empty());
}

void Layer::Run(const Extent& extent, const Tensors& tensors,
                gpu::Stream stream) const {
  if (extent.images == 0 || extent.positions == 0) return;
  CheckSizes(extent, rows(), columns());
  if (RunByCusparselt(extent, tensors, stream)) return;
  const gpu::Guard guard(device_.index);
  const CudaKernel kernel = OwnKernels(extent).front();
  const Call call = CallOf(kernel, extent, tensors);
  const gpu::Grid grid{call.blocks, kernel.threads,
                       kernel.shared_bytes(call.stages)};
  gpu::Launch(kernel.function, grid, &call, sizeof(call), stream);
}

}  // namespace spa::cuda
