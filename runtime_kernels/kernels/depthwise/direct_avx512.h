// depthwise where the input lies: no padded copy is made, masks keep out what
// lies beside the image. For AVX-512, whose masked loads cost no more than
// others and touch nothing that is masked. Everything is `static`; see
// support/vectors.h.

#ifndef SPA_KERNELS_DEPTHWISE_DIRECT_AVX512_H_
#define SPA_KERNELS_DEPTHWISE_DIRECT_AVX512_H_

#include <immintrin.h>

#include "kernels/depthwise/depthwise.h"
#include "kernels/epilogue.h"
#include "support/lanes_avx512.h"

namespace spa {

// With stride 1 and as many outputs in a row as inputs, an image is one run of
// floats: outputs [16 v, 16 v + 16) read inputs a fixed way off, but for those
// beyond either end of their own row.
static void MasksOfRuns(const DirectShape& shape, std::uint16_t* masks) {
  const std::size_t width = shape.horizontal.output;
  const std::size_t outputs = shape.vertical.output * width;
  const std::size_t vectors = (outputs + 15) / 16;
  const auto inputs = static_cast<std::ptrdiff_t>(width);
  for (std::size_t tap = 0; tap < shape.horizontal.kernel; ++tap) {
    const auto shift = static_cast<std::ptrdiff_t>(tap) -
                       static_cast<std::ptrdiff_t>(shape.horizontal.padding);
    std::size_t place = 0;
    for (std::size_t v = 0; v < vectors; ++v) {
      unsigned mask = 0;
      for (std::size_t done = 0; done < 16;) {
        const std::size_t run =
            width - place < 16 - done ? width - place : 16 - done;
        const unsigned lanes =
            LanesWithin(static_cast<std::ptrdiff_t>(place) + shift, inputs);
        mask |= (lanes & ((1u << run) - 1)) << done;
        done += run;
        place = place + run == width ? 0 : place + run;
      }
      masks[tap * vectors + v] = static_cast<std::uint16_t>(mask);
    }
  }
}

// With stride 2 the inputs of outputs [16 v, 16 v + 16) at tap i are every
// second of 32. Two neighbouring taps share them, of which one takes the odd
// ones; with odd padding the first tap has the odd ones of its own.
template <std::size_t kTaps, std::size_t kOdd>
struct Pairs {
  static constexpr std::size_t kCount = (kTaps - 1 + kOdd) / 2 + 1;

  static constexpr std::size_t Of(std::size_t tap) { return (tap + kOdd) / 2; }
  static constexpr bool IsOdd(std::size_t tap) { return (tap + kOdd) % 2 != 0; }
};

// For each pair of taps and vector of a row a mask for both halves of the 32.
static void MasksOfPairs(const DirectShape& shape, std::uint16_t* masks) {
  const Axis& axis = shape.horizontal;
  const auto inputs = static_cast<std::ptrdiff_t>(axis.input);
  const std::size_t vectors = (axis.output + 15) / 16;
  const std::size_t before = axis.padding + axis.padding % 2;
  const std::size_t pairs = (axis.kernel - 1 + axis.padding % 2) / 2 + 1;
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    for (std::size_t v = 0; v < vectors; ++v) {
      const auto first = static_cast<std::ptrdiff_t>(32 * v + 2 * pair) -
                         static_cast<std::ptrdiff_t>(before);
      masks[2 * (pair * vectors + v)] = LanesWithin(first, inputs);
      masks[2 * (pair * vectors + v) + 1] = LanesWithin(first + 16, inputs);
    }
  }
}

// Vectors of an image with stride 1: for those in [begin, end) every row of
// taps lies in the image.
struct Runs {
  std::size_t vectors, begin, end;

  std::size_t Edges() const { return vectors - (end - begin); }
};

static inline Runs RunsOf(const DirectShape& shape) {
  const Axis& vertical = shape.vertical;
  const std::size_t width = shape.horizontal.output;
  const std::size_t vectors = (vertical.output * width + 15) / 16;
  const std::size_t begin = (vertical.padding * width + 15) / 16;
  const std::size_t rows = vertical.input + vertical.padding;
  const std::size_t end =
      rows >= vertical.kernel ? (rows - vertical.kernel + 1) * width / 16 : 0;
  if (begin >= vectors || end <= begin) return {vectors, vectors, vectors};
  return {vectors, begin, end < vectors ? end : vectors};
}

// For the other vectors, a mask for each tap.
static void MasksOfEdges(const DirectShape& shape, const std::uint16_t* runs,
                         std::uint16_t* masks) {
  const Runs of = RunsOf(shape);
  const Axis &vertical = shape.vertical, &h = shape.horizontal;
  const auto width = static_cast<std::ptrdiff_t>(h.output);
  const auto inputs = static_cast<std::ptrdiff_t>(vertical.input) * width;
  for (std::size_t v = 0; v < of.vectors; ++v) {
    if (v >= of.begin && v < of.end) continue;
    for (std::size_t r = 0; r < vertical.kernel; ++r) {
      const std::ptrdiff_t row =
          static_cast<std::ptrdiff_t>(16 * v) +
          (static_cast<std::ptrdiff_t>(r) -
           static_cast<std::ptrdiff_t>(vertical.padding)) *
              width;
      const unsigned inside = LanesWithin(row, inputs);
      for (std::size_t i = 0; i < h.kernel; ++i) {
        *masks++ =
            static_cast<std::uint16_t>(runs[i * of.vectors + v] & inside);
      }
    }
  }
}

