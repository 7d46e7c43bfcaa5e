// Reads from a packed matrix whose bytes may lie at any alignment.

#ifndef SPA_KERNELS_CSR_LINEAR_CSR_VIEW_H_
#define SPA_KERNELS_CSR_LINEAR_CSR_VIEW_H_

#include <cstdint>
#include <cstring>

#include "kernels/csr_linear/csr_linear.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "packed weights are little-endian and used in place");

namespace spa {

// `static`, as everything that files with different compiler flags share: one
// merged copy could use instructions that the scalar kernel must not.
template <typename Element>
static inline Element ElementAt(const unsigned char* bytes, size_t index) {
  Element element;
  std::memcpy(&element, bytes + index * sizeof(Element), sizeof(Element));
  return element;
}

static inline size_t RowStart(const CsrLinear& problem, size_t row) {
  return ElementAt<std::uint32_t>(problem.row_starts, row);
}

static inline size_t ColumnAt(const CsrLinear& problem, size_t j) {
  return ElementAt<std::uint32_t>(problem.column_indices, j);
}

static inline float ValueAt(const CsrLinear& problem, size_t j) {
  return ElementAt<float>(problem.values, j);
}

static inline float BiasAt(const CsrLinear& problem, size_t row) {
  return problem.bias == nullptr ? 0.0f : problem.bias[row];
}

// The tokens of the block that starts at `first_token`.
static inline size_t BlockTokens(const CsrLinear& problem, size_t first_token,
                                 size_t lanes) {
  const size_t left = problem.tokens - first_token;
  return left < lanes ? left : lanes;
}

}  // namespace spa

#endif  // SPA_KERNELS_CSR_LINEAR_CSR_VIEW_H_
