// The loops of tiles, templated on the vector width. Everything is `static`;
// see support/vectors.h.

#ifndef SPA_KERNELS_TILES_GENERIC_H_
#define SPA_KERNELS_TILES_GENERIC_H_

#include "kernels/tiles/tiles.h"
#include "support/transpose.h"

namespace spa {

SPA_INLINE std::size_t Smaller(std::size_t a, std::size_t b) {
  return a < b ? a : b;
}

template <std::size_t kWidth>
static void CopyPadded(const float* from, std::size_t count, std::size_t padded,
                       float* to) {
  std::size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    Vector<kWidth> vector;
    Load<kWidth>(vector, from + i);
    Store<kWidth>(vector, to + i);
  }
  for (; i < padded; i += kWidth) {
    Vector<kWidth> vector{};
    if (i < count) LoadSome<kWidth>(vector, from + i, count - i);
    StoreSome<kWidth>(vector, to + i, padded - i);
  }
}

template <std::size_t kWidth>
static void CopyRows(const float* from, std::size_t from_stride,
                     std::size_t rows, std::size_t count, std::size_t padded,
                     float* to, std::size_t to_stride) {
  if (count != padded || count % kWidth != 0) {
    for (std::size_t r = 0; r < rows; ++r) {
      CopyPadded<kWidth>(from + r * from_stride, count, padded,
                         to + r * to_stride);
    }
    return;
  }
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < count; i += kWidth) {
      Vector<kWidth> vector;
      Load<kWidth>(vector, from + r * from_stride + i);
      Store<kWidth>(vector, to + r * to_stride + i);
    }
  }
}

// One tile with less than kWidth rows or columns; `padded` rows are written.
template <std::size_t kWidth>
static __attribute__((noinline)) void TurnPart(
    const float* from, std::size_t from_stride, std::size_t height,
    std::size_t width, std::size_t padded, float* to, std::size_t to_stride) {
  Vector<kWidth> tile[kWidth];
  LoadPart<kWidth>(tile, from, from_stride, height, width);
  Transpose<kWidth>(tile);
  StorePart<kWidth>(tile, to, to_stride, width, padded);
}

template <std::size_t kWidth>
static void Turn(const float* from, std::size_t from_stride, std::size_t height,
                 std::size_t width, std::size_t padded, float* to,
                 std::size_t to_stride) {
  for (std::size_t j = 0; j < width; j += kWidth) {
    for (std::size_t i = 0; i < padded; i += kWidth) {
      const float* source = from + i * from_stride + j;
      float* target = to + j * to_stride + i;
      if (i + kWidth <= height && j + kWidth <= width) {
        Vector<kWidth> tile[kWidth];
        LoadSquare<kWidth>(tile, source, from_stride);
        Transpose<kWidth>(tile);
        StoreSquare<kWidth>(tile, target, to_stride);
      } else {
        TurnPart<kWidth>(source, from_stride,
                         i < height ? Smaller(height - i, kWidth) : 0,
                         Smaller(width - j, kWidth),
                         Smaller(padded - i, kWidth), target, to_stride);
      }
    }
  }
}

template <std::size_t kWidth>
static void Finish(const float* from, const float* bias, const float* residual,
                   float* y, std::size_t count, const Epilogue& epilogue) {
  for (std::size_t i = 0; i < count; i += kWidth) {
    const std::size_t left = count - i;
    Vector<kWidth> sum, other;
    LoadSome<kWidth>(sum, from + i, left);
    if (bias != nullptr) {
      LoadSome<kWidth>(other, bias + i, left);
      sum += other;
    }
    if (residual != nullptr) {
      LoadSome<kWidth>(other, residual + i, left);
      sum += other;
    }
    StoreSome<kWidth>(Activate<kWidth>(sum, epilogue), y + i, left);
  }
}

