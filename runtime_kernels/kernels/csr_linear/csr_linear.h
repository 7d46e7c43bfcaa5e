// csr_linear: a dense batch of vectors times a sparse matrix.
//
//   Y[t, n] = bias[n] + sum over j in [row_start[n], row_start[n + 1]) of
//             value[j] * X[t, column[j]]
//
// A kernel works on blocks of up to `lanes` tokens t, all of them side by side
// in vector lanes. For that it first packs the block's part of X, turned so
// that one column's tokens are neighbours, into a panel.

#ifndef SPA_KERNELS_CSR_LINEAR_CSR_LINEAR_H_
#define SPA_KERNELS_CSR_LINEAR_CSR_LINEAR_H_

#include <cstddef>

#include "support/parallel.h"

// The tests build these two structs through ctypes: plain C layout.
extern "C" {

// Nothing here may overlap `y`. The caller has checked all of it: kernels do
// not look for columns out of range or rows that end before they start.
struct CsrLinear {
  size_t rows;     // n: outputs of the layer, at least 1
  size_t columns;  // inputs of the layer, at least 1, below 2^31
  size_t tokens;   // t: product of the leading dimensions of X
  // Little-endian, any alignment, sizes (rows + 1), (nonzeros), (nonzeros).
  const unsigned char* row_starts;      // uint32, from 0 to nonzeros, rising
  const unsigned char* column_indices;  // uint32, each below `columns`
  const unsigned char* values;          // float32
  const float* bias;                    // (rows,), or null for zeros
  const float* x;                       // (tokens, columns), row-major
  float* y;                             // (tokens, rows), row-major, not read
};

struct CsrLinearKernel {
  size_t lanes;  // tokens in a block; only the last block may have fewer
  // A block with fewer tokens than this gets no panel; its `panel` is not read.
  size_t fewest_panel_tokens;
  // Fills the panel (lanes * columns floats, 64-byte aligned) of the block that
  // starts at `first_token`. Null if the kernel never needs one.
  void (*pack)(const CsrLinear* problem, size_t first_token, float* panel);
  // Writes Y[block, first_row..end_row) and nothing else.
  void (*multiply)(const CsrLinear* problem, size_t first_token,
                   const float* panel, size_t first_row, size_t end_row);
};

}  // extern "C"

namespace spa {

// Every variant by name, whether this processor can run it or not.
#define SPA_KERNEL(isa, name) extern const CsrLinearKernel name;
#include "kernels/csr_linear/kernels.inc"
#undef SPA_KERNEL

// The first variant in kernels.inc that this processor supports.
const CsrLinearKernel& ChooseCsrLinear();

// Runs the kernel over all of Y. Throws std::bad_alloc if there is no memory
// for the panels, which together are about as large as X.
void RunCsrLinear(const CsrLinearKernel& kernel, const CsrLinear& problem,
                  const Parallel& parallel);

}  // namespace spa

#endif  // SPA_KERNELS_CSR_LINEAR_CSR_LINEAR_H_
