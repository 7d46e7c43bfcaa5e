// Every channel is copied into padded planes, one for each phase of the
// strides. Rows of a plane follow one another with the same pitch as rows of a
// (wider) output, so one tap of all outputs is the plane from some offset on,
// and a convolution is a sparse matrix times vectors at offsets. Outputs beyond
// the width of Y are computed and dropped; they are as many as the padding.

#include "layers/planes_convolution.h"

#include <algorithm>
#include <initializer_list>

#include "abi/failure.h"
#include "support/buffer.h"

namespace spa {
namespace {

constexpr std::size_t kRowsOfTask = 64;
constexpr std::size_t kMostLanes = 128;

// How far beyond the outputs the taps of an axis reach, in places of a phase.
std::size_t Reach(const Axis& axis) {
  return (axis.kernel - 1) * axis.dilation / axis.stride;
}

std::size_t Phases(const Axis& axis) {
  return std::min(axis.stride, (axis.kernel - 1) * axis.dilation + 1);
}

std::size_t Product(std::initializer_list<std::size_t> factors) {
  std::size_t product = 1;
  for (const std::size_t factor : factors) {
    if (__builtin_mul_overflow(product, factor, &product)) {
      throw InvalidInput("an image is too large for 32-bit offsets");
    }
  }
  return product;
}

struct Planes {
  const ConvolutionLayer& layer;
  const ConvolutionCall& call;
  PlaneShape shape;
  std::size_t channel;  // floats of all phases of a channel
  std::size_t flat;     // outputs of a channel, with those beyond the width
  Split vectors;        // of `flat`, in tiles
  std::size_t width;    // floats of a vector

