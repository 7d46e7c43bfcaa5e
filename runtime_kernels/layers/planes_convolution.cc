// Every channel is copied into padded planes, one for each phase of the
// strides. Rows of a plane follow one another with the same pitch as rows of a
// (wider) output, so one tap of all outputs is the plane from some offset on,
// and a convolution is a sparse matrix times vectors at offsets. Outputs beyond
// the width of Y are computed and dropped; they are as many as the padding.

#include "layers/planes_convolution.h"

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "abi/failure.h"
#include "kernels/packed/view.h"
#include "layers/depthwise_convolution.h"
#include "layers/panels.h"
#include "support/buffer.h"

namespace spa {
namespace {

// Sums of some rows: in the second-level cache, or in the first.
constexpr std::size_t kFloatsOfSums = 128 * 1024;
constexpr std::size_t kFloatsOfGroup = 4 * 1024;
constexpr std::size_t kChannelsOfTask = 16;
constexpr std::size_t kMostLanes = 128;
constexpr std::size_t kMostAlignedRows = 2;
constexpr std::size_t kMostAlignedFloats = 512 * 1024;
// Planes of a part that is run on its own: they stay in the second-level cache,
// or in the first where each is read by one output.
constexpr std::size_t kFloatsOfPart = 64 * 1024;
constexpr std::size_t kFloatsOfDepthwisePart = 6 * 1024;
// With fewer parts, threads would end too far apart.
constexpr std::size_t kFewestParts = 4;
constexpr std::size_t kWantedParts = 8;

// How far beyond the outputs the taps of an axis reach, in places of a phase.
std::size_t Reach(const Axis& axis) {
  return (axis.kernel - 1) * axis.dilation / axis.stride;
}

std::size_t Span(const Axis& axis) {
  return (axis.kernel - 1) * axis.dilation + 1;
}

std::size_t Phases(const Axis& axis) {
  return std::min(axis.stride, Span(axis));
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
    const Axis &v = call.vertical, &h = call.horizontal;
    layer.kernels.tiles.planes(
        call.x + (image * call.channels + first) * v.input * h.input, channels,
        v, h, shape, planes);
  }
};

// Room for planes, with what the last vector of the last tap may read beyond.
std::size_t FloatsOf(const Planes& work, std::size_t channels) {
  const std::size_t floats = Product({channels, work.channel});
  if (floats > 0x7FFFFFFF / sizeof(float) - kMostLanes) {
    throw InvalidInput("an image is too large for 32-bit offsets");
  }
  return floats + kMostLanes;
}

void ClearEnd(float* planes, std::size_t floats) {
  std::fill(planes + floats - kMostLanes, planes + floats, 0.0f);
}

// One tile, some row blocks. All of them pass over a chunk of columns before
// the next, so that its part of the planes stays in the first-level cache.
void Multiply(const Planes& work, const Offsets& offsets, const float* planes,
              std::size_t image, std::size_t tile, std::size_t first_block,
              std::size_t end_block, float* sums) {
  const Packed& weight = work.layer.weight;
  const std::size_t from = work.vectors.Begin(tile) * work.width;
  const std::size_t lanes = work.vectors.Size(tile) * work.width;
  const std::size_t row = first_block * weight.block_rows;
  const std::size_t rows =
      std::min(weight.rows, end_block * weight.block_rows) - row;
  const Epilogue none;
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
  const std::size_t outputs =
      work.call.vertical.output * work.call.horizontal.output;
  const std::size_t place = (image * weight.rows + row) * outputs;
  const std::size_t line = from / work.shape.pitch;
  const Fetch written{
      work.call.y + place + line * work.call.horizontal.output +
          std::min(from - line * work.shape.pitch, work.call.horizontal.output),
      outputs * sizeof(float), rows};
  for (std::size_t chunk = 0, chunks = Chunks(weight); chunk < chunks;
       ++chunk) {
    part.chunk = chunk;
    part.is_first = chunk == 0;
    if (chunk + 1 == chunks) part.written[0] = written;
    work.layer.kernels.blocks_panel.multiply(part);
  }
  const std::size_t count = std::min(lanes, work.flat - from);
  const float* residual = work.call.residual;
  work.layer.kernels.tiles.crop(
      sums, lanes, rows, from, count, work.shape.pitch,
      work.call.horizontal.output,
      residual == nullptr ? nullptr : residual + place, work.call.y + place,
      outputs, work.layer.epilogue);
}

// Row blocks that are multiplied together: with one chunk few, whose sums stay
// in the first-level cache.
Split Groups(const Planes& work, std::size_t blocks) {
  const Packed& weight = work.layer.weight;
  const std::size_t floats =
      Chunks(weight) > 1 ? kFloatsOfSums : kFloatsOfGroup;
  const std::size_t floats_of_block =
      weight.block_rows * work.vectors.Largest() * work.width;
  return SplitByMost(blocks,
                     std::max<std::size_t>(1, floats / floats_of_block));
}

// Some tiles, some row blocks, group by group.
void MultiplyGroups(const Planes& work, const Offsets& offsets,
                    const float* planes, std::size_t image, std::size_t tile,
                    std::size_t first_block, std::size_t end_block,
                    float* sums) {
  const Split groups = Groups(work, end_block - first_block);
  for (std::size_t g = 0; g < groups.parts; ++g) {
    Multiply(work, offsets, planes, image, tile, first_block + groups.Begin(g),
             first_block + groups.End(g), sums);
  }
}

Floats RoomForSums(const Planes& work, std::size_t blocks,
                   const Memory& memory) {
  return {memory, Groups(work, blocks).Largest() *
                      work.layer.weight.block_rows * work.vectors.Largest() *
                      work.width};
}

void RunImage(const Planes& work, const Offsets& offsets, float* planes,
              std::size_t image, const Parallel& parallel) {
  const ConvolutionCall& call = work.call;
  const Packed& weight = work.layer.weight;
  const Split channels = SplitByMost(call.channels, kChannelsOfTask);
  ForEach(parallel, channels.parts, [&](std::size_t i) {
    const std::size_t first = channels.Begin(i);
    work.MakePlanes(image, first, channels.Size(i),
                    planes + first * work.channel);
  });
  const std::size_t tiles = work.vectors.parts;
  const Split blocks = RowRanges(weight, tiles, parallel.threads());
  // What is larger passes through the caches once.
  const bool by_rows =
      weight.blocks * (weight.block_rows + 1) > call.channels * work.channel;
  ForEach(parallel, tiles * blocks.parts, [&](std::size_t task) {
    const std::size_t tile = by_rows ? task % tiles : task / blocks.parts;
    const std::size_t part = by_rows ? task / tiles : task % blocks.parts;
    const Floats sums = RoomForSums(work, blocks.Size(part), parallel.memory());
    MultiplyGroups(work, offsets, planes, image, tile, blocks.Begin(part),
                   blocks.End(part), sums.get());
  });
}

// All outputs need all planes.
void RunTogether(const Planes& work, const Parallel& parallel) {
  const std::size_t floats = FloatsOf(work, work.call.channels);
  const auto offsets =
      work.layer.tables.Get(work.layer.weight, {work.channel, work.shape.pitch},
                            [&](std::size_t column) {
                              return work.Offset(column, column / work.Taps());
                            });
  const Floats planes(parallel.memory(), floats);
  ClearEnd(planes.get(), floats);
  for (std::size_t image = 0; image < work.call.images; ++image) {
    RunImage(work, *offsets, planes.get(), image, parallel);
  }
}

// One output channel of a depthwise convolution.
void MultiplyDepthwise(const Planes& work, const Offsets& offsets,
                       const float* planes, std::size_t image,
                       std::size_t row) {
  const ConvolutionCall& call = work.call;
  const Packed& weight = work.layer.weight;
  const std::size_t from = StartAt(weight.starts, row);
  const std::size_t size = weight.value_type == ValueType::kFloat32 ? 4 : 2;
  const std::size_t outputs = call.vertical.output * call.horizontal.output;
  const std::size_t place = (image * weight.rows + row) * outputs;
  work.layer.kernels.depthwise.multiply(
      {planes, work.shape.pitch, call.vertical.output, call.horizontal.output,
       weight.value_type, offsets.data() + from, weight.values + from * size,
       StartAt(weight.starts, row + 1) - from,
       call.bias == nullptr ? 0.0f : call.bias[row],
       call.residual == nullptr ? nullptr : call.residual + place,
       call.y + place, &work.layer.epilogue});
}

// One part of one image: its planes stay in the second-level cache.
void RunPart(const Planes& work, const Offsets& offsets, const Part& part,
             std::size_t image, const Parallel& parallel) {
  const std::size_t channels = part.end_channel - part.first_channel;
  const std::size_t floats = FloatsOf(work, channels);
  const Floats planes(parallel.memory(), floats);
  ClearEnd(planes.get(), floats);
  work.MakePlanes(image, part.first_channel, channels, planes.get());
  if (work.is_depthwise) {
    for (std::size_t row = part.first_block; row < part.end_block; ++row) {
      MultiplyDepthwise(work, offsets, planes.get(), image, row);
    }
    return;
  }
  const std::size_t blocks = part.end_block - part.first_block;
  const Floats sums = RoomForSums(work, blocks, parallel.memory());
  for (std::size_t tile = 0; tile < work.vectors.parts; ++tile) {
    MultiplyGroups(work, offsets, planes.get(), image, tile, part.first_block,
                   part.end_block, sums.get());
  }
}

void RunApart(const Planes& work, const std::vector<Part>& parts,
              const Parallel& parallel) {
  std::vector<std::size_t> first_channel(work.call.channels);
  for (const Part& part : parts) {
    std::fill(first_channel.begin() + std::ptrdiff_t(part.first_channel),
              first_channel.begin() + std::ptrdiff_t(part.end_channel),
              part.first_channel);
  }
  const auto offsets = work.layer.tables.Get(
      work.layer.weight, {work.channel, work.shape.pitch},
      [&](std::size_t column) {
        const std::size_t channel = column / work.Taps();
        return work.Offset(column, channel - first_channel[channel]);
      });
  ForEach(parallel, parts.size() * work.call.images, [&](std::size_t task) {
    RunPart(work, *offsets, parts[task % parts.size()], task / parts.size(),
            parallel);
  });
}

// With a phase for every horizontal tap and rows of whole vectors, no vector
// that is read crosses a line of the cache, which else costs a second access.
// That counts where each is multiplied but once or twice, unless many positions
// of the wider rows are computed in vain or the planes outgrow the cache.
PlaneShape ShapeOf(const ConvolutionLayer& layer, const ConvolutionCall& call) {
  const Axis &v = call.vertical, &h = call.horizontal;
  const PlaneShape plain{v.output + Reach(v), h.output + Reach(h), Phases(v),
                         Phases(h)};
  const std::size_t width = layer.kernels.blocks_panel.width;
  const PlaneShape aligned{plain.rows, (h.output + width - 1) / width * width,
                           plain.vertical_phases, Span(h)};
  const bool is_small = Product({call.channels, aligned.vertical_phases,
                                 aligned.horizontal_phases, aligned.rows,
                                 aligned.pitch}) <= kMostAlignedFloats;
  const bool is_tight = aligned.pitch * 8 <= plain.pitch * 9;
  return layer.weight.block_rows <= kMostAlignedRows && h.kernel > 1 &&
                 h.dilation == 1 && is_small && is_tight &&
                 !IsDepthwise(layer.weight, layer.parts)
             ? aligned
             : plain;
}

Planes Describe(const ConvolutionLayer& layer, const ConvolutionCall& call) {
  const Axis &v = call.vertical, &h = call.horizontal;
  const BlocksPanelKernel& kernel = layer.kernels.blocks_panel;
  const PlaneShape shape = ShapeOf(layer, call);
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
          kernel.width,
          IsDepthwise(layer.weight, layer.parts)};
}

}  // namespace

void RunOverPlanes(const ConvolutionLayer& layer, const ConvolutionCall& call,
                   const Parallel& parallel) {
  if (RunDepthwise(layer, call, parallel)) return;
  const Planes work = Describe(layer, call);
  const std::size_t floats =
      work.is_depthwise ? kFloatsOfDepthwisePart : kFloatsOfPart;
  const std::size_t channels =
      std::min(floats / work.channel, call.channels / kWantedParts);
  const std::vector<Part> parts =
      Joined(layer.parts, std::max<std::size_t>(channels, 1));
  if (parts.size() >= kFewestParts || (work.is_depthwise && !parts.empty())) {
    RunApart(work, parts, parallel);
  } else {
    RunTogether(work, parallel);
  }
}

}  // namespace spa
