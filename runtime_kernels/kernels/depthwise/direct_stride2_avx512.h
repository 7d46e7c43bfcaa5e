// Depthwise without a copy and with stride 2. Everything is `static`; see
// support/vectors.h.

#ifndef SPA_KERNELS_DEPTHWISE_DIRECT_STRIDE2_AVX512_H_
#define SPA_KERNELS_DEPTHWISE_DIRECT_STRIDE2_AVX512_H_

#include "kernels/depthwise/direct_parts_avx512.h"

namespace spa {

// With stride 2 a vector has so many outputs that the inputs of all taps lie in
// 32 floats, and two rows of outputs if those of each lie in 16.
struct StridedTiles {
  std::size_t tiles;  // of a row of outputs
  std::size_t width;  // outputs of a tile, less in the last one
  bool two_rows;
};

static inline StridedTiles StridedTilesOf(const Axis& axis) {
  const std::size_t most = (32 - axis.kernel) / 2 + 1;
  const std::size_t tiles = (axis.output + most - 1) / most;
  return {tiles, (axis.output + tiles - 1) / tiles,
          2 * (axis.output - 1) + axis.kernel <= 16};
}

// For each tile a mask for both halves of the 32.
static void MasksOfStridedTiles(const DirectShape& shape,
                                std::uint16_t* masks) {
  const Axis& axis = shape.horizontal;
  const StridedTiles of = StridedTilesOf(axis);
  const auto inputs = static_cast<std::ptrdiff_t>(axis.input);
  for (std::size_t tile = 0; tile < of.tiles; ++tile) {
    const auto first = static_cast<std::ptrdiff_t>(2 * of.width * tile) -
                       static_cast<std::ptrdiff_t>(axis.padding);
    masks[2 * tile] = LanesWithin(first, inputs);
    masks[2 * tile + 1] = LanesWithin(first + 16, inputs);
  }
}

// Half of the 32 inputs that a tile's outputs read in one row.
struct Half {
  std::uintptr_t start;  // of the row with no padding above it
  std::uint16_t lanes;
};

// Tap i of every output in lane i of `taps`, from two halves. A row of taps
// beside the image has zeros.
template <std::size_t kTaps>
struct StridedRows {
  const Axis& vertical;
  std::size_t pitch;  // bytes
  __m512i places[kTaps];

  explicit StridedRows(const DirectShape& shape)
      : vertical(shape.vertical),
        pitch(shape.horizontal.input * sizeof(float)) {
    SPA_UNROLL for (std::size_t i = 0; i < kTaps; ++i) {
      places[i] = _mm512_add_epi32(EvenPlaces(),
                                   _mm512_set1_epi32(static_cast<int>(i)));
    }
  }

  __m512 At(std::size_t padded, const Half& half) const {
    const std::size_t row = padded - vertical.padding;
    return LanesAt(half.start + row * pitch, 0,
                   row < vertical.input ? half.lanes : 0);
  }

  void Load(__m512 (&taps)[kTaps], __m512 low, __m512 high) const {
    SPA_UNROLL for (std::size_t i = 0; i < kTaps; ++i) {
      taps[i] = _mm512_permutex2var_ps(low, places[i], high);
    }
  }
};

template <std::size_t kTaps>
SPA_INLINE void AddTaps(Vector<16>& sum, const __m512 (&values)[kTaps],
                        const __m512 (&taps)[kTaps]) {
  SPA_UNROLL for (std::size_t i = 0; i < kTaps; ++i) sum += values[i] * taps[i];
}

// Row by row of outputs. The last row of taps is the next output's first.
template <std::size_t kTaps>
static void MultiplyStridedTiles(const DirectCall& given) {
  const DirectCall call = given;  // stores might change what is behind it
  const Axis& h = call.shape->horizontal;
  const StridedTiles of = StridedTilesOf(h);
  const StridedRows<kTaps> rows(*call.shape);
  __m512 values[kTaps][kTaps];
  SpreadValues<kTaps>(call, values);
  for (std::size_t tile = 0; tile < of.tiles; ++tile) {
    const std::size_t first = tile * of.width;
    const std::size_t left = h.output - first;
    const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(call.x) +
                                 (2 * first - h.padding) * sizeof(float);
    const Half low{start, call.masks[2 * tile]};
    const Half high{start + 16 * sizeof(float), call.masks[2 * tile + 1]};
    const auto load = [&](__m512(&taps)[kTaps],
                          std::size_t padded) __attribute__((always_inline)) {
      rows.Load(taps, rows.At(padded, low), rows.At(padded, high));
    };
    __m512 last[kTaps];
    load(last, 0);
    for (std::size_t row = 0; row < call.shape->vertical.output; ++row) {
      Vector<16> sum = Spread<16>(call.bias);
      AddTaps<kTaps>(sum, values[0], last);
      SPA_UNROLL for (std::size_t r = 1; r < kTaps; ++r) {
        __m512 taps[kTaps];
        load(taps, 2 * row + r);
        AddTaps<kTaps>(sum, values[r], taps);
        if (r == 2) {
          SPA_UNROLL for (std::size_t i = 0; i < kTaps; ++i) last[i] = taps[i];
        }
      }
      FinishDirect(call, row * h.output + first,
                   left < of.width ? left : of.width, sum);
    }
  }
}

// A row of outputs in each half of a vector; the second may lie below Y.
SPA_INLINE void FinishTwoRows(const DirectCall& call, std::size_t row,
                              Vector<16> sum) {
  const std::size_t width = call.shape->horizontal.output;
  const bool both = row + 1 < call.shape->vertical.output;
  const unsigned upper = (1u << width) - 1;
  const unsigned lower = both ? upper << 8 : 0;
  const std::size_t above = row * width, below = above + width - 8;
  if (call.residual != nullptr) {
    const auto residual = reinterpret_cast<std::uintptr_t>(call.residual);
    sum += LanesAt(residual, above, upper) + LanesAt(residual, below, lower);
  }
  const Vector<16> whole = Activate<16>(sum, *call.epilogue);
  const auto y = reinterpret_cast<std::uintptr_t>(call.y);
  StoreLanesAt(y, above, upper, whole);
  StoreLanesAt(y, below, lower, whole);
}

template <std::size_t kTaps>
static void MultiplyTwoRows(const DirectCall& given) {
  const DirectCall call = given;  // stores might change what is behind it
  const StridedRows<kTaps> rows(*call.shape);
  __m512 values[kTaps][kTaps];
  SpreadValues<kTaps>(call, values);
  const Half half{reinterpret_cast<std::uintptr_t>(call.x) -
                      call.shape->horizontal.padding * sizeof(float),
                  call.masks[0]};
  for (std::size_t row = 0; row < call.shape->vertical.output; row += 2) {
    Vector<16> sum = Spread<16>(call.bias);
    SPA_UNROLL for (std::size_t r = 0; r < kTaps; ++r) {
      __m512 taps[kTaps];
      rows.Load(taps, rows.At(2 * row + r, half),
                rows.At(2 * row + 2 + r, half));
      AddTaps<kTaps>(sum, values[r], taps);
    }
    FinishTwoRows(call, row, sum);
  }
}

}  // namespace spa

#endif  // SPA_KERNELS_DEPTHWISE_DIRECT_STRIDE2_AVX512_H_
