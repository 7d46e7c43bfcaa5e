// The loops of tiles, templated on the vector width. Everything is `static`;
// see support/vectors.h.

#ifndef SPA_KERNELS_TILES_GENERIC_H_
#define SPA_KERNELS_TILES_GENERIC_H_

#include "kernels/tiles/planes.h"
#include "kernels/tiles/tiles.h"
#include "support/transpose.h"

namespace spa {

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

// Columns of vectors, so that the places of one are read once. Those of the
// last one are copied, since a whole vector of them is read.
template <typename Isa>
static void GatherPlaces(const float* from, std::size_t from_stride,
                         std::size_t rows, const std::uint32_t* places,
                         std::size_t count, std::size_t padded, float* to,
                         std::size_t to_stride) {
  constexpr std::size_t kWidth = Isa::kWidth;
  for (std::size_t i = 0; i < padded; i += kWidth) {
    const std::size_t lanes = i < count ? Smaller(count - i, kWidth) : 0;
    unsigned char indices[kWidth * sizeof(std::uint32_t)] = {};
    std::memcpy(indices, places + i, lanes * sizeof(std::uint32_t));
    for (std::size_t r = 0; r < rows; ++r) {
      Store<kWidth>(Isa::template Gather<std::uint32_t>(from + r * from_stride,
                                                        indices, lanes),
                    to + r * to_stride + i);
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
  return {CopyRows<Isa::kWidth>, GatherPlaces<Isa>,
          Turn<Isa::kWidth>,     MakePlanes<Isa::kWidth>,
          Finish<Isa::kWidth>,   FinishTurned<Isa::kWidth>,
          Crop<Isa::kWidth>};
}

}  // namespace spa

#endif  // SPA_KERNELS_TILES_GENERIC_H_
