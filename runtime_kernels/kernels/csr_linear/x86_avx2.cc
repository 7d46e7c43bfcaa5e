#include <immintrin.h>

#include "kernels/csr_linear/generic.h"

namespace spa {
namespace {

struct Avx2 {
  static constexpr size_t kWidth = 8;
  static constexpr size_t kFewestPanelTokens = 2;

  static Vector<kWidth> Gather(const float* x, const unsigned char* indices) {
    const __m256i columns =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indices));
    return _mm256_i32gather_ps(x, columns, sizeof(float));
  }
};

}  // namespace

const CsrLinearKernel csr_linear_f32_avx2 = MakeKernel<Avx2>();

}  // namespace spa
