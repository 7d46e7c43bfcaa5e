// The loop nest of depthwise, templated on the vector width. Everything is
// `static`; see support/vectors.h.

#ifndef SPA_KERNELS_DEPTHWISE_GENERIC_H_
#define SPA_KERNELS_DEPTHWISE_GENERIC_H_

#include "kernels/depthwise/depthwise.h"
#ifdef __AVX512F__
#include "kernels/depthwise/direct_avx512.h"
#endif
#include "kernels/packed/view.h"
#include "support/halves.h"

namespace spa {

// kRows rows of outputs from `row` on, kVectors vectors of each from `column`.
template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors,
          typename Values>
SPA_INLINE void SumTaps(const DepthwiseCall& call, std::size_t row,
                        std::size_t column) {
  Vector<kWidth> sums[kRows][kVectors];
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      sums[r][k] = Spread<kWidth>(call.bias);
    }
  }
  const float* plane = call.plane + row * call.pitch + column;
  for (std::size_t j = 0; j < call.taps; ++j) {
    const char* tap = reinterpret_cast<const char*>(plane) + call.offsets[j];
    const Vector<kWidth> value =
        Spread<kWidth>(Values::At(call.values + j * Values::kSize));
    SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
      SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
        Vector<kWidth> x;
        Load<kWidth>(x, tap + (r * call.pitch + k * kWidth) * sizeof(float));
        sums[r][k] += value * x;
      }
    }
  }
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      const std::size_t at = column + k * kWidth;
      const std::size_t place = (row + r) * call.width + at;
      const std::size_t left = call.width - at;
      Vector<kWidth> sum = sums[r][k];
      if (call.residual != nullptr) {
        Vector<kWidth> other;
        LoadSome<kWidth>(other, call.residual + place, left);
        sum += other;
      }
      StoreSome<kWidth>(Activate<kWidth>(sum, *call.epilogue), call.y + place,
                        left);
    }
  }
}

// The last rows are summed together with some that already were, unless these
// may have taken the place of their residual.
template <std::size_t kWidth, std::size_t kVectors, typename Values>
SPA_INLINE void SumColumns(const DepthwiseCall& call, std::size_t column) {
  constexpr std::size_t kRows = 4;
  std::size_t row = 0;
  for (; row + kRows <= call.rows; row += kRows) {
    SumTaps<kWidth, kRows, kVectors, Values>(call, row, column);
  }
  if (row < call.rows && row > 0 && call.residual == nullptr) {
    SumTaps<kWidth, kRows, kVectors, Values>(call, call.rows - kRows, column);
    return;
  }
  for (; row < call.rows; ++row) {
    SumTaps<kWidth, 1, kVectors, Values>(call, row, column);
  }
}

template <std::size_t kWidth, typename Values>
static void MultiplyColumns(const DepthwiseCall& given) {
  const DepthwiseCall call = given;  // stores might change what is behind it
  std::size_t column = 0;
  for (; column + kWidth < call.width; column += 2 * kWidth) {
    SumColumns<kWidth, 2, Values>(call, column);
  }
  if (column < call.width) SumColumns<kWidth, 1, Values>(call, column);
}

template <std::size_t kWidth>
static void MultiplyDepthwise(const DepthwiseCall& call) {
  call.value_type == ValueType::kFloat32
      ? MultiplyColumns<kWidth, Float32Values>(call)
      : MultiplyColumns<kWidth, Float16Values>(call);
}

template <typename Isa>
static constexpr DepthwiseKernel MakeDepthwise() {
#ifdef __AVX512F__
  return {MultiplyDepthwise<Isa::kWidth>, MultiplyDirect, CountDirectMasks,
          MakeDirectMasks};
#else
  return {MultiplyDepthwise<Isa::kWidth>, nullptr, nullptr, nullptr};
#endif
}

}  // namespace spa

#endif  // SPA_KERNELS_DEPTHWISE_GENERIC_H_
