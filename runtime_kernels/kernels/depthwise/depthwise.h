// depthwise: one channel of a convolution that reads one input channel.
//
//   Y[h, w] = act(bias + sum over taps j of value[j] plane[h, w + offset[j]] +
//                 Z[h, w])
//
// Rows of outputs lie in vector lanes; several rows are summed together, so
// that each value is spread once for all of them.

#ifndef SPA_KERNELS_DEPTHWISE_DEPTHWISE_H_
#define SPA_KERNELS_DEPTHWISE_DEPTHWISE_H_

#include <cstddef>
#include <cstdint>

#include "kernels/epilogue.h"
#include "kernels/packed/packed.h"
#include "kernels/tiles/tiles.h"

namespace spa {

struct DepthwiseCall {
  // Row h's outputs read plane + h * pitch floats + offsets, whole vectors.
  const float* plane;
  std::size_t pitch;
  std::size_t rows;
  std::size_t width;
  ValueType value_type;
  const std::int32_t* offsets;  // (taps,) bytes
  const unsigned char* values;  // (taps,)
  std::size_t taps;
  float bias;
  const float* residual;  // (rows, width) or null
  float* y;               // (rows, width)
  const Epilogue* epilogue;
};

// A square kernel of 3 or 5 taps, all of them stored, and stride 1 or 2 along
// both axes; with stride 1, rows have as many outputs as inputs.
struct DirectShape {
  Axis vertical;
  Axis horizontal;
};

struct DirectCall {
  const DirectShape* shape;
  const std::uint16_t* masks;   // that `make_masks` wrote
  const float* x;               // (H, W)
  const unsigned char* values;  // (taps, taps) float32
  float bias;
  const float* residual;  // as Y, or null
  float* y;               // (H', W')
  const Epilogue* epilogue;
};

struct DepthwiseKernel {
  void (*multiply)(const DepthwiseCall& call);
  // Without a copy of the input; null where masks are not cheap.
  void (*multiply_direct)(const DirectCall& call);
  std::size_t (*count_masks)(const DirectShape& shape);
  void (*make_masks)(const DirectShape& shape, std::uint16_t* masks);
};

}  // namespace spa

#endif  // SPA_KERNELS_DEPTHWISE_DEPTHWISE_H_
