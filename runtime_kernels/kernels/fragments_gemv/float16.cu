#include "kernels/fragments_gemv/instances.h"

namespace spa::cuda {

std::vector<CudaKernel> GemvFloat16() { return GemvKernels<simt::Float16>(); }

}  // namespace spa::cuda
