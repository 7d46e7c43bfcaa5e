// Vectors of 16 floats: AVX-512 with F, BW, DQ and VL.

#ifndef SPA_KERNELS_ISA_X86_AVX512_H_
#define SPA_KERNELS_ISA_X86_AVX512_H_

#include <immintrin.h>

#include "kernels/packed/view.h"
#include "support/halves.h"

namespace spa {
namespace {

struct Avx512 {
  static constexpr std::size_t kWidth = 16;
  static constexpr std::size_t kMostPanelRows = 8;
  static constexpr std::size_t PanelVectors(std::size_t rows) {
    return rows == 1 ? 8 : rows <= 4 ? 6 : 3;
  }
  static constexpr std::size_t kMostLanesParts = 2;
  static constexpr std::size_t LanesTokens(std::size_t parts) {
    return parts == 1 ? 16 : 14;
  }

  template <typename Index>
  static Vector<kWidth> Gather(const float* x, const unsigned char* indices,
                               std::size_t count) {
    __m512i places;
    if constexpr (sizeof(Index) == 2) {
      places = _mm512_maskz_cvtepu16_epi32(
          0xFFFF,
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indices)));
    } else {
      places = _mm512_loadu_si512(indices);
    }
    return _mm512_mask_i32gather_ps(
        _mm512_setzero_ps(), static_cast<__mmask16>(0xFFFFu >> (16 - count)),
        places, x, sizeof(float));
  }

  template <typename Values>
  static Vector<kWidth> Expand(const unsigned char* values,
                               std::uint32_t bits) {
    Vector<kWidth> packed;
    Values::template LoadVector<kWidth>(packed, values);
    return _mm512_maskz_expand_ps(static_cast<__mmask16>(bits), packed);
  }
};

}  // namespace
}  // namespace spa

#endif  // SPA_KERNELS_ISA_X86_AVX512_H_
