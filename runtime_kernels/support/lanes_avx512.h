// Which of 16 lanes lie in a row of memory, and loads of just these. Everything
// is `static`; see vectors.h.

#ifndef SPA_SUPPORT_LANES_AVX512_H_
#define SPA_SUPPORT_LANES_AVX512_H_

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "support/vectors.h"

namespace spa {

// Lanes l of 16 with 0 <= first + l < count.
static inline std::uint16_t LanesWithin(std::ptrdiff_t first,
                                        std::ptrdiff_t count) {
  if (first >= count || first <= -16) return 0;
  const std::ptrdiff_t begin = first < 0 ? -first : 0;
  const std::ptrdiff_t end = count - first < 16 ? count - first : 16;
  return static_cast<std::uint16_t>(((1u << end) - 1) & ~((1u << begin) - 1));
}

// Floats from the one number `first` after `start` on; only those of lanes that
// are on need to be there.
SPA_INLINE __m512 LanesAt(std::uintptr_t start, std::size_t first,
                          unsigned lanes) {
  return _mm512_maskz_loadu_ps(
      static_cast<__mmask16>(lanes),
      reinterpret_cast<const float*>(start + first * sizeof(float)));
}

SPA_INLINE void StoreLanesAt(std::uintptr_t start, std::size_t first,
                             unsigned lanes, const Vector<16>& floats) {
  _mm512_mask_storeu_ps(reinterpret_cast<float*>(start + first * sizeof(float)),
                        static_cast<__mmask16>(lanes), floats);
}

// 0, 2, 4 and so on.
SPA_INLINE __m512i EvenPlaces() {
  return _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4,
                          2, 0);
}

// Every second of 32 floats, from the one number `first` after `start` on.
SPA_INLINE __m512 EvenLanesAt(std::uintptr_t start, std::size_t first,
                              unsigned low, unsigned high) {
  return _mm512_permutex2var_ps(LanesAt(start, first, low), EvenPlaces(),
                                LanesAt(start, first + 16, high));
}

}  // namespace spa

#endif  // SPA_SUPPORT_LANES_AVX512_H_
