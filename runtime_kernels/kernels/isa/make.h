// One instruction set's kernels from what it says of itself.

#ifndef SPA_KERNELS_ISA_MAKE_H_
#define SPA_KERNELS_ISA_MAKE_H_

#include "kernels/blocks_panel/generic.h"
#include "kernels/depthwise/generic.h"
#include "kernels/kernels.h"
#include "kernels/row_dot/generic.h"
#include "kernels/tiles/generic.h"

namespace spa {

template <typename Isa>
static constexpr Kernels MakeKernels(const char* name,
                                     const BlocksLanesKernel& blocks_lanes) {
  return {name,         MakeTiles<Isa>(),  MakeBlocksPanel<Isa>(),
          blocks_lanes, MakeRowDot<Isa>(), MakeDepthwise<Isa>()};
}

}  // namespace spa

#endif  // SPA_KERNELS_ISA_MAKE_H_
