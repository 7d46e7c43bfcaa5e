// Vectors of floats of any width.
//
// Written with the vector extensions of gcc and clang, so one source serves
// every instruction set; the including file's compiler flags pick it. Therefore
// everything is `static`, and function templates of the standard library are
// not used: a merged copy could hold instructions that another file must avoid.

#ifndef SPA_SUPPORT_VECTORS_H_
#define SPA_SUPPORT_VECTORS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define SPA_INLINE static inline __attribute__((always_inline))
#define SPA_UNROLL _Pragma("GCC unroll 32")

namespace spa {

template <std::size_t kWidth>
struct VectorOf {
  typedef float Type __attribute__((vector_size(kWidth * sizeof(float))));
  typedef std::uint32_t Bits
      __attribute__((vector_size(kWidth * sizeof(float))));
};
template <std::size_t kWidth>
using Vector = typename VectorOf<kWidth>::Type;
template <std::size_t kWidth>
using BitVector = typename VectorOf<kWidth>::Bits;

// The pointers need no alignment.
template <std::size_t kWidth>
SPA_INLINE void Load(Vector<kWidth>& vector, const void* from) {
  std::memcpy(&vector, from, sizeof(vector));
}

template <std::size_t kWidth>
SPA_INLINE void Store(const Vector<kWidth>& vector, void* to) {
  std::memcpy(to, &vector, sizeof(vector));
}

// All lanes hold the number. (Zero plus a number is not that, for -0.)
template <std::size_t kWidth>
SPA_INLINE Vector<kWidth> Spread(float number) {
  return number - Vector<kWidth>{};
}

SPA_INLINE float FloatAt(const void* from) {
  float number;
  std::memcpy(&number, from, sizeof(number));
  return number;
}

// The first `count` lanes, at most all of them; the others hold zero. Memory
// behind them is not touched.
template <std::size_t kWidth>
SPA_INLINE void LoadSome(Vector<kWidth>& vector, const float* from,
                         std::size_t count) {
  if (count >= kWidth) {
    Load<kWidth>(vector, from);
    return;
  }
#ifdef __AVX512F__
  if constexpr (kWidth == 16) {
    vector =
        _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
    return;
  }
#endif
  float lanes[kWidth] = {};
  for (std::size_t k = 0; k < count; ++k) lanes[k] = from[k];
  Load<kWidth>(vector, lanes);
}

template <std::size_t kWidth>
SPA_INLINE void StoreSome(const Vector<kWidth>& vector, float* to,
                          std::size_t count) {
  if (count >= kWidth) {
    Store<kWidth>(vector, to);
    return;
  }
#ifdef __AVX512F__
  if constexpr (kWidth == 16) {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1),
                          vector);
    return;
  }
#endif
  float lanes[kWidth];
  Store<kWidth>(vector, lanes);
  for (std::size_t k = 0; k < count; ++k) to[k] = lanes[k];
}

// As LoadSome and StoreSome for 1 to kWidth lanes, without a branch where masks
// are cheap.
template <std::size_t kWidth>
SPA_INLINE void LoadFirst(Vector<kWidth>& vector, const float* from,
                          std::size_t count) {
#ifdef __AVX512F__
  if constexpr (kWidth == 16) {
    vector = _mm512_maskz_loadu_ps(
        static_cast<__mmask16>(0xFFFFu >> (kWidth - count)), from);
    return;
  }
#endif
  LoadSome<kWidth>(vector, from, count);
}

template <std::size_t kWidth>
SPA_INLINE void StoreFirst(const Vector<kWidth>& vector, float* to,
                           std::size_t count) {
#ifdef __AVX512F__
  if constexpr (kWidth == 16) {
    _mm512_mask_storeu_ps(
        to, static_cast<__mmask16>(0xFFFFu >> (kWidth - count)), vector);
    return;
  }
#endif
  StoreSome<kWidth>(vector, to, count);
}

// Lanes from `count` on become zero, also if they hold NaN.
template <std::size_t kWidth>
SPA_INLINE void KeepFirst(Vector<kWidth>& vector, std::size_t count) {
  const auto first = static_cast<std::uint32_t>(count);
  BitVector<kWidth> lanes;
  SPA_UNROLL for (std::size_t k = 0; k < kWidth; ++k) {
    lanes[k] = static_cast<std::uint32_t>(k);
  }
  vector = lanes < first ? vector : Vector<kWidth>{};
}

template <std::size_t kWidth, std::size_t... kLane>
SPA_INLINE Vector<kWidth / 2> SumOfHalves(const Vector<kWidth>& vector,
                                          std::index_sequence<kLane...>) {
  return __builtin_shufflevector(vector, vector, kLane...) +
         __builtin_shufflevector(vector, vector, (kWidth / 2 + kLane)...);
}

// The sum of the lanes, half of them added to the other half until one is left.
template <std::size_t kWidth>
SPA_INLINE float SumOfLanes(const Vector<kWidth>& vector) {
  if constexpr (kWidth == 2) {
    return vector[0] + vector[1];
  } else {
    return SumOfLanes<kWidth / 2>(
        SumOfHalves<kWidth>(vector, std::make_index_sequence<kWidth / 2>()));
  }
}

}  // namespace spa

#endif  // SPA_SUPPORT_VECTORS_H_
