// The formula of csr_linear.h as a plain loop.

#include <cstdint>

#include "kernels/csr_linear/csr_view.h"

namespace spa {
namespace {

constexpr size_t kLanes = 16;

void Multiply(const CsrLinear* problem, size_t first_token,
              const float* /*panel*/, size_t first_row, size_t end_row) {
  const size_t end_token =
      first_token + BlockTokens(*problem, first_token, kLanes);
  for (size_t token = first_token; token < end_token; ++token) {
    const float* x = problem->x + token * problem->columns;
    for (size_t row = first_row; row < end_row; ++row) {
      float sum = BiasAt(*problem, row);
      const size_t end = RowStart(*problem, row + 1);
      for (size_t j = RowStart(*problem, row); j < end; ++j) {
        sum += ValueAt(*problem, j) * x[ColumnAt(*problem, j)];
      }
      problem->y[token * problem->rows + row] = sum;
    }
  }
}

}  // namespace

const CsrLinearKernel csr_linear_f32_scalar = {kLanes, SIZE_MAX, nullptr,
                                               Multiply};

}  // namespace spa
