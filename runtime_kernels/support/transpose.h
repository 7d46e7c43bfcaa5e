// Square tiles of floats turned in registers. Everything is `static`; see
// vectors.h.

#ifndef SPA_SUPPORT_TRANSPOSE_H_
#define SPA_SUPPORT_TRANSPOSE_H_

#include <utility>

#include "support/vectors.h"

namespace spa {

// The processor's cheapest two-operand shuffles stay within lanes of four
// floats or move whole lanes, so a square is turned in fours, then by lanes.
constexpr std::size_t kLane = 4;

// Runs of kRun floats of each lane: the lower or the upper ones of `a` and `b`
// by turns.
template <std::size_t kWidth, std::size_t kRun, std::size_t... kAt>
SPA_INLINE void InterleaveRuns(Vector<kWidth>& a, Vector<kWidth>& b,
                               std::index_sequence<kAt...>) {
  constexpr auto from = [](std::size_t at, std::size_t upper) {
    const std::size_t run = at % kLane / kRun;
    const std::size_t place =
        at / kLane * kLane + at % kRun + (run / 2 * kRun) + upper * kLane / 2;
    return run % 2 == 0 ? place : kWidth + place;
  };
  const Vector<kWidth> lower = __builtin_shufflevector(a, b, from(kAt, 0)...);
  const Vector<kWidth> upper = __builtin_shufflevector(a, b, from(kAt, 1)...);
  a = lower;
  b = upper;
}

// The even lanes of `a` and of `b`, or the odd ones.
template <std::size_t kWidth, bool kOdd, std::size_t... kAt>
SPA_INLINE Vector<kWidth> EveryOtherLane(const Vector<kWidth>& a,
                                         const Vector<kWidth>& b,
                                         std::index_sequence<kAt...>) {
  return __builtin_shufflevector(
      a, b, (2 * (kAt / kLane * kLane) + kOdd * kLane + kAt % kLane)...);
}

// Turns the four by four floats of every lane.
template <std::size_t kWidth>
SPA_INLINE void TransposeFours(Vector<kWidth>* rows) {
  constexpr auto all = std::make_index_sequence<kWidth>();
  InterleaveRuns<kWidth, 1>(rows[0], rows[1], all);
  InterleaveRuns<kWidth, 1>(rows[2], rows[3], all);
  InterleaveRuns<kWidth, 2>(rows[0], rows[2], all);
  InterleaveRuns<kWidth, 2>(rows[1], rows[3], all);
  const Vector<kWidth> second = rows[2];
  rows[2] = rows[1];
  rows[1] = second;
}

template <std::size_t kWidth, std::size_t kLanes = kWidth / kLane>
SPA_INLINE void TransposeLanes(Vector<kWidth> (&rows)[kWidth]) {
  if constexpr (kLanes > 1) {
    constexpr auto all = std::make_index_sequence<kWidth>();
    Vector<kWidth> found[kWidth];
    SPA_UNROLL for (std::size_t k = 0; k < kWidth / 2; ++k) {
      const std::size_t at = k / kLane * 2 * kLane + k % kLane;
      found[k] = EveryOtherLane<kWidth, false>(rows[at], rows[at + kLane], all);
      found[k + kWidth / 2] =
          EveryOtherLane<kWidth, true>(rows[at], rows[at + kLane], all);
    }
    SPA_UNROLL for (std::size_t k = 0; k < kWidth; ++k) rows[k] = found[k];
    TransposeLanes<kWidth, kLanes / 2>(rows);
  }
}

template <std::size_t kWidth>
SPA_INLINE void Transpose(Vector<kWidth> (&rows)[kWidth]) {
  SPA_UNROLL for (std::size_t k = 0; k < kWidth; k += kLane) {
    TransposeFours<kWidth>(rows + k);
  }
  TransposeLanes<kWidth>(rows);
}

// Keeps the compiler from holding all multiples of a stride in registers across
// tiles: there are not enough, and one addition makes the next.
SPA_INLINE std::size_t Fresh(std::size_t stride) {
  __asm__("" : "+r"(stride));
  return stride;
}

// A square tile. (An array that other code reaches by an index that is not
// constant would live in memory, so these are apart from what follows.)
template <std::size_t kWidth>
SPA_INLINE void LoadSquare(Vector<kWidth> (&tile)[kWidth], const float* from,
                           std::size_t stride) {
  const std::size_t step = Fresh(stride);
  SPA_UNROLL for (std::size_t k = 0; k < kWidth; ++k, from += step) {
    Load<kWidth>(tile[k], from);
  }
}

template <std::size_t kWidth>
SPA_INLINE void StoreSquare(const Vector<kWidth> (&tile)[kWidth], float* to,
                            std::size_t stride) {
  const std::size_t step = Fresh(stride);
  SPA_UNROLL for (std::size_t k = 0; k < kWidth; ++k, to += step) {
    Store<kWidth>(tile[k], to);
  }
}

// `height` rows of `width` floats, each at most kWidth, and zeros in the rest.
template <std::size_t kWidth>
SPA_INLINE void LoadPart(Vector<kWidth> (&tile)[kWidth], const float* from,
                         std::size_t stride, std::size_t height,
                         std::size_t width) {
  for (std::size_t k = 0; k < kWidth; ++k) {
    tile[k] = Vector<kWidth>{};
    if (k < height) LoadSome<kWidth>(tile[k], from + k * stride, width);
  }
}

template <std::size_t kWidth>
SPA_INLINE void StorePart(const Vector<kWidth> (&tile)[kWidth], float* to,
                          std::size_t stride, std::size_t height,
                          std::size_t width) {
  for (std::size_t k = 0; k < height; ++k) {
    StoreSome<kWidth>(tile[k], to + k * stride, width);
  }
}

}  // namespace spa

#endif  // SPA_SUPPORT_TRANSPOSE_H_
