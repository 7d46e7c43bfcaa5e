#include <immintrin.h>

#include "kernels/csr_linear/generic.h"

namespace spa {
namespace {

struct Avx512 {
  static constexpr size_t kWidth = 16;
  static constexpr size_t kFewestPanelTokens = 2;

  static Vector<kWidth> Gather(const float* x, const unsigned char* indices) {
    // The masked form with all lanes on: gcc 12 warns inside the plain one.
    constexpr __mmask16 kAllLanes = 0xFFFF;
    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), kAllLanes,
                                    _mm512_loadu_si512(indices), x,
                                    sizeof(float));
  }
};

}  // namespace

const CsrLinearKernel csr_linear_f32_avx512 = MakeKernel<Avx512>();

}  // namespace spa
