#include "layers/planes.h"

#include <algorithm>
#include <initializer_list>

#include "abi/failure.h"
#include "layers/panels.h"

namespace spa {
namespace {

// Sums of few rows, which stay in the first-level cache.
constexpr std::size_t kFloatsOfGroup = 4 * 1024;
// The most vectors of a tile, of any instruction set.
constexpr std::size_t kMostLanes = 128;
// See ShapeOf.
constexpr std::size_t kMostAlignedRows = 2;
constexpr std::size_t kMostAlignedFloats = 512 * 1024;

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
  const std::size_t outputs = work.outputs;
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

}  // namespace

bool GoesByStrips(const Packed& weight, std::size_t floats) {
  const std::size_t stored = weight.blocks * (weight.block_rows + 1);
  return floats > kFloatsOfStrip && stored * 2 <= floats;
}

std::size_t Reach(const Axis& axis) {
  return (axis.kernel - 1) * axis.dilation / axis.stride;
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
  const std::size_t floats =
      Product({call.channels, aligned.vertical_phases,
               aligned.horizontal_phases, aligned.rows, aligned.pitch});
  const bool is_small =
      floats <= kMostAlignedFloats || GoesByStrips(layer.weight, floats);
  const bool is_tight = aligned.pitch * 8 <= plain.pitch * 9;
  return layer.weight.block_rows <= kMostAlignedRows && h.kernel > 1 &&
                 h.dilation == 1 && is_small && is_tight &&
                 !IsDepthwise(layer.weight, layer.parts)
             ? aligned
             : plain;
}

Planes Describe(const ConvolutionLayer& layer, const ConvolutionCall& call,
                const PlaneShape& shape) {
  const Axis &v = call.vertical, &h = call.horizontal;
  const BlocksPanelKernel& kernel = layer.kernels.blocks_panel;
  const std::size_t flat = (v.output - 1) * shape.pitch + h.output;
  std::size_t most =
      kernel.most_vectors[BlockRowsPlace(layer.weight.block_rows)];
  if (layer.tile != 0) most = std::min(most, layer.tile);
  return {layer,
          call,
          v.input * h.input,
          v.output * h.output,
          shape,
          Product({shape.vertical_phases, shape.horizontal_phases, shape.rows,
                   shape.pitch}),
          flat,
          SplitByMost((flat + kernel.width - 1) / kernel.width, most),
          kernel.width,
          IsDepthwise(layer.weight, layer.parts)};
}

std::size_t PlaneFloats(const Planes& work, std::size_t channels) {
  const std::size_t floats = Product({channels, work.channel});
  if (floats > 0x7FFFFFFF / sizeof(float) - kMostLanes) {
    throw InvalidInput("an image is too large for 32-bit offsets");
  }
  return floats + kMostLanes;
}

void ClearEnd(float* planes, std::size_t floats) {
  std::fill(planes + floats - kMostLanes, planes + floats, 0.0f);
}

void MultiplyTile(const Planes& work, const Offsets& offsets,
                  const float* planes, std::size_t image, std::size_t tile,
                  std::size_t first_block, std::size_t end_block, float* sums) {
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

}  // namespace spa
