// Channels in padded planes, by which convolutions are sparse matrices times
// vectors.
//
// Every channel is copied into planes, one for each phase of the strides. Rows
// of a plane follow one another with the same pitch as rows of a (wider)
// output, so one tap of all outputs is the plane from some offset on, and a
// convolution is a sparse matrix times vectors at offsets. Outputs beyond the
// width of Y are computed and dropped; they are as many as the padding.

#ifndef SPA_LAYERS_PLANES_H_
#define SPA_LAYERS_PLANES_H_

#include <cstddef>

#include "layers/convolution.h"
#include "support/buffer.h"

namespace spa {

// A convolution over planes.
struct Planes {
  const ConvolutionLayer& layer;
  ConvolutionCall call;  // of whole images or of a strip of one
  std::size_t inputs;    // floats between channels of X
  std::size_t outputs;   // and of Y
  PlaneShape shape;
  std::size_t channel;  // floats of all phases of a channel
  std::size_t flat;     // outputs of a channel, with those beyond the width
  Split vectors;        // of `flat`, in tiles
  std::size_t width;    // floats of a vector
  bool is_depthwise;

  // Byte offset of a column whose channel has the given number among planes.
  std::size_t Offset(std::size_t column, std::size_t plane) const {
    const Axis &v = call.vertical, &h = call.horizontal;
    const std::size_t tap = column % (v.kernel * h.kernel);
    const std::size_t row = tap / h.kernel * v.dilation;
    const std::size_t place = tap % h.kernel * h.dilation;
    const std::size_t phase = row % v.stride * shape.horizontal_phases +
                              place % shape.horizontal_phases;
    return (plane * channel + phase * shape.rows * shape.pitch +
            row / v.stride * shape.pitch + place / shape.horizontal_phases) *
           sizeof(float);
  }

  std::size_t Taps() const {
    return call.vertical.kernel * call.horizontal.kernel;
  }

  void MakePlanes(std::size_t image, std::size_t first, std::size_t channels,
                  float* planes) const {
    layer.kernels.tiles.planes(
        call.x + (image * call.channels + first) * inputs, inputs, channels,
        call.vertical, call.horizontal, shape, planes);
  }
};

// Planes of a strip of rows; smaller ones would copy too many rows twice.
constexpr std::size_t kFloatsOfStrip = 128 * 1024;

// Whether planes of so many floats are made strip by strip: they do not fit the
// cache, and the weight, which every strip reads, is small beside them.
bool GoesByStrips(const Packed& weight, std::size_t floats);

// How far beyond the outputs the taps of an axis reach, in places of a phase.
std::size_t Reach(const Axis& axis);

// Throws InvalidInput if planes are too large for 32-bit offsets, as
// PlaneFloats does.
PlaneShape ShapeOf(const ConvolutionLayer& layer, const ConvolutionCall& call);
Planes Describe(const ConvolutionLayer& layer, const ConvolutionCall& call,
                const PlaneShape& shape);

// Floats of so many channels' planes, with what the last vector of the last tap
// may read beyond.
std::size_t PlaneFloats(const Planes& work, std::size_t channels);

// Zeros in that rest.
void ClearEnd(float* planes, std::size_t floats);

// Room for the sums of so many row blocks.
Floats RoomForSums(const Planes& work, std::size_t blocks,
                   const Memory& memory);

// One tile of one image, some row blocks: from planes to Y.
void MultiplyTile(const Planes& work, const Offsets& offsets,
                  const float* planes, std::size_t image, std::size_t tile,
                  std::size_t first_block, std::size_t end_block, float* sums);

}  // namespace spa

#endif  // SPA_LAYERS_PLANES_H_
