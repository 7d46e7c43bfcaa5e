#include "kernels/isa/x86_avx2.h"

#include "kernels/isa/make.h"

namespace spa {

extern const BlocksLanesKernel blocks_lanes_avx2;
const Kernels kernels_avx2 = MakeKernels<Avx2>("avx2", blocks_lanes_avx2);

}  // namespace spa
