// What both ways to run depthwise without a copy share. Everything is `static`;
// see support/vectors.h.

#ifndef SPA_KERNELS_DEPTHWISE_DIRECT_PARTS_AVX512_H_
#define SPA_KERNELS_DEPTHWISE_DIRECT_PARTS_AVX512_H_

#include <immintrin.h>

#include "kernels/depthwise/depthwise.h"
#include "kernels/epilogue.h"
#include "support/lanes_avx512.h"

namespace spa {

SPA_INLINE void FinishDirect(const DirectCall& call, std::size_t place,
                             std::size_t lanes, Vector<16> sum) {
  if (call.residual != nullptr) {
    Vector<16> other;
    LoadFirst<16>(other, call.residual + place, lanes);
    sum += other;
  }
  StoreFirst<16>(Activate<16>(sum, *call.epilogue), call.y + place, lanes);
}

template <std::size_t kTaps>
SPA_INLINE void SpreadValues(const DirectCall& call,
                             __m512 (&values)[kTaps][kTaps]) {
  SPA_UNROLL for (std::size_t j = 0; j < kTaps * kTaps; ++j) {
    values[j / kTaps][j % kTaps] = Spread<16>(FloatAt(call.values + 4 * j));
  }
}

}  // namespace spa

#endif  // SPA_KERNELS_DEPTHWISE_DIRECT_PARTS_AVX512_H_
