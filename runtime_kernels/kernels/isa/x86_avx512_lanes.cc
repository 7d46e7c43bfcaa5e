// Apart from the other kernels, since it takes as long to compile as they do.

#include "kernels/blocks_lanes/generic.h"
#include "kernels/isa/x86_avx512.h"

namespace spa {

extern const BlocksLanesKernel blocks_lanes_avx512;
const BlocksLanesKernel blocks_lanes_avx512 = MakeBlocksLanes<Avx512>();

}  // namespace spa
