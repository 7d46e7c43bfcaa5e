// Planes of all channels at once, where they fit the cache or the weight is
// large; of a strip of rows at a time, where they do not; or of some channels,
// where groups of outputs share no input.

#include "layers/planes_convolution.h"

#include <algorithm>
#include <vector>

#include "kernels/packed/view.h"
#include "layers/depthwise_convolution.h"
#include "layers/panels.h"
#include "layers/planes.h"
#include "support/buffer.h"

namespace spa {
namespace {

constexpr std::size_t kChannelsOfTask = 16;
// Planes of a part that is run on its own: they stay in the second-level cache,
// or in the first where each is read by one output.
constexpr std::size_t kFloatsOfPart = 64 * 1024;
constexpr std::size_t kFloatsOfDepthwisePart = 6 * 1024;
// With fewer parts, threads would end too far apart.
constexpr std::size_t kFewestParts = 4;
constexpr std::size_t kWantedParts = 8;

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
    MultiplyTile(work, offsets, planes, image, tile, blocks.Begin(part),
                 blocks.End(part), sums.get());
  });
}

// All outputs need all planes.
void RunTogether(const Planes& work, const Parallel& parallel) {
  const std::size_t floats = PlaneFloats(work, work.call.channels);
  const auto offsets = work.layer.tables.Get(
      work.layer.weight,
      {work.channel, work.shape.pitch, work.shape.horizontal_phases},
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
  const std::size_t place = (image * weight.rows + row) * work.outputs;
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
  const std::size_t floats = PlaneFloats(work, channels);
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
    MultiplyTile(work, offsets, planes.get(), image, tile, part.first_block,
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
  // Planes are numbered in their part, so these are tables of another kind.
  constexpr std::size_t kOfParts = 1;
  const auto offsets = work.layer.tables.Get(
      work.layer.weight,
      {work.channel, work.shape.pitch, work.shape.horizontal_phases, kOfParts},
      [&](std::size_t column) {
        const std::size_t channel = column / work.Taps();
        return work.Offset(column, channel - first_channel[channel]);
      });
  ForEach(parallel, parts.size() * work.call.images, [&](std::size_t task) {
    RunPart(work, *offsets, parts[task % parts.size()], task / parts.size(),
            parallel);
  });
}

// ---- Large images, strip of rows by strip, so that planes stay in the cache.

// Rows [first, end) of the outputs of one image.
ConvolutionCall StripOf(const ConvolutionCall& call, const Packed& weight,
                        std::size_t image, std::size_t first, std::size_t end) {
  const Axis &v = call.vertical, &h = call.horizontal;
  const std::size_t padded = first * v.stride;
  const std::size_t above =
      std::min(padded > v.padding ? padded - v.padding : 0, v.input);
  const std::size_t inputs = v.input * h.input;
  const std::size_t place =
      image * weight.rows * v.output * h.output + first * h.output;
  ConvolutionCall strip = call;
  strip.images = 1;
  strip.vertical.input = v.input - above;
  strip.vertical.output = end - first;
  strip.vertical.padding = padded > v.padding ? 0 : v.padding - padded;
  strip.x += image * call.channels * inputs + above * h.input;
  strip.y += place;
  if (strip.residual != nullptr) strip.residual += place;
  return strip;
}

void RunStrip(const Planes& work, const Offsets& offsets,
              const Memory& memory) {
  const std::size_t floats = PlaneFloats(work, work.call.channels);
  const std::size_t blocks = RowBlocks(work.layer.weight);
  const Floats planes(memory, floats);
  const Floats sums = RoomForSums(work, blocks, memory);
  ClearEnd(planes.get(), floats);
  work.MakePlanes(0, 0, work.call.channels, planes.get());
  for (std::size_t tile = 0; tile < work.vectors.parts; ++tile) {
    MultiplyTile(work, offsets, planes.get(), 0, tile, 0, blocks, sums.get());
  }
}

void RunStrips(const Planes& whole, const Split& strips,
               const Parallel& parallel) {
  const ConvolutionLayer& layer = whole.layer;
  const ConvolutionCall& call = whole.call;
  const Packed& weight = layer.weight;
  const ConvolutionCall largest = StripOf(call, weight, 0, 0, strips.Largest());
  PlaneShape shape = whole.shape;
  shape.rows = largest.vertical.output + Reach(largest.vertical);
  const Planes first = Describe(layer, largest, shape);
  PlaneFloats(first, call.channels);  // throws if offsets would not fit
  const auto offsets = layer.tables.Get(
      weight, {first.channel, shape.pitch, shape.horizontal_phases},
      [&](std::size_t column) {
        return first.Offset(column, column / first.Taps());
      });
  ForEach(parallel, strips.parts * call.images, [&](std::size_t task) {
    const std::size_t strip = task % strips.parts;
    Planes work = Describe(layer,
                           StripOf(call, weight, task / strips.parts,
                                   strips.Begin(strip), strips.End(strip)),
                           shape);
    work.inputs = whole.inputs;
    work.outputs = whole.outputs;
    RunStrip(work, *offsets, parallel.memory());
  });
}

Split StripsOf(const Planes& work, std::size_t threads) {
  const std::size_t rows = work.call.vertical.output;
  const std::size_t floats = work.call.channels * work.channel;
  if (!GoesByStrips(work.layer.weight, floats)) return {rows, 1};
  const std::size_t wanted = floats / kFloatsOfStrip + 1;
  const std::size_t even = (wanted + threads - 1) / threads * threads;
  return SplitByMost(rows, std::max<std::size_t>(1, rows / even));
}

}  // namespace

void RunOverPlanes(const ConvolutionLayer& layer, const ConvolutionCall& call,
                   const Parallel& parallel) {
  if (RunDepthwise(layer, call, parallel)) return;
  const Planes work = Describe(layer, call, ShapeOf(layer, call));
  const std::size_t floats =
      work.is_depthwise ? kFloatsOfDepthwisePart : kFloatsOfPart;
  const std::size_t channels =
      std::min(floats / work.channel, call.channels / kWantedParts);
  const std::vector<Part> parts =
      Joined(layer.parts, std::max<std::size_t>(channels, 1));
  if (parts.size() >= kFewestParts || (work.is_depthwise && !parts.empty())) {
    RunApart(work, parts, parallel);
  } else {
    const Split strips = StripsOf(work, parallel.threads());
    strips.parts > 1 ? RunStrips(work, strips, parallel)
                     : RunTogether(work, parallel);
  }
}

}  // namespace spa
