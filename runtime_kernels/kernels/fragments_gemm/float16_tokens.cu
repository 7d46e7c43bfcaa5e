#include "kernels/fragments_gemm/instances.h"

namespace spa::cuda {

std::vector<CudaKernel> GemmFloat16Tokens() {
  return GemmKernels<simt::Float16, false>();
}

}  // namespace spa::cuda
