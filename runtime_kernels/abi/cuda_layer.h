// A layer as callers in C describe it, with its weight on a device.

#ifndef SPA_ABI_CUDA_LAYER_H_
#define SPA_ABI_CUDA_LAYER_H_

#include <vector>

#include "layers/cuda/layer.h"
#include "spa_onnx_cuda.h"

namespace spa::cuda {

class HostLayer {
 public:
  // Throws InvalidInput and gpu::Failure.
  HostLayer(const SpaCudaLayer& given, int device, const Memory& memory);

  std::vector<CudaKernel> KernelsFor() const {
    return layer_.KernelsFor(extent_);
  }
  void Run(const Tensors& tensors, gpu::Stream stream) const {
    layer_.Run(extent_, tensors, stream);
  }

  std::size_t x_bytes() const { return x_bytes_; }
  std::size_t y_bytes() const { return y_bytes_; }
  std::size_t bias_bytes() const { return bias_bytes_; }  // 0 without one
  std::size_t residual_bytes() const { return residual_bytes_; }

 private:
  const Layer layer_;
  const Extent extent_;
  const std::size_t x_bytes_;
  const std::size_t y_bytes_;
  const std::size_t bias_bytes_;
  const std::size_t residual_bytes_;
};

}  // namespace spa::cuda

#endif  // SPA_ABI_CUDA_LAYER_H_