  std::size_t Offset(std::size_t column) const {
    const Axis &v = call.vertical, &h = call.horizontal;
    const std::size_t tap = column % (v.kernel * h.kernel);
    const std::size_t row = tap / h.kernel * v.dilation;
    const std::size_t place = tap % h.kernel * h.dilation;
    const std::size_t phase =
        row % v.stride * shape.horizontal_phases + place % h.stride;
    return (column / (v.kernel * h.kernel) * channel +
            phase * shape.rows * shape.pitch + row / v.stride * shape.pitch +
            place / h.stride) *
           sizeof(float);
  }
};

// Writes outputs [from, from + count) of the flat row `sums` to a channel of Y.
void Crop(const Planes& work, const float* sums, std::size_t from,
          std::size_t count, std::size_t place) {
  const std::size_t pitch = work.shape.pitch;
  const std::size_t width = work.call.horizontal.output;
  const float* residual = work.call.residual;
  const std::size_t end = from + count;
  for (std::size_t row = from / pitch; row * pitch < end; ++row) {
    const std::size_t start = std::max(from, row * pitch);
    const std::size_t stop = std::min(end, row * pitch + width);
    if (row == work.call.vertical.output || start >= stop) continue;
    const std::size_t to = place + row * width + (start - row * pitch);
    work.layer.kernels.tiles.finish(
        sums + (start - from), nullptr,
        residual == nullptr ? nullptr : residual + to, work.call.y + to,
        stop - start, work.layer.epilogue);
  }
}

void Multiply(const Planes& work, const Offsets& offsets, const float* planes,
              std::size_t image, std::size_t tile, std::size_t first_block,
              std::size_t end_block) {
  const Packed& weight = work.layer.weight;
  const std::size_t from = work.vectors.Begin(tile) * work.width;
  const std::size_t lanes = work.vectors.Size(tile) * work.width;
  const std::size_t row = first_block * weight.block_rows;
  const std::size_t rows =
      std::min(weight.rows, end_block * weight.block_rows) - row;
  const Epilogue none;
  alignas(64) float sums[kRowsOfTask * kMostLanes];
  PanelCall part{};
  part.weight = &weight;
  part.offsets = offsets.data();
  part.first_block = first_block;
  part.end_block = end_block;
  part.panel = reinterpret_cast<const char*>(planes + from);
  part.vectors = work.vectors.Size(tile);
  part.positions = lanes;
  part.y = sums;
  part.y_stride = lanes;
  part.bias = work.call.bias;
  part.epilogue = &none;
  for (std::size_t chunk = 0, chunks = Chunks(weight); chunk < chunks;
       ++chunk) {
    part.chunk = chunk;
    part.is_first = chunk == 0;
    work.layer.kernels.blocks_panel.multiply(part);
  }
  const std::size_t count = std::min(lanes, work.flat - from);
  const std::size_t outputs =
      work.call.vertical.output * work.call.horizontal.output;
  for (std::size_t r = 0; r < rows; ++r) {
    Crop(work, sums + r * lanes, from, count,
         (image * weight.rows + row + r) * outputs);
  }
}

void RunImage(const Planes& work, const Offsets& offsets, float* planes,
              std::size_t image, const Parallel& parallel) {
  const ConvolutionCall& call = work.call;
  const Packed& weight = work.layer.weight;
  const std::size_t inputs = call.vertical.input * call.horizontal.input;
  const float* x = call.x + image * call.channels * inputs;
  ForEach(parallel, call.channels, [&](std::size_t c) {
    work.layer.kernels.tiles.planes(x + c * inputs, call.vertical,
                                    call.horizontal, work.shape,
                                    planes + c * work.channel);
  });
  const Split blocks =
      SplitByMost(RowBlocks(weight), kRowsOfTask / weight.block_rows);
  const std::size_t tiles = work.vectors.parts;
  // What is larger passes through the caches once.
  const bool by_rows =
      weight.blocks * (weight.block_rows + 1) > call.channels * work.channel;
  ForEach(parallel, tiles * blocks.parts, [&](std::size_t task) {
    const std::size_t tile = by_rows ? task % tiles : task / blocks.parts;
    const std::size_t part = by_rows ? task / tiles : task % blocks.parts;
    Multiply(work, offsets, planes, image, tile, blocks.Begin(part),
             blocks.End(part));
  });
}

Planes MakePlanes(const ConvolutionLayer& layer, const ConvolutionCall& call) {
  const Axis &v = call.vertical, &h = call.horizontal;
  const BlocksPanelKernel& kernel = layer.kernels.blocks_panel;
  const PlaneShape shape{v.output + Reach(v), h.output + Reach(h), Phases(v),
                         Phases(h)};
  const std::size_t flat = (v.output - 1) * shape.pitch + h.output;
  std::size_t most =
      kernel.most_vectors[BlockRowsPlace(layer.weight.block_rows)];
  if (layer.tile != 0) most = std::min(most, layer.tile);
  return {layer,
          call,
          shape,
          Product({shape.vertical_phases, shape.horizontal_phases, shape.rows,
                   shape.pitch}),
          flat,
          SplitByMost((flat + kernel.width - 1) / kernel.width, most),
          kernel.width};
}

}  // namespace

void RunOverPlanes(const ConvolutionLayer& layer, const ConvolutionCall& call,
                   const Parallel& parallel) {
  const Planes work = MakePlanes(layer, call);
  // The last vector of the last tap may pass the last plane's end.
  const std::size_t of_planes = Product({call.channels, work.channel});
  if (of_planes > 0x7FFFFFFF / sizeof(float) - kMostLanes) {
    throw InvalidInput("an image is too large for 32-bit offsets");
  }
  const std::size_t floats = of_planes + kMostLanes;
  const auto offsets =
      layer.tables.Get(layer.weight, {work.channel, work.shape.pitch},
                       [&](std::size_t column) { return work.Offset(column); });
  const Floats planes(parallel.memory(), floats);
  std::fill(planes.get() + floats - kMostLanes, planes.get() + floats, 0.0f);
  for (std::size_t image = 0; image < call.images; ++image) {
    RunImage(work, *offsets, planes.get(), image, parallel);
  }
}

}  // namespace spa
