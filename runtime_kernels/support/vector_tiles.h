// Vectors of floats of any width, and square tiles of them turned in registers.
//
// Written with the vector extensions of gcc and clang, so one source serves
// every instruction set; the including file's compiler flags pick it. Therefore
// everything is `static`, and function templates of the standard library are
// not used: a merged copy could hold instructions that another file must avoid.

#ifndef SPA_SUPPORT_VECTOR_TILES_H_
#define SPA_SUPPORT_VECTOR_TILES_H_

#include <cstddef>
#include <cstring>
#include <utility>

#define SPA_INLINE static inline __attribute__((always_inline))

namespace spa {

template <std::size_t kWidth>
struct VectorOf {
  typedef float Type __attribute__((vector_size(kWidth * sizeof(float))));
};
template <std::size_t kWidth>
using Vector = typename VectorOf<kWidth>::Type;

template <std::size_t kWidth>
SPA_INLINE void Load(Vector<kWidth>& vector, const float* from) {
  std::memcpy(&vector, from, sizeof(vector));
}

template <std::size_t kWidth>
SPA_INLINE void Store(const Vector<kWidth>& vector, float* to) {
  std::memcpy(to, &vector, sizeof(vector));
}

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

// Copies the transpose of the (height, width) matrix `from` to `to`. Whole
// tiles go through registers, the rest element by element.
template <std::size_t kWidth>
static void CopyTransposed(const float* from, std::size_t from_stride,
                           std::size_t height, std::size_t width, float* to,
                           std::size_t to_stride) {
  const std::size_t whole_height = height - height % kWidth;
  const std::size_t whole_width = width - width % kWidth;
  for (std::size_t i = 0; i < whole_height; i += kWidth) {
    for (std::size_t j = 0; j < whole_width; j += kWidth) {
      Vector<kWidth> tile[kWidth];
      for (std::size_t k = 0; k < kWidth; ++k) {
        Load<kWidth>(tile[k], from + (i + k) * from_stride + j);
      }
      Transpose<kWidth>(tile);
      for (std::size_t k = 0; k < kWidth; ++k) {
        Store<kWidth>(tile[k], to + (j + k) * to_stride + i);
      }
    }
  }
  for (std::size_t i = 0; i < height; ++i) {
    for (std::size_t j = i < whole_height ? whole_width : 0; j < width; ++j) {
      to[j * to_stride + i] = from[i * from_stride + j];
    }
  }
}

}  // namespace spa

#endif  // SPA_SUPPORT_VECTOR_TILES_H_
