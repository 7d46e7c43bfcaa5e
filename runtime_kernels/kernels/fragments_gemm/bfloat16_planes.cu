#include "kernels/fragments_gemm/instances.h"

namespace spa::cuda {

std::vector<CudaKernel> GemmBfloat16Planes() {
  return GemmKernels<simt::Bfloat16, true>();
}

}  // namespace spa::cuda