static std::size_t CountDirectMasks(const DirectShape& shape) {
  const Axis& h = shape.horizontal;
  if (h.stride != 1) {
    return 2 * (h.kernel / 2 + 1) * ((h.output + 15) / 16);
  }
  const Runs runs = RunsOf(shape);
  return h.kernel * (runs.vectors + shape.vertical.kernel * runs.Edges());
}

static void MakeDirectMasks(const DirectShape& shape, std::uint16_t* masks) {
  if (shape.horizontal.stride != 1) return MasksOfPairs(shape, masks);
  MasksOfRuns(shape, masks);
  MasksOfEdges(shape, masks,
               masks + shape.horizontal.kernel * RunsOf(shape).vectors);
}

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

// Where the first tap of output 0 would lie, `row` rows of taps further down.
SPA_INLINE std::uintptr_t RunStart(const DirectCall& call, std::size_t row) {
  const std::size_t width = call.shape->horizontal.output;
  const std::size_t before =
      call.shape->vertical.padding * width + call.shape->horizontal.padding;
  return reinterpret_cast<std::uintptr_t>(call.x) +
         (row * width - before) * sizeof(float);
}

template <std::size_t kTaps>
static void MultiplyRuns(const DirectCall& given) {
  const DirectCall call = given;  // stores might change what is behind it
  const Runs runs = RunsOf(*call.shape);
  __m512 values[kTaps][kTaps];
  SpreadValues<kTaps>(call, values);
  std::uintptr_t starts[kTaps];
  const std::uint16_t* masks[kTaps];
  SPA_UNROLL for (std::size_t r = 0; r < kTaps; ++r) {
    starts[r] = RunStart(call, r);
    masks[r] = call.masks + r * runs.vectors;
  }
  const std::size_t outputs =
      call.shape->vertical.output * call.shape->horizontal.output;
  const std::uint16_t* edge = call.masks + kTaps * runs.vectors;
  for (std::size_t v = 0; v < runs.vectors; ++v, edge += kTaps * kTaps) {
    if (v == runs.begin) v = runs.end;
    if (v == runs.vectors) break;
    Vector<16> sum = Spread<16>(call.bias);
    SPA_UNROLL for (std::size_t r = 0; r < kTaps; ++r) {
      SPA_UNROLL for (std::size_t i = 0; i < kTaps; ++i) {
        sum +=
            values[r][i] * LanesAt(starts[r], 16 * v + i, edge[r * kTaps + i]);
      }
    }
    const std::size_t left = outputs - 16 * v;
    FinishDirect(call, 16 * v, left < 16 ? left : 16, sum);
  }
  for (std::size_t v = runs.begin; v < runs.end; ++v) {
    Vector<16> sum = Spread<16>(call.bias);
    SPA_UNROLL for (std::size_t i = 0; i < kTaps; ++i) {
      const unsigned lanes = masks[i][v];
      SPA_UNROLL for (std::size_t r = 0; r < kTaps; ++r) {
        sum += values[r][i] * LanesAt(starts[r], 16 * v + i, lanes);
      }
    }
    FinishDirect(call, 16 * v, 16, sum);
  }
}

template <std::size_t kTaps, std::size_t kOdd>
static void MultiplyPairs(const DirectCall& given) {
  using Of = Pairs<kTaps, kOdd>;
  const DirectCall call = given;  // as above
  const Axis &vertical = call.shape->vertical, &h = call.shape->horizontal;
  const std::size_t vectors = (h.output + 15) / 16;
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12,
                                        10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13,
                                       11, 9, 7, 5, 3, 1);
  const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(call.x) -
                               (h.padding + kOdd) * sizeof(float);
  __m512 values[kTaps][kTaps];
  SpreadValues<kTaps>(call, values);
  for (std::size_t row = 0; row < vertical.output; ++row) {
    for (std::size_t v = 0; v < vectors; ++v) {
      Vector<16> sum = Spread<16>(call.bias);
      SPA_UNROLL for (std::size_t r = 0; r < kTaps; ++r) {
        const std::size_t padded = 2 * row + r;
        if (padded < vertical.padding ||
            padded >= vertical.padding + vertical.input) {
          continue;
        }
        const std::uintptr_t x =
            start + (padded - vertical.padding) * h.input * sizeof(float);
        __m512 low[Of::kCount], high[Of::kCount];
        SPA_UNROLL for (std::size_t pair = 0; pair < Of::kCount; ++pair) {
          const std::uint16_t* masks = call.masks + 2 * (pair * vectors + v);
          low[pair] = LanesAt(x, 32 * v + 2 * pair, masks[0]);
          high[pair] = LanesAt(x, 32 * v + 2 * pair + 16, masks[1]);
        }
        SPA_UNROLL for (std::size_t i = 0; i < kTaps; ++i) {
          sum += values[r][i] * _mm512_permutex2var_ps(
                                    low[Of::Of(i)], Of::IsOdd(i) ? odd : even,
                                    high[Of::Of(i)]);
        }
      }
      const std::size_t left = h.output - 16 * v;
      FinishDirect(call, row * h.output + 16 * v, left < 16 ? left : 16, sum);
    }
  }
}

static void MultiplyDirect(const DirectCall& call) {
  const Axis& h = call.shape->horizontal;
  if (h.stride == 1) {
    h.kernel == 3 ? MultiplyRuns<3>(call) : MultiplyRuns<5>(call);
  } else if (h.padding % 2 == 0) {
    h.kernel == 3 ? MultiplyPairs<3, 0>(call) : MultiplyPairs<5, 0>(call);
  } else {
    h.kernel == 3 ? MultiplyPairs<3, 1>(call) : MultiplyPairs<5, 1>(call);
  }
}

}  // namespace spa

#endif  // SPA_KERNELS_DEPTHWISE_DIRECT_AVX512_H_
