// float16 to float32. Everything is `static`; see vectors.h.

#ifndef SPA_SUPPORT_HALVES_H_
#define SPA_SUPPORT_HALVES_H_

#include "support/vectors.h"

namespace spa {

SPA_INLINE float WidenedHalf(const unsigned char* from) {
  std::uint16_t half;
  std::memcpy(&half, from, sizeof(half));
  const std::uint32_t sign = std::uint32_t{half} >> 15 << 31;
  const std::uint32_t rest = half & 0x7FFFu;
  std::uint32_t bits;
  if (rest >= 0x7C00u) {  // infinite or NaN
    bits = rest << 13 | 0x7F800000u;
  } else if (rest >= 0x0400u) {
    bits = (rest << 13) + ((127u - 15u) << 23);
  } else {  // a multiple of 2^-24
    const float small = static_cast<float>(rest) * 0x1p-24f;
    std::memcpy(&bits, &small, sizeof(bits));
  }
  bits |= sign;
  float number;
  std::memcpy(&number, &bits, sizeof(number));
  return number;
}

template <std::size_t kWidth>
SPA_INLINE void LoadHalves(Vector<kWidth>& vector, const unsigned char* from) {
#ifdef __AVX512F__
  if constexpr (kWidth == 16) {
    // The masked form with all lanes on: gcc 12 warns inside the plain one.
    vector = _mm512_maskz_cvtph_ps(
        0xFFFF, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    return;
  }
#endif
#ifdef __F16C__
  if constexpr (kWidth == 8) {
    vector = _mm256_cvtph_ps(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return;
  }
#endif
  float lanes[kWidth];
  for (std::size_t k = 0; k < kWidth; ++k) lanes[k] = WidenedHalf(from + 2 * k);
  Load<kWidth>(vector, lanes);
}

// How values lie in memory and become floats.
struct Float32Values {
  static constexpr std::size_t kSize = 4;
  static inline float At(const unsigned char* from) { return FloatAt(from); }
  template <std::size_t kWidth>
  SPA_INLINE void LoadVector(Vector<kWidth>& vector,
                             const unsigned char* from) {
    Load<kWidth>(vector, from);
  }
};

struct Float16Values {
  static constexpr std::size_t kSize = 2;
  static inline float At(const unsigned char* from) {
    return WidenedHalf(from);
  }
  template <std::size_t kWidth>
  SPA_INLINE void LoadVector(Vector<kWidth>& vector,
                             const unsigned char* from) {
    LoadHalves<kWidth>(vector, from);
  }
};

}  // namespace spa

#endif  // SPA_SUPPORT_HALVES_H_
