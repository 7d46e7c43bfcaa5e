#include "kernels/isa/portable.h"

#include "kernels/isa/make.h"

namespace spa {

extern const BlocksLanesKernel blocks_lanes_portable;
const Kernels kernels_portable =
    MakeKernels<Portable>("portable", blocks_lanes_portable);

}  // namespace spa
