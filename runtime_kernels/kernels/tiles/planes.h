// Channels laid out as planes with their padding around them, templated on the
// vector width. Everything is `static`; see support/vectors.h.

#ifndef SPA_KERNELS_TILES_PLANES_H_
#define SPA_KERNELS_TILES_PLANES_H_

#include "kernels/tiles/tiles.h"
#include "support/vectors.h"
#ifdef __AVX512F__
#include "support/lanes_avx512.h"
#endif

namespace spa {

SPA_INLINE std::size_t Smaller(std::size_t a, std::size_t b) {
  return a < b ? a : b;
}

// Every second float of 2 * kWidth.
template <std::size_t kWidth, std::size_t... kLane>
SPA_INLINE Vector<kWidth> EverySecond(Vector<kWidth> a, Vector<kWidth> b,
                                      std::index_sequence<kLane...>) {
  return __builtin_shufflevector(a, b, (2 * kLane)...);
}

// to[k] = from[k * stride] for k < count; nothing behind the last is read.
template <std::size_t kWidth>
SPA_INLINE void CopyStrided(const float* from, std::size_t stride,
                            std::size_t count, float* to) {
  if (stride == 1) {
    for (std::size_t k = 0; k < count; k += kWidth) {
      Vector<kWidth> vector;
      LoadSome<kWidth>(vector, from + k, count - k);
      StoreSome<kWidth>(vector, to + k, count - k);
    }
  } else if (stride == 2) {
    for (std::size_t k = 0; k < count; k += kWidth) {
      const std::size_t lanes = Smaller(count - k, kWidth);
      const std::size_t floats = 2 * lanes - 1;
      Vector<kWidth> low, high{};
      LoadSome<kWidth>(low, from + 2 * k, floats);
      if (floats > kWidth) {
        LoadSome<kWidth>(high, from + 2 * k + kWidth, floats - kWidth);
      }
      StoreSome<kWidth>(
          EverySecond<kWidth>(low, high, std::make_index_sequence<kWidth>()),
          to + k, lanes);
    }
  } else {
    for (std::size_t k = 0; k < count; ++k) to[k] = from[k * stride];
  }
}

// The places of a phase that hold inputs; around them is padding.
struct PhaseRange {
  std::size_t begin, end;  // places
  std::size_t first;       // input at place `begin`
};

static PhaseRange RangeOf(const Axis& axis, std::size_t phase,
                          std::size_t places) {
  // Place i is padded input i * stride + phase.
  const std::size_t begin =
      axis.padding > phase
          ? (axis.padding - phase + axis.stride - 1) / axis.stride
          : 0;
  const std::size_t end_input = axis.padding + axis.input;
  const std::size_t end =
      end_input > phase ? (end_input - phase + axis.stride - 1) / axis.stride
                        : 0;
  const std::size_t last = Smaller(end, places);
  if (begin >= last) return {places, places, 0};
  return {begin, last, begin * axis.stride + phase - axis.padding};
}

template <std::size_t kWidth>
SPA_INLINE void Zero(float* from, const float* end) {
  const Vector<kWidth> zeros{};
  const auto count = static_cast<std::size_t>(end - from);
  for (std::size_t i = 0; i < count; i += kWidth) {
    StoreSome<kWidth>(zeros, from + i, count - i);
  }
}

// Some rows of a plane and where their inputs lie.
struct PlaneRows {
  const float* inputs;       // of the first row's place columns.begin
  std::size_t input_stride;  // floats between the inputs of two rows
  float* rows;
  std::size_t pitch;
  std::size_t count;
};

#ifdef __AVX512F__
// Zeros are lanes that are not loaded; which, is the same for all rows.
template <std::size_t kStride>
static void MakeRowsOfLanes(const PlaneRows& given, const PhaseRange& columns) {
  const PlaneRows plane = given;  // stores might change what is behind it
  const auto count = static_cast<std::ptrdiff_t>(
      (columns.end - columns.begin - 1) * kStride + 1);
  for (std::size_t k = 0; k < plane.pitch; k += 16) {
    const auto first = static_cast<std::ptrdiff_t>(k * kStride) -
                       static_cast<std::ptrdiff_t>(columns.begin * kStride);
    const unsigned low = LanesWithin(first, count);
    const unsigned high = LanesWithin(first + 16, count);
    const std::size_t lanes = Smaller(plane.pitch - k, 16);
    std::uintptr_t from = reinterpret_cast<std::uintptr_t>(plane.inputs) +
                          static_cast<std::uintptr_t>(first) * sizeof(float);
    float* row = plane.rows + k;
    for (std::size_t i = 0; i < plane.count; ++i) {
      const Vector<16> inputs = kStride == 1 ? LanesAt(from, 0, low)
                                             : EvenLanesAt(from, 0, low, high);
      StoreFirst<16>(inputs, row, lanes);
      from += plane.input_stride * sizeof(float);
      row += plane.pitch;
    }
  }
}
#endif

// Rows of a plane with zeros around their inputs.
template <std::size_t kWidth>
SPA_INLINE void MakeRows(const PlaneRows& plane, std::size_t stride,
                         const PhaseRange& columns) {
#ifdef __AVX512F__
  if (kWidth == 16 && stride <= 2 && columns.begin < columns.end) {
    return stride == 1 ? MakeRowsOfLanes<1>(plane, columns)
                       : MakeRowsOfLanes<2>(plane, columns);
  }
#endif
  for (std::size_t i = 0; i < plane.count; ++i) {
    float* row = plane.rows + i * plane.pitch;
    Zero<kWidth>(row, row + columns.begin);
    CopyStrided<kWidth>(plane.inputs + i * plane.input_stride, stride,
                        columns.end - columns.begin, row + columns.begin);
    Zero<kWidth>(row + columns.end, row + plane.pitch);
  }
}

// One phase of one channel.
template <std::size_t kWidth>
SPA_INLINE void MakePhase(const float* channel, const Axis& vertical,
                          const Axis& horizontal, const PlaneShape& shape,
                          const PhaseRange& rows, const PhaseRange& columns,
                          float* to) {
  const std::size_t pitch = shape.pitch;
  Zero<kWidth>(to, to + rows.begin * pitch);
  MakeRows<kWidth>({channel + rows.first * horizontal.input + columns.first,
                    vertical.stride * horizontal.input, to + rows.begin * pitch,
                    pitch, rows.end - rows.begin},
                   horizontal.stride, columns);
  Zero<kWidth>(to + rows.end * pitch, to + shape.rows * pitch);
}

template <std::size_t kWidth>
static void MakePlanes(const float* x, std::size_t x_stride,
                       std::size_t channels, const Axis& vertical,
                       const Axis& horizontal, const PlaneShape& shape,
                       float* to) {
  const std::size_t phase = shape.rows * shape.pitch;
  const std::size_t phases = shape.vertical_phases * shape.horizontal_phases;
  for (std::size_t f = 0; f < shape.vertical_phases; ++f) {
    const PhaseRange rows = RangeOf(vertical, f, shape.rows);
    for (std::size_t g = 0; g < shape.horizontal_phases; ++g) {
      const PhaseRange columns = RangeOf(horizontal, g, shape.pitch);
      float* first = to + (f * shape.horizontal_phases + g) * phase;
      for (std::size_t c = 0; c < channels; ++c) {
        MakePhase<kWidth>(x + c * x_stride, vertical, horizontal, shape, rows,
                          columns, first + c * phases * phase);
      }
    }
  }
}

}  // namespace spa

#endif  // SPA_KERNELS_TILES_PLANES_H_
