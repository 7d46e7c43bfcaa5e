// row_dot: one token times a sparse matrix, row by row.
//
//   Y[r] = sum over columns c of W[r, c] X[c]
//
// Inputs lie in vector lanes. Three ways, by the kind of the weight: inputs are
// gathered at 16-bit or 32-bit indices (blocks of one row), values are expanded
// to where bits are set (bitmask), or 16 neighbours are read (segments). What
// counts is how few bytes each needs: the weight is read once and not again.

#ifndef SPA_KERNELS_ROW_DOT_ROW_DOT_H_
#define SPA_KERNELS_ROW_DOT_ROW_DOT_H_

#include <cstddef>

#include "kernels/packed/packed.h"

namespace spa {

struct RowDotCall {
  const Packed* weight;
  std::size_t first_row;
  std::size_t end_row;
  // (columns,) floats; behind them zeros up to a multiple of 64 floats unless
  // the weight is of kind blocks.
  const float* x;
  float* y;  // Y[r] at y + r
};

struct RowDotKernel {
  void (*gather)(const RowDotCall& call);    // kind blocks, R = 1
  void (*bitmask)(const RowDotCall& call);   // kind bitmask
  void (*segments)(const RowDotCall& call);  // kind segments
};

}  // namespace spa

#endif  // SPA_KERNELS_ROW_DOT_ROW_DOT_H_
