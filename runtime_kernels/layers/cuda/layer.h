// A layer with a packed weight on a GPU: Y = act(X W^T + bias + residual).

#ifndef SPA_LAYERS_CUDA_LAYER_H_
#define SPA_LAYERS_CUDA_LAYER_H_

#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda_kernels.h"
#include "kernels/fragments/call.h"
#include "layers/cuda/choice.h"
#include "layers/cuda/cusparselt_layer.h"
#include "layers/cuda/device_weight.h"
#include "layers/cuda/extent.h"
#include "layers/cuda/tensors.h"
#include "simt/device.h"

namespace spa::cuda {

class Layer {
 public:
  // Copies a packed weight, `packed` being what ParseForCuda found in `bytes`,
  // to the device that `memory` allocates on. `kernel` names the only kernel
  // that may be used, if it is not empty. An engine other than our own does
  // what it can, and only if it is there. Throws InvalidInput if the device is
  // too old, and gpu::Failure.
  Layer(const unsigned char* bytes, const Packed& packed, const Memory& memory,
        const gpu::Properties& device, const Epilogue& epilogue,
        std::string kernel = "", Engine engine = Engine::kOwn);

  // The kernels that can do a run, the one that does it first. Throws
  // InvalidInput if there is none.
  std::vector<CudaKernel> KernelsFor(const Extent& extent) const;

  // Starts a run on a stream, and nothing else: it can be recorded in a CUDA
  // graph, with other engines than our own if the like was run before. Throws
  // InvalidInput if it is too large, and gpu::Failure.
  void Run(const Extent& extent, const Tensors& tensors,
           gpu::Stream stream) const;

  ValueType value_type() const { return packed_.value_type; }
  std::size_t rows() const { return packed_.rows; }
  std::size_t columns() const { return packed_.columns; }

 private:
  Wanted WantedOf(const Extent& extent) const;
  std::vector<CudaKernel> OwnKernels(const Extent& extent) const;
  bool CusparseltTakes(const Extent& extent) const;
  bool RunByCusparselt(const Extent& extent, const Tensors& tensors,
                       gpu::Stream stream) const;
  Call CallOf(const CudaKernel& kernel, const Extent& extent,
              const Tensors& tensors) const;

  const Packed packed_;  // its pointers are not used any more
  const gpu::Properties device_;
  const Epilogue epilogue_;
  const std::string kernel_;
  const DeviceWeight weight_;
  const std::unique_ptr<const CusparseltLayer> cusparselt_;  // if it is used
};

}  // namespace spa::cuda

#endif  // SPA_LAYERS_CUDA_LAYER_H_
