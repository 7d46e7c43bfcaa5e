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

template <std::size_t kWidth>
static void Turn(const float* from, std::size_t from_stride, std::size_t height,
                 std::size_t width, std::size_t padded, float* to,
                 std::size_t to_stride) {
  for (std::size_t j = 0; j < width; j += kWidth) {
    const std::size_t columns = Smaller(width - j, kWidth);
    for (std::size_t i = 0; i < padded; i += kWidth) {
      const std::size_t rows = i < height ? Smaller(height - i, kWidth) : 0;
      Vector<kWidth> tile[kWidth];
      LoadTile<kWidth>(tile, from + i * from_stride + j, from_stride, rows,
                       columns);
      Transpose<kWidth>(tile);
      for (std::size_t k = 0; k < columns; ++k) {
        StoreSome<kWidth>(tile[k], to + (j + k) * to_stride + i, padded - i);
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
static void FinishTurned(const float* from, std::size_t from_stride,
                         std::size_t height, std::size_t width,
                         const float* residual, float* y, std::size_t y_stride,
                         const Epilogue& epilogue) {
  for (std::size_t i = 0; i < height; i += kWidth) {
    const std::size_t rows = Smaller(height - i, kWidth);
    for (std::size_t j = 0; j < width; j += kWidth) {
      const std::size_t columns = Smaller(width - j, kWidth);
      Vector<kWidth> tile[kWidth];
      LoadTile<kWidth>(tile, from + i * from_stride + j, from_stride, rows,
                       columns);
      Transpose<kWidth>(tile);
      const std::size_t place = j * y_stride + i;
      for (std::size_t k = 0; k < columns; ++k) {
        Vector<kWidth> sum = tile[k];
        if (residual != nullptr) {
          Vector<kWidth> other;
          LoadSome<kWidth>(other, residual + place + k * y_stride, rows);
          sum += other;
        }
        StoreSome<kWidth>(Activate<kWidth>(sum, epilogue),
                          y + place + k * y_stride, rows);
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

// to[k] = from[k * stride], k < count; `end` is where readable floats end.
template <std::size_t kWidth>
static void CopyStrided(const float* from, const float* end, std::size_t stride,
                        std::size_t count, float* to) {
  if (stride == 1) {
    CopyPadded<kWidth>(from, count, count, to);
    return;
  }
  std::size_t k = 0;
  if (stride == 2) {
    for (; k + kWidth <= count && from + 2 * k + 2 * kWidth <= end;
         k += kWidth) {
      Vector<kWidth> low, high;
      Load<kWidth>(low, from + 2 * k);
      Load<kWidth>(high, from + 2 * k + kWidth);
      Store<kWidth>(
          EverySecond<kWidth>(low, high, std::make_index_sequence<kWidth>()),
          to + k);
    }
  }
  for (; k < count; ++k) to[k] = from[k * stride];
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

SPA_INLINE void Zero(float* from, const float* end) {
  for (; from < end; ++from) *from = 0.0f;
}

template <std::size_t kWidth>
static void MakePlanes(const float* channel, const Axis& vertical,
                       const Axis& horizontal, const PlaneShape& shape,
                       float* to) {
  const float* end = channel + vertical.input * horizontal.input;
  for (std::size_t f = 0; f < shape.vertical_phases; ++f) {
    const PhaseRange rows = RangeOf(vertical, f, shape.rows);
    for (std::size_t g = 0; g < shape.horizontal_phases; ++g) {
      const PhaseRange columns = RangeOf(horizontal, g, shape.pitch);
      for (std::size_t i = 0; i < shape.rows; ++i, to += shape.pitch) {
        if (i < rows.begin || i >= rows.end) {
          Zero(to, to + shape.pitch);
          continue;
        }
        Zero(to, to + columns.begin);
        const std::size_t row = rows.first + (i - rows.begin) * vertical.stride;
        CopyStrided<kWidth>(channel + row * horizontal.input + columns.first,
                            end, horizontal.stride, columns.end - columns.begin,
                            to + columns.begin);
        Zero(to + columns.end, to + shape.pitch);
      }
    }
  }
}

template <typename Isa>
static constexpr TilesKernel MakeTiles() {
  return {CopyRows<Isa::kWidth>, Turn<Isa::kWidth>, MakePlanes<Isa::kWidth>,
          Finish<Isa::kWidth>, FinishTurned<Isa::kWidth>};
}

}  // namespace spa

#endif  // SPA_KERNELS_TILES_GENERIC_H_
