// Square tiles of floats turned in registers. Everything is `static`; see
// vectors.h.

#ifndef SPA_SUPPORT_TRANSPOSE_H_
#define SPA_SUPPORT_TRANSPOSE_H_

#include <utility>

#include "support/vectors.h"

namespace spa {

// Exchanges the odd runs of `a` with the even runs of `b`, runs of kRun lanes.
template <std::size_t kWidth, std::size_t kRun, std::size_t... kLane>
SPA_INLINE void ExchangeRuns(Vector<kWidth>& a, Vector<kWidth>& b,
                             std::index_sequence<kLane...>) {
  const Vector<kWidth> low = __builtin_shufflevector(
      a, b, ((kLane & kRun) == 0 ? kLane : kWidth + kLane - kRun)...);
  const Vector<kWidth> high = __builtin_shufflevector(
      a, b, ((kLane & kRun) == 0 ? kLane + kRun : kWidth + kLane)...);
  a = low;
  b = high;
}

// Row number `pair` of those whose index has the bit kRun clear.
template <std::size_t kRun>
static constexpr std::size_t LowerRow(std::size_t pair) {
  return (pair / kRun) * 2 * kRun + pair % kRun;
}

template <std::size_t kWidth, std::size_t kRun, std::size_t... kPair>
SPA_INLINE void ExchangePairs(Vector<kWidth> (&rows)[kWidth],
                              std::index_sequence<kPair...>) {
  (ExchangeRuns<kWidth, kRun>(rows[LowerRow<kRun>(kPair)],
                              rows[LowerRow<kRun>(kPair) + kRun],
                              std::make_index_sequence<kWidth>()),
   ...);
}

// Transposes a square tile in log2(kWidth) rounds of exchanges.
template <std::size_t kWidth, std::size_t kRun = 1>
SPA_INLINE void Transpose(Vector<kWidth> (&rows)[kWidth]) {
  ExchangePairs<kWidth, kRun>(rows, std::make_index_sequence<kWidth / 2>());
  if constexpr (2 * kRun < kWidth) Transpose<kWidth, 2 * kRun>(rows);
}

// Reads `height` rows of `width` floats, each at most kWidth, as a square tile
// with zeros in the rest.
template <std::size_t kWidth>
SPA_INLINE void LoadTile(Vector<kWidth> (&tile)[kWidth], const float* from,
                         std::size_t stride, std::size_t height,
                         std::size_t width) {
  if (height >= kWidth && width >= kWidth) {
    SPA_UNROLL for (std::size_t k = 0; k < kWidth; ++k) {
      Load<kWidth>(tile[k], from + k * stride);
    }
    return;
  }
  for (std::size_t k = 0; k < kWidth; ++k) {
    tile[k] = Vector<kWidth>{};
    if (k < height) LoadSome<kWidth>(tile[k], from + k * stride, width);
  }
}

}  // namespace spa

#endif  // SPA_SUPPORT_TRANSPOSE_H_
