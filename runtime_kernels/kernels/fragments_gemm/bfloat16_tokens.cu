#include "kernels/fragments_gemm/instances.h"

namespace spa::cuda {

std::vector<CudaKernel> GemmBfloat16Tokens() {
  return GemmKernels<simt::Bfloat16, false>();
}

}  // namespace spa::cuda
