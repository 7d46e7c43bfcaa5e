// Vectors of 8 floats: AVX2, FMA and F16C.

#ifndef SPA_KERNELS_ISA_X86_AVX2_H_
#define SPA_KERNELS_ISA_X86_AVX2_H_

#include <immintrin.h>

#include "kernels/packed/view.h"
#include "support/halves.h"

namespace spa {
namespace {

// Lane k of the permutation for `bits` holds the number of set bits below k.
struct ExpandTable {
  constexpr ExpandTable() : places{} {
    for (unsigned bits = 0; bits < 256; ++bits) {
      unsigned next = 0;
      for (unsigned k = 0; k < 8; ++k) {
        places[bits][k] = static_cast<std::uint8_t>(next);
        next += bits >> k & 1;
      }
    }
  }
  std::uint8_t places[256][8];
};
constexpr ExpandTable kExpand;

struct Avx2 {
  static constexpr std::size_t kWidth = 8;
  static constexpr std::size_t kMostPanelRows = 8;
  static constexpr std::size_t PanelVectors(std::size_t rows) {
    return rows == 1 ? 4 : rows == 2 ? 4 : rows == 4 ? 2 : 1;
  }
  static constexpr std::size_t kMostLanesParts = 4;
  static constexpr std::size_t LanesTokens(std::size_t parts) {
    return parts == 1 ? 8 : parts == 2 ? 5 : 2;
  }

  template <typename Index>
  static Vector<kWidth> Gather(const float* x, const unsigned char* indices,
                               std::size_t count) {
    __m256i places;
    if constexpr (sizeof(Index) == 2) {
      places = _mm256_cvtepu16_epi32(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(indices)));
    } else {
      places = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indices));
    }
    const __m256i counted =
        _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                           _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    return _mm256_mask_i32gather_ps(_mm256_setzero_ps(), x, places,
                                    _mm256_castsi256_ps(counted),
                                    sizeof(float));
  }

  template <typename Values>
  static Vector<kWidth> Expand(const unsigned char* values,
                               std::uint32_t bits) {
    Vector<kWidth> packed;
    Values::template LoadVector<kWidth>(packed, values);
    const __m256i places = _mm256_cvtepu8_epi32(_mm_loadl_epi64(
        reinterpret_cast<const __m128i*>(kExpand.places[bits])));
    const __m256i lane_bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_cmpeq_epi32(
        _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane_bits),
        lane_bits);
    return _mm256_and_ps(_mm256_permutevar8x32_ps(packed, places),
                         _mm256_castsi256_ps(set));
  }
};

}  // namespace
}  // namespace spa

#endif  // SPA_KERNELS_ISA_X86_AVX2_H_
