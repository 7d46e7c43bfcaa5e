// A linear layer with a packed weight: Y = act(X W^T + bias + residual).

#ifndef SPA_LAYERS_LINEAR_H_
#define SPA_LAYERS_LINEAR_H_

#include <cstddef>

#include "kernels/epilogue.h"
#include "kernels/kernels.h"
#include "kernels/packed/packed.h"
#include "layers/offsets.h"
#include "support/parallel.h"

namespace spa {

// What stays from run to run.
struct LinearLayer {
  const Kernels& kernels;
  Packed weight;
  Epilogue epilogue;
  // Most vectors of positions, or tokens, of a tile; 0: as many as the kernel
  // can.
  std::size_t tile = 0;
  OffsetTables tables;
};

// One run. Nothing may overlap `y`.
struct LinearCall {
  std::size_t tokens;
  const float* x;         // (tokens, columns)
  const float* bias;      // (rows,) or null
  const float* residual;  // (tokens, rows) or null
  float* y;               // (tokens, rows), not read
};

// Throws InvalidInput if the layer is too wide for this many tokens, and
// std::bad_alloc.
void RunLinear(const LinearLayer& layer, const LinearCall& call,
               const Parallel& parallel);

}  // namespace spa

#endif  // SPA_LAYERS_LINEAR_H_
