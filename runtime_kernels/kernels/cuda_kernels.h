// Every kernel for GPUs, and what a launch needs to know of it.

#ifndef SPA_KERNELS_CUDA_KERNELS_H_
#define SPA_KERNELS_CUDA_KERNELS_H_

#include <cstddef>
#include <vector>

#include "kernels/packed/packed.h"

namespace spa::cuda {

enum class Layout { kTokens, kPlanes };

struct CudaKernel {
  const char*
      name;  // of its line in a kernels.inc; one for each type and layout
  Kind kind;
  ValueType value_type;
  Layout layout;
  unsigned block_rows;   // of the weight's blocks; 0 for any
  unsigned rows;         // of Y, that a block of threads computes
  unsigned positions;    // likewise
  unsigned threads;      // of a block
  unsigned blocks;       // that a multiprocessor should hold
  const void* function;  // of simt::FunctionOf
  std::size_t (*shared_bytes)(unsigned stages);  // of a block
  bool has_stages;                               // else 1
};

// By type of values and layout; definitions are compiled by nvcc or for the
// emulator.
std::vector<CudaKernel> GemmFloat16Tokens();
std::vector<CudaKernel> GemmFloat16Planes();
std::vector<CudaKernel> GemmBfloat16Tokens();
std::vector<CudaKernel> GemmBfloat16Planes();
std::vector<CudaKernel> GemvFloat16();
std::vector<CudaKernel> GemvBfloat16();

}  // namespace spa::cuda

#endif  // SPA_KERNELS_CUDA_KERNELS_H_
