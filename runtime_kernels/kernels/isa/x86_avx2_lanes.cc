// Apart from the other kernels, since it takes as long to compile as they do.

#include "kernels/blocks_lanes/generic.h"
#include "kernels/isa/x86_avx2.h"

namespace spa {

extern const BlocksLanesKernel blocks_lanes_avx2;
const BlocksLanesKernel blocks_lanes_avx2 = MakeBlocksLanes<Avx2>();

}  // namespace spa
