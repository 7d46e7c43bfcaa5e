// blocks_lanes: a few tokens times a sparse matrix of R x 1 blocks, R >= 4.
//
//   Y[t, r] = act(bias[r] + sum over columns c of X[t, c] W[r, c] + Z[t, r])
//
// The R outputs of a block lie side by side in vector lanes, and one input at a
// time is spread over them. Rows of X and Y stay as they are.

#ifndef SPA_KERNELS_BLOCKS_LANES_BLOCKS_LANES_H_
#define SPA_KERNELS_BLOCKS_LANES_BLOCKS_LANES_H_

#include <cstddef>

#include "kernels/epilogue.h"
#include "kernels/packed/packed.h"

namespace spa {

// Some row blocks, one tile of tokens.
struct LanesCall {
  const Packed* weight;  // kind blocks, R at least 4, indices of 2 bytes
  std::size_t first_block;
  std::size_t end_block;
  std::size_t tokens;  // at most most_tokens of the kernel
  // X[t, c] at x + t * columns + c, or, if turned, at x + c * tokens + t.
  const float* x;
  bool is_turned;
  float* y;  // Y[t, r] at y + t * rows + r
  const float* bias;
  const float* residual;  // as Y, or null
  const Epilogue* epilogue;
};

struct BlocksLanesKernel {
  // Tokens of a tile for blocks of 1, 2, 4, 8, 16, 32 rows; 0: cannot.
  std::size_t most_tokens[6];
  // Fewer tokens are read where they lie, more are turned first, so that one
  // column's tokens are neighbours.
  std::size_t fewest_turned_tokens;
  void (*multiply)(const LanesCall& call);
};

}  // namespace spa

#endif  // SPA_KERNELS_BLOCKS_LANES_BLOCKS_LANES_H_
