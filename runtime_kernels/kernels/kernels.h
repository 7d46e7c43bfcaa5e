// All kernels as one instruction set has them.

#ifndef SPA_KERNELS_KERNELS_H_
#define SPA_KERNELS_KERNELS_H_

#include "kernels/blocks_lanes/blocks_lanes.h"
#include "kernels/blocks_panel/blocks_panel.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/row_dot/row_dot.h"
#include "kernels/tiles/tiles.h"

namespace spa {

struct Kernels {
  const char* name;  // of the line in kernels.inc
  TilesKernel tiles;
  BlocksPanelKernel blocks_panel;
  const BlocksLanesKernel& blocks_lanes;
  RowDotKernel row_dot;
  DepthwiseKernel depthwise;
};

#define SPA_KERNELS(id, isa) extern const Kernels kernels_##id;
#include "kernels/kernels.inc"
#undef SPA_KERNELS

// The first line of kernels.inc that this processor supports, or the one that
// the environment variable SPA_ONNX_INSTRUCTION_SET names, if supported.
const Kernels& ChooseKernels();

// Null if no line has the name or this processor lacks the instructions.
const Kernels* FindKernels(const char* name);

}  // namespace spa

#endif  // SPA_KERNELS_KERNELS_H_
