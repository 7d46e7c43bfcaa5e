#include "abi/cuda_layer.h"

#include "abi/failure.h"
#include "layers/activation.h"

namespace spa::cuda {
namespace {

constexpr std::size_t kNumber = sizeof(std::uint16_t);

Extent ExtentOf(const SpaCudaLayer& given) {
  if (given.images == 0) return TokensOf(given.tokens);
  if (given.tokens != 0) throw InvalidInput("tokens of a convolution");
  if (given.strides[0] == 0 || given.strides[1] == 0) {
    throw InvalidInput("strides must be at least 1");
  }
  return PlanesOf(given.images, {given.input[0], given.input[1]},
                  {given.strides[0], given.strides[1]});
}

std::size_t InputsOf(const Extent& extent) {
  return extent.images *
         (extent.layout == Layout::kPlanes ? extent.x_plane : extent.positions);
}

std::size_t BytesOf(const Layer& layer, const Extent& extent,
                    std::size_t numbers) {
  CheckSizes(extent, layer.rows(), layer.columns());
  return kNumber * numbers;
}

}  // namespace

HostLayer::HostLayer(const SpaCudaLayer& given, int device,
                     const Memory& memory)
    : layer_(given.packed, ParseForCuda(given.packed, given.packed_size),
             memory, gpu::Describe(device),
             {ActivationOf(given.activation), given.clip_min, given.clip_max},
             given.kernel != nullptr ? given.kernel : ""),
      extent_(ExtentOf(given)),
      x_bytes_(BytesOf(layer_, extent_, InputsOf(extent_) * layer_.columns())),
      y_bytes_(BytesOf(layer_, extent_,
                       extent_.images * extent_.positions * layer_.rows())),
      bias_bytes_(given.bias != nullptr ? kNumber * layer_.rows() : 0),
      residual_bytes_(given.residual != nullptr ? y_bytes_ : 0) {}

}  // namespace spa::cuda
