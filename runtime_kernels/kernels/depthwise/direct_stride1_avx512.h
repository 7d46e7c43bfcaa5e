// Depthwise without a copy and with stride 1. Everything is `static`; see
// support/vectors.h.

#ifndef SPA_KERNELS_DEPTHWISE_DIRECT_STRIDE1_AVX512_H_
#define SPA_KERNELS_DEPTHWISE_DIRECT_STRIDE1_AVX512_H_

#include "kernels/depthwise/direct_parts_avx512.h"

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

}  // namespace spa

#endif  // SPA_KERNELS_DEPTHWISE_DIRECT_STRIDE1_AVX512_H_
