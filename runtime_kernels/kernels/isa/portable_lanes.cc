// Apart from the other kernels, since it takes as long to compile as they do.

#include "kernels/blocks_lanes/generic.h"
#include "kernels/isa/portable.h"

namespace spa {

extern const BlocksLanesKernel blocks_lanes_portable;
const BlocksLanesKernel blocks_lanes_portable = MakeBlocksLanes<Portable>();

}  // namespace spa