template <std::size_t kWidth>
static __attribute__((noinline)) void FinishTurnedPart(
    const float* from, std::size_t from_stride, std::size_t height,
    std::size_t width, const float* residual, float* y, std::size_t y_stride,
    const Epilogue& epilogue) {
  Vector<kWidth> tile[kWidth];
  LoadPart<kWidth>(tile, from, from_stride, height, width);
  Transpose<kWidth>(tile);
  StorePart<kWidth>(tile, y, y_stride, width, height);
  for (std::size_t k = 0; k < width; ++k) {
    Finish<kWidth>(y + k * y_stride, nullptr,
                   residual == nullptr ? nullptr : residual + k * y_stride,
                   y + k * y_stride, height, epilogue);
  }
}

template <std::size_t kWidth>
static void FinishTurned(const float* from, std::size_t from_stride,
                         std::size_t height, std::size_t width,
                         const float* residual, float* y, std::size_t y_stride,
                         const Epilogue& epilogue) {
  for (std::size_t i = 0; i < height; i += kWidth) {
    for (std::size_t j = 0; j < width; j += kWidth) {
      const float* source = from + i * from_stride + j;
      const std::size_t place = j * y_stride + i;
      if (i + kWidth <= height && j + kWidth <= width &&
          epilogue.activation == Activation::kNone) {
        Vector<kWidth> tile[kWidth];
        LoadSquare<kWidth>(tile, source, from_stride);
        Transpose<kWidth>(tile);
        if (residual != nullptr) {
          Vector<kWidth> other[kWidth];
          LoadSquare<kWidth>(other, residual + place, y_stride);
          SPA_UNROLL for (std::size_t k = 0; k < kWidth; ++k) {
            tile[k] += other[k];
          }
        }
        StoreSquare<kWidth>(tile, y + place, y_stride);
      } else {
        FinishTurnedPart<kWidth>(
            source, from_stride, Smaller(height - i, kWidth),
            Smaller(width - j, kWidth),
            residual == nullptr ? nullptr : residual + place, y + place,
            y_stride, epilogue);
      }
    }
  }
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

#ifdef __AVX512F__
// The row's first vector: inputs from lane `begin` on, zeros around them.
SPA_INLINE Vector<16> FirstOfRow(const float* inputs, std::size_t stride,
                                 const PhaseRange& columns) {
  const std::size_t end = Smaller(columns.end, 16);
  const auto inside =
      static_cast<__mmask16>(((1u << end) - 1) & ~((1u << columns.begin) - 1));
  if (stride == 1) return _mm512_maskz_expandloadu_ps(inside, inputs);
  const std::size_t floats = 2 * (end - columns.begin) - 1;
  Vector<16> low, high{};
  LoadSome<16>(low, inputs, floats);
  if (floats > 16) LoadSome<16>(high, inputs + 16, floats - 16);
  return _mm512_maskz_expand_ps(
      inside, EverySecond<16>(low, high, std::make_index_sequence<16>()));
}
#endif

// A row of a plane with zeros around its inputs.
template <std::size_t kWidth>
SPA_INLINE void MakeRow(const float* inputs, std::size_t stride,
                        const PhaseRange& columns, std::size_t pitch,
                        float* row) {
#ifdef __AVX512F__
  const bool is_short = columns.end <= 16;
  if (kWidth == 16 && columns.begin < Smaller(columns.end, 16) &&
      (stride == 1 || (stride == 2 && is_short))) {
    const Vector<16> first = FirstOfRow(inputs, stride, columns);
    StoreFirst<16>(first, row, Smaller(pitch, 16));
    for (std::size_t k = 16; k < pitch; k += 16) {
      Vector<16> next{};
      if (columns.end > k) {
        LoadSome<16>(next, inputs + (k - columns.begin), columns.end - k);
      }
      StoreFirst<16>(next, row + k, Smaller(pitch - k, 16));
    }
    return;
  }
#endif
  Zero<kWidth>(row, row + columns.begin);
  CopyStrided<kWidth>(inputs, stride, columns.end - columns.begin,
                      row + columns.begin);
  Zero<kWidth>(row + columns.end, row + pitch);
}

// One phase of one channel.
template <std::size_t kWidth>
SPA_INLINE void MakePhase(const float* channel, const Axis& vertical,
                          const Axis& horizontal, const PlaneShape& shape,
                          const PhaseRange& rows, const PhaseRange& columns,
                          float* to) {
  const std::size_t pitch = shape.pitch;
  Zero<kWidth>(to, to + rows.begin * pitch);
  for (std::size_t i = rows.begin; i < rows.end; ++i) {
    float* row = to + i * pitch;
    const std::size_t input = rows.first + (i - rows.begin) * vertical.stride;
    MakeRow<kWidth>(channel + input * horizontal.input + columns.first,
                    horizontal.stride, columns, pitch, row);
  }
  Zero<kWidth>(to + rows.end * pitch, to + shape.rows * pitch);
}

template <std::size_t kWidth>
static void MakePlanes(const float* x, std::size_t channels,
                       const Axis& vertical, const Axis& horizontal,
                       const PlaneShape& shape, float* to) {
  const std::size_t inputs = vertical.input * horizontal.input;
  const std::size_t phase = shape.rows * shape.pitch;
  const std::size_t phases = shape.vertical_phases * shape.horizontal_phases;
  for (std::size_t f = 0; f < shape.vertical_phases; ++f) {
    const PhaseRange rows = RangeOf(vertical, f, shape.rows);
    for (std::size_t g = 0; g < shape.horizontal_phases; ++g) {
      const PhaseRange columns = RangeOf(horizontal, g, shape.pitch);
      float* first = to + (f * shape.horizontal_phases + g) * phase;
      for (std::size_t c = 0; c < channels; ++c) {
        MakePhase<kWidth>(x + c * inputs, vertical, horizontal, shape, rows,
                          columns, first + c * phases * phase);
      }
    }
  }
}

// One run of outputs of one channel.
template <std::size_t kWidth>
SPA_INLINE void CropRun(const float* sums, const float* residual, float* y,
                        std::size_t count, const Epilogue& epilogue) {
  for (std::size_t i = 0; i < count; i += kWidth) {
    const std::size_t lanes = Smaller(count - i, kWidth);
    Vector<kWidth> sum;
    LoadFirst<kWidth>(sum, sums + i, lanes);
    if (residual != nullptr) {
      Vector<kWidth> other;
      LoadFirst<kWidth>(other, residual + i, lanes);
      sum += other;
    }
    StoreFirst<kWidth>(Activate<kWidth>(sum, epilogue), y + i, lanes);
  }
}

template <std::size_t kWidth>
static void Crop(const float* sums, std::size_t sums_stride,
                 std::size_t channels, std::size_t from, std::size_t count,
                 std::size_t pitch, std::size_t width, const float* residual,
                 float* y, std::size_t y_stride, const Epilogue& epilogue) {
  const std::size_t first_line = from / pitch;
  const std::size_t first_place = from - first_line * pitch;
  for (std::size_t c = 0; c < channels; ++c) {
    std::size_t begin = 0, place = first_place;
    std::size_t output = c * y_stride + first_line * width;
    while (begin < count) {
      const std::size_t run = Smaller(pitch - place, count - begin);
      if (place < width) {
        const std::size_t at = output + place;
        CropRun<kWidth>(sums + c * sums_stride + begin,
                        residual == nullptr ? nullptr : residual + at, y + at,
                        Smaller(width - place, run), epilogue);
      }
      begin += run;
      output += width;
      place = 0;
    }
  }
}

template <typename Isa>
static constexpr TilesKernel MakeTiles() {
  return {CopyRows<Isa::kWidth>,     Turn<Isa::kWidth>,
          MakePlanes<Isa::kWidth>,   Finish<Isa::kWidth>,
          FinishTurned<Isa::kWidth>, Crop<Isa::kWidth>};
}

}  // namespace spa

#endif  // SPA_KERNELS_TILES_GENERIC_H_
