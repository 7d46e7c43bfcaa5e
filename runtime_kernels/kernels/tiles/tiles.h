// tiles: inputs brought into the form that the other kernels read, and sums
// into the form of the output.

#ifndef SPA_KERNELS_TILES_TILES_H_
#define SPA_KERNELS_TILES_TILES_H_

#include <cstddef>
#include <cstdint>

#include "kernels/epilogue.h"

namespace spa {

// One axis of a convolution: output o at tap t reads padded input
// o * stride + t * dilation.
struct Axis {
  std::size_t input;   // length
  std::size_t output;  // length, at least 1
  std::size_t kernel;
  std::size_t stride;
  std::size_t dilation;
  std::size_t padding;  // before the first input
};

// Phase (f, g) of a channel holds every padded input whose row is f modulo the
// vertical stride and whose column is g modulo the horizontal one, so that any
// tap of all outputs lies at one offset in one phase.
struct PlaneShape {
  std::size_t rows;   // of a phase
  std::size_t pitch;  // floats of a row of a phase
  // Phases that some tap lies in.
  std::size_t vertical_phases;
  std::size_t horizontal_phases;
};

struct TilesKernel {
  // Copies `rows` rows of `count` floats and adds zeros up to `padded` floats.
  void (*copy)(const float* from, std::size_t from_stride, std::size_t rows,
               std::size_t count, std::size_t padded, float* to,
               std::size_t to_stride);
  // Copies from `rows` rows the floats at `count` places, each below 2^31, and
  // adds zeros up to `padded` floats, whole vectors.
  void (*gather)(const float* from, std::size_t from_stride, std::size_t rows,
                 const std::uint32_t* places, std::size_t count,
                 std::size_t padded, float* to, std::size_t to_stride);
  // to[j * to_stride + i] = from[i * from_stride + j] for i < height, j <
  // width, and zeros for height <= i < padded.
  void (*turn)(const float* from, std::size_t from_stride, std::size_t height,
               std::size_t width, std::size_t padded, float* to,
               std::size_t to_stride);
  // Writes the phases of `channels` channels, rows * pitch floats each, one
  // after the other; a channel of X begins `x_stride` floats behind the last.
  void (*planes)(const float* x, std::size_t x_stride, std::size_t channels,
                 const Axis& vertical, const Axis& horizontal,
                 const PlaneShape& shape, float* to);
  // y[i] = act(from[i] + bias[i] + residual[i]); null adds nothing, `from` may
  // be `y`.
  void (*finish)(const float* from, const float* bias, const float* residual,
                 float* y, std::size_t count, const Epilogue& epilogue);
  // y[j * y_stride + i] = act(from[i * from_stride + j] + residual, as y).
  void (*finish_turned)(const float* from, std::size_t from_stride,
                        std::size_t height, std::size_t width,
                        const float* residual, float* y, std::size_t y_stride,
                        const Epilogue& epilogue);
  // Of lines of `pitch` floats, those outputs [from, from + count) that lie in
  // the first `width` of their line go to a channel of Y, whose lines have just
  // these: y = act(sums + residual, as y). So for every channel; sums[0] of
  // each is output `from`.
  void (*crop)(const float* sums, std::size_t sums_stride, std::size_t channels,
               std::size_t from, std::size_t count, std::size_t pitch,
               std::size_t width, const float* residual, float* y,
               std::size_t y_stride, const Epilogue& epilogue);
};

}  // namespace spa

#endif  // SPA_KERNELS_TILES_TILES_H_
