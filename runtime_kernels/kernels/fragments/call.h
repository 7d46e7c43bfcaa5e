// What the kernels for GPUs take: Y = act(X W^T + bias + residual) of 16-bit
// numbers with sums in float, W in one of the forms of packed.h.
//
// Positions are the tokens of a linear layer, X (positions, columns) and
// Y (positions, rows), or the pixels of 1 x 1 convolutions, whose X is
// (images, columns, height, width) and whose Y is (images, rows, positions).
//
// Columns beyond the matrix, and positions beyond the last one, are never read.
// Y overlaps nothing but, if it is the same address, the residual.

#ifndef SPA_KERNELS_FRAGMENTS_CALL_H_
#define SPA_KERNELS_FRAGMENTS_CALL_H_

#include <cstdint>

#include "kernels/activation.h"

namespace spa::cuda {

// A packed weight in device memory; sections are 16-byte aligned.
struct Weight {
  const std::uint32_t* starts;   // kinds tiles and bit mask
  const unsigned char* indices;  // tiles: block columns; else metadata, masks
  const unsigned char* values;
  const std::uint32_t* order;  // row blocks, longest first; null: all alike
  std::uint32_t rows;
  std::uint32_t columns;
  std::uint32_t index_size;        // bytes, of tiles: 2 or 4
  std::uint32_t block_row_tiles;   // of 16 rows, in a row of blocks
  std::uint32_t block_steps_log2;  // steps of 16 columns in a block, as 2^n
};

// How a convolution finds its pixels; 0 strides for linear layers.
struct Pixels {
  std::uint32_t width;  // of Y
  std::uint32_t x_width;
  std::uint32_t stride_y;
  std::uint32_t stride_x;
};

struct Call {
  Weight weight;
  const std::uint16_t* x;
  const std::uint16_t* bias;      // or null
  const std::uint16_t* residual;  // or null
  std::uint16_t* y;
  std::uint64_t positions;  // of one image
  std::uint64_t x_plane;    // elements of a channel of X; 0 for linear
  Pixels pixels;
  std::uint32_t row_blocks;      // tiles of Y below each other
  std::uint32_t position_tiles;  // beside each other, of one image
  std::uint32_t blocks;          // of threads
  std::uint32_t wave;            // that run at once, one a multiprocessor
  std::uint32_t stages;          // of the pipeline
  std::uint32_t x_vector;        // bytes that X is read in: 16, 8, 4 or 2
  std::uint32_t y_is_aligned;    // Y, residual and bias go 16 bytes at a time
  Epilogue epilogue;
};

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FRAGMENTS_CALL_H_
