// What both operators have in common on a GPU: 16-bit tensors and a packed
// weight that is checked on the host before it goes to the device.

#ifndef SPA_CUSTOM_OPS_CUDA_NODE_H_
#define SPA_CUSTOM_OPS_CUDA_NODE_H_

#include "abi/ort_api.h"
#include "custom_ops/cuda/session_device.h"
#include "custom_ops/tensor.h"
#include "layers/cuda/layer.h"

namespace spa::cuda {

#ifdef SPA_EMULATED
constexpr const char* kCudaProvider = nullptr;
constexpr OrtMemType kHostMemory = OrtMemTypeDefault;
#else
constexpr const char* kCudaProvider = "CUDAExecutionProvider";
constexpr OrtMemType kHostMemory = OrtMemTypeCPUInput;
#endif

class Node {
 public:
  // Throws InvalidInput, gpu::Failure and RuntimeFailure. `rows_attribute`
  // names the attribute with the rows of the weight.
  Node(const OrtApi& api, const OrtKernelInfo* info, ValueType type,
       const char* rows_attribute);

  const OrtValue* X(OrtKernelContext* context) const;

  // Starts the layer on the stream of the run; Y gets the shape.
  void Run(OrtKernelContext* context, const Extent& extent,
           const Shape& y_shape) const;

  std::int64_t rows() const { return static_cast<std::int64_t>(layer_.rows()); }
  std::int64_t columns() const {
    return static_cast<std::int64_t>(layer_.columns());
  }

 private:
  const OrtApi& api_;
  const SessionDeviceMemory memory_;
  const Layer layer_;
};

}  // namespace spa::cuda

#endif  // SPA_CUSTOM_OPS_CUDA_NODE_H_
