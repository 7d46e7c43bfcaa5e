#include "kernels/fragments_gemm/instances.h"

namespace spa::cuda {

std::vector<CudaKernel> GemmFloat16Planes() {
  return GemmKernels<simt::Float16, true>();
}

}  // namespace spa::cuda
