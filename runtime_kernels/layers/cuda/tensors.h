// The tensors of a run.

#ifndef SPA_LAYERS_CUDA_TENSORS_H_
#define SPA_LAYERS_CUDA_TENSORS_H_

namespace spa::cuda {

// In device memory, of the weight's type.
struct Tensors {
  const void* x;
  const void* bias;      // or null
  const void* residual;  // or null
  void* y;
};

}  // namespace spa::cuda

#endif  // SPA_LAYERS_CUDA_TENSORS_H_
