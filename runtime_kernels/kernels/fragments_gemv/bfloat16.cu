#include "kernels/fragments_gemv/instances.h"

namespace spa::cuda {

std::vector<CudaKernel> GemvBfloat16() { return GemvKernels<simt::Bfloat16>(); }

}  // namespace spa::cuda
