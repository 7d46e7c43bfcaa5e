// blocks_panel: a sparse matrix of R x 1 blocks times a panel.
//
//   Y[r, p] = act(bias[r] + sum over columns c of W[r, c] X[c, p] + Z[r, p])
//
// Positions p, be they pixels or tokens, lie side by side in vector lanes; for
// each block one column's positions are loaded once and used by R rows. Which
// addresses the column's positions have is for the caller to say, by a table of
// one byte offset per block; so one kernel serves 1 x 1 convolutions, larger
// ones over padded planes, and tokens turned into lanes.

#ifndef SPA_KERNELS_BLOCKS_PANEL_BLOCKS_PANEL_H_
#define SPA_KERNELS_BLOCKS_PANEL_BLOCKS_PANEL_H_

#include <cstddef>
#include <cstdint>

#include "kernels/epilogue.h"
#include "kernels/packed/packed.h"

namespace spa {

// Rows of memory that will be needed soon, as long as a tile, fetched while row
// blocks are multiplied.
struct Fetch {
  const void* rows = nullptr;
  std::size_t stride = 0;  // bytes
  std::size_t count = 0;
};

// One chunk of columns, some row blocks, one tile of positions.
struct PanelCall {
  const Packed* weight;         // kind blocks
  const std::int32_t* offsets;  // (blocks,) bytes
  std::size_t chunk;
  std::size_t first_block;
  std::size_t end_block;  // row blocks
  // Block j's positions start at panel + offsets[j]; whole vectors are read.
  const char* panel;
  std::size_t vectors;    // of a tile, at most most_vectors of the kernel
  std::size_t positions;  // of a tile; they fill all vectors but the last
  // The first row of the first block; each next row is y_stride floats on.
  float* y;
  std::size_t y_stride;
  bool is_first;          // sums start at bias and residual, not at Y
  bool is_last;           // the activation is applied
  const float* bias;      // of all rows of the matrix, or null
  const float* residual;  // as Y, also Y itself, or null
  const Epilogue* epilogue;
  Fetch copied;        // what is copied before the next call
  Fetch residuals[2];  // where sums of this call or one to come start
  Fetch written[2];    // and where they go
};

struct BlocksPanelKernel {
  std::size_t width;  // floats in a vector
  // Vectors of positions of one tile for blocks of 1, 2, 4, 8, 16, 32 rows.
  std::size_t most_vectors[6];
  void (*multiply)(const PanelCall& call);
};

// Place of R in lists by block rows.
static inline std::size_t BlockRowsPlace(std::size_t block_rows) {
  std::size_t place = 0;
  while ((std::size_t{1} << place) < block_rows) ++place;
  return place;
}

}  // namespace spa

#endif  // SPA_KERNELS_BLOCKS_PANEL_BLOCKS_PANEL_H_
