#include "kernels/isa/x86_avx512.h"

#include "kernels/isa/make.h"

namespace spa {

extern const BlocksLanesKernel blocks_lanes_avx512;
const Kernels kernels_avx512 =
    MakeKernels<Avx512>("avx512", blocks_lanes_avx512);

}  // namespace spa
