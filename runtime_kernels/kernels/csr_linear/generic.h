// The vector loop nest of csr_linear, templated on the vector width.
//
// Tokens in lanes: for every nonzero, one weight is spread over a vector and
// multiplied with the neighbouring tokens of its column. So the weights need no
// vector-friendly pattern, and each index is read once for up to 4 vectors of
// tokens. Both X and Y have tokens in rows, so tiles are turned on the way in
// and on the way out.
//
// Everything is `static`; see csr_view.h.

#ifndef SPA_KERNELS_CSR_LINEAR_GENERIC_H_
#define SPA_KERNELS_CSR_LINEAR_GENERIC_H_

#include <cstring>

#include "kernels/csr_linear/csr_view.h"
#include "support/vector_tiles.h"

namespace spa {

// Most vectors of tokens per nonzero. With two nonzeros in flight that is 8
// sums, which leaves room among the 16 registers of AVX2.
constexpr size_t kVectors = 4;

// Adds value[j] * (column's tokens) to the sums.
template <size_t kWidth, size_t kCount>
SPA_INLINE void AddNonzero(const CsrLinear& problem, size_t j,
                           const float* panel, Vector<kWidth> (&sums)[kCount]) {
  const float* tokens = panel + ColumnAt(problem, j) * (kCount * kWidth);
  const float value = ValueAt(problem, j);
  for (size_t k = 0; k < kCount; ++k) {
    Vector<kWidth> x;
    Load<kWidth>(x, tokens + k * kWidth);
    sums[k] += value * x;
  }
}

// Nonzeros in flight, each with sums of its own. Two times four vectors hide an
// FMA's 4 cycles on 2 ports; narrow panels need more to do so.
template <size_t kCount>
constexpr size_t kChains = kCount == 1 ? 4 : 2;

// One row of W times the panel: `out` receives kCount * kWidth tokens.
template <size_t kWidth, size_t kCount>
SPA_INLINE void MultiplyRow(const CsrLinear& problem, size_t row,
                            const float* panel, float* out) {
  Vector<kWidth> sums[kChains<kCount>][kCount] = {};
  for (size_t k = 0; k < kCount; ++k) sums[0][k] += BiasAt(problem, row);
  const size_t end = RowStart(problem, row + 1);
  size_t j = RowStart(problem, row);
  for (; j + kChains<kCount> <= end; j += kChains<kCount>) {
    for (size_t i = 0; i < kChains<kCount>; ++i) {
      AddNonzero<kWidth, kCount>(problem, j + i, panel, sums[i]);
    }
  }
  for (; j < end; ++j) {
    AddNonzero<kWidth, kCount>(problem, j, panel, sums[0]);
  }
  for (size_t k = 0; k < kCount; ++k) {
    Vector<kWidth> sum = sums[0][k];
    for (size_t i = 1; i < kChains<kCount>; ++i) sum += sums[i][k];
    Store<kWidth>(sum, out + k * kWidth);
  }
}

// The rows of W in bands of kWidth: sums to a tile in the first-level cache,
// turned tile to Y.
template <size_t kWidth, size_t kCount>
static void MultiplyPanel(const CsrLinear& problem, size_t first_token,
                          const float* panel, size_t first_row,
                          size_t end_row) {
  constexpr size_t kStride = kCount * kWidth;
  const size_t tokens = BlockTokens(problem, first_token, kStride);
  alignas(64) float sums[kWidth * kStride];
  for (size_t row = first_row; row < end_row; row += kWidth) {
    const size_t left = end_row - row;
    const size_t height = left < kWidth ? left : kWidth;
    for (size_t k = 0; k < height; ++k) {
      MultiplyRow<kWidth, kCount>(problem, row + k, panel, sums + k * kStride);
    }
    CopyTransposed<kWidth>(sums, kStride, height, tokens,
                           problem.y + first_token * problem.rows + row,
                           problem.rows);
  }
}

// The sum of the lanes, in pairs.
template <size_t kWidth>
static float SumOfLanes(const Vector<kWidth>& vector) {
  float lanes[kWidth];
  Store<kWidth>(vector, lanes);
  for (size_t run = kWidth / 2; run > 0; run /= 2) {
    for (size_t k = 0; k < run; ++k) lanes[k] += lanes[k + run];
  }
  return lanes[0];
}

// One element of Y straight from X: nonzeros in lanes, X gathered.
template <typename Isa>
static float DotRow(const CsrLinear& problem, size_t row, const float* x) {
  constexpr size_t kWidth = Isa::kWidth;
  Vector<kWidth> sums{};
  float rest = BiasAt(problem, row);
  const size_t end = RowStart(problem, row + 1);
  size_t j = RowStart(problem, row);
  for (; j + kWidth <= end; j += kWidth) {
    Vector<kWidth> values;
    std::memcpy(&values, problem.values + j * sizeof(float), sizeof(values));
    sums += values *
            Isa::Gather(x, problem.column_indices + j * sizeof(std::uint32_t));
  }
  for (; j < end; ++j) rest += ValueAt(problem, j) * x[ColumnAt(problem, j)];
  return rest + SumOfLanes<kWidth>(sums);
}

template <typename Isa>
static void MultiplyDirect(const CsrLinear& problem, size_t first_token,
                           size_t tokens, size_t first_row, size_t end_row) {
  for (size_t row = first_row; row < end_row; ++row) {
    for (size_t token = first_token; token < first_token + tokens; ++token) {
      problem.y[token * problem.rows + row] =
          DotRow<Isa>(problem, row, problem.x + token * problem.columns);
    }
  }
}

// Vectors that the block's tokens fill, the last one perhaps in part.
template <size_t kWidth>
static size_t UsedVectors(size_t tokens) {
  return (tokens + kWidth - 1) / kWidth;
}

// Panel element (column, token) is at column * (used vectors * kWidth) + token;
// lanes without a token hold zero.
template <size_t kWidth>
static void Pack(const CsrLinear* problem, size_t first_token, float* panel) {
  const size_t tokens = BlockTokens(*problem, first_token, kVectors * kWidth);
  const size_t stride = UsedVectors<kWidth>(tokens) * kWidth;
  CopyTransposed<kWidth>(problem->x + first_token * problem->columns,
                         problem->columns, tokens, problem->columns, panel,
                         stride);
  if (tokens == stride) return;
  for (size_t column = 0; column < problem->columns; ++column) {
    for (size_t lane = tokens; lane < stride; ++lane) {
      panel[column * stride + lane] = 0.0f;
    }
  }
}

template <typename Isa>
static void Multiply(const CsrLinear* problem, size_t first_token,
                     const float* panel, size_t first_row, size_t end_row) {
  static_assert(kVectors == 4, "one case per number of used vectors");
  constexpr size_t kWidth = Isa::kWidth;
  const size_t tokens = BlockTokens(*problem, first_token, kVectors * kWidth);
  if (tokens < Isa::kFewestPanelTokens) {
    MultiplyDirect<Isa>(*problem, first_token, tokens, first_row, end_row);
    return;
  }
  constexpr void (*kByVectors[])(const CsrLinear&, size_t, const float*, size_t,
                                 size_t) = {
      MultiplyPanel<kWidth, 1>, MultiplyPanel<kWidth, 2>,
      MultiplyPanel<kWidth, 3>, MultiplyPanel<kWidth, 4>};
  kByVectors[UsedVectors<kWidth>(tokens) - 1](*problem, first_token, panel,
                                              first_row, end_row);
}

// `Isa` has kWidth, floats in a vector; kFewestPanelTokens, below which empty
// lanes cost more than the panel gains; and Gather(x, indices), which returns
// x[indices[k]] for kWidth uint32 below 2^31 at any alignment.
template <typename Isa>
static constexpr CsrLinearKernel MakeKernel() {
  return {kVectors * Isa::kWidth, Isa::kFewestPanelTokens, Pack<Isa::kWidth>,
          Multiply<Isa>};
}

}  // namespace spa

#endif  // SPA_KERNELS_CSR_LINEAR_GENERIC_H_
