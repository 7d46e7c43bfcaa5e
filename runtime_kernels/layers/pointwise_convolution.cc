// Channels of a tile of positions are copied next to each other into a panel.
// In their place they lie whole planes apart, often a power of two, and would
// drive each other out of the caches.
//
// Either one task takes one tile through all rows, with a panel of its own that
// stays in the first-level cache chunk by chunk; the next panel is fetched
// meanwhile. Or, where tiles are few and the weight is larger than the input,
// all panels are made first and tasks are row blocks by tiles, so that the
// weight passes through the caches once.

#include "layers/pointwise_convolution.h"

#include <algorithm>
#include <string>

#include "abi/failure.h"
#include "support/buffer.h"

namespace spa {
namespace {

// With fewer tiles than this, threads would end too far apart.
constexpr std::size_t kFewestTilesOfOwnTask = 12;
constexpr std::size_t kRowsOfTask = 64;

struct Pointwise {
  const ConvolutionLayer& layer;
  const ConvolutionCall& call;
  std::size_t positions;  // of an image
  Split vectors;          // of an image, in tiles
  std::size_t width;      // floats of a vector
  std::size_t stride;     // floats of a column of a panel
  const Offsets& offsets;

  std::size_t Place(std::size_t tile) const {
    return vectors.Begin(tile % vectors.parts) * width;
  }
  std::size_t Lanes(std::size_t tile) const {
    return vectors.Size(tile % vectors.parts) * width;
  }
  std::size_t Positions(std::size_t tile) const {
    return std::min(Lanes(tile), positions - Place(tile));
  }
  // The tile's first position in the first channel of its image.
  const float* Input(std::size_t tile) const {
    return call.x + tile / vectors.parts * call.channels * positions +
           Place(tile);
  }

  void Copy(std::size_t tile, std::size_t first, std::size_t count,
            float* panel) const {
    layer.kernels.tiles.copy(Input(tile) + first * positions, positions, count,
                             Positions(tile), Lanes(tile), panel, stride);
  }

  PanelCall Call(std::size_t tile, std::size_t first_block,
                 std::size_t end_block) const {
    const Packed& weight = layer.weight;
    const std::size_t place =
        (tile / vectors.parts * weight.rows + first_block * weight.block_rows) *
            positions +
        Place(tile);
    PanelCall part{};
    part.weight = &weight;
    part.offsets = offsets.data();
    part.first_block = first_block;
    part.end_block = end_block;
    part.vectors = vectors.Size(tile % vectors.parts);
    part.positions = Positions(tile);
    part.y = call.y + place;
    part.y_stride = positions;
    part.bias = call.bias;
    part.residual = call.residual == nullptr ? nullptr : call.residual + place;
    part.epilogue = &layer.epilogue;
    return part;
  }

  void SetChunk(PanelCall& part, std::size_t chunk) const {
    part.chunk = chunk;
    part.is_first = chunk == 0;
    part.is_last = chunk + 1 == Chunks(layer.weight);
  }

  // The panel that this task copies next, if it is whole.
  NextPanel After(std::size_t tile, std::size_t chunk) const {
    const std::size_t each = layer.weight.chunk_columns;
    const bool same_tile = chunk + 1 < Chunks(layer.weight);
    const std::size_t next = same_tile ? tile : tile + 1;
    if (next % vectors.parts == 0 && !same_tile) return {};
    const std::size_t first = same_tile ? (chunk + 1) * each : 0;
    return {reinterpret_cast<const char*>(Input(next) + first * positions),
            positions * sizeof(float),
            std::min(each, call.channels - first)};
  }
};

void RunTile(const Pointwise& work, std::size_t tile) {
  const Packed& weight = work.layer.weight;
  const std::size_t each = weight.chunk_columns;
  const Floats panel = AllocateFloats(each * work.stride);
  PanelCall part = work.Call(tile, 0, RowBlocks(weight));
  part.fetches_y = Chunks(weight) == 1;
  for (std::size_t chunk = 0; chunk < Chunks(weight); ++chunk) {
    const std::size_t first = chunk * each;
    work.Copy(tile, first, std::min(each, work.call.channels - first),
              panel.get());
    work.SetChunk(part, chunk);
    // Offsets count from the panel of all columns.
    part.panel = reinterpret_cast<const char*>(panel.get());
    part.panel_start = first * work.stride * sizeof(float);
    part.next = work.After(tile, chunk);
    work.layer.kernels.blocks_panel.multiply(part);
  }
}

void RunTilesTogether(const Pointwise& work, std::size_t tiles,
                      const Parallel& parallel) {
  const Packed& weight = work.layer.weight;
  const std::size_t size = work.call.channels * work.stride;
  const Floats panels = AllocateFloats(tiles * size);
  const Split channels = SplitByMost(work.call.channels, 128);
  ForEach(parallel, tiles * channels.parts, [&](std::size_t task) {
    const std::size_t tile = task / channels.parts;
    const std::size_t first = channels.Begin(task % channels.parts);
    work.Copy(tile, first, channels.Size(task % channels.parts),
              panels.get() + tile * size + first * work.stride);
  });
  const Split blocks = SplitByMost(
      RowBlocks(weight), std::max<std::size_t>(1, kRowsOfTask / weight.block_rows));
  ForEach(parallel, tiles * blocks.parts, [&](std::size_t task) {
    const std::size_t tile = task % tiles, part_of = task / tiles;
    PanelCall part =
        work.Call(tile, blocks.Begin(part_of), blocks.End(part_of));
    part.panel = reinterpret_cast<const char*>(panels.get() + tile * size);
    for (std::size_t chunk = 0; chunk < Chunks(weight); ++chunk) {
      work.SetChunk(part, chunk);
      work.layer.kernels.blocks_panel.multiply(part);
    }
  });
}

}  // namespace

void RunPointwise(const ConvolutionLayer& layer, const ConvolutionCall& call,
                  const Parallel& parallel) {
  const Packed& weight = layer.weight;
  const BlocksPanelKernel& kernel = layer.kernels.blocks_panel;
  const std::size_t positions = call.vertical.input * call.horizontal.input;
  std::size_t most = kernel.most_vectors[BlockRowsPlace(weight.block_rows)];
  if (layer.tile != 0) most = std::min(most, layer.tile);
  const Split vectors =
      SplitByMost((positions + kernel.width - 1) / kernel.width, most);
  const std::size_t stride = vectors.Largest() * kernel.width;
  const std::size_t column_bytes = stride * sizeof(float);
  if (weight.columns > 0x7FFFFFFF / column_bytes) {
    throw InvalidInput(std::to_string(weight.columns) +
                       " channels are too many for 32-bit offsets");
  }
  const auto offsets =
      layer.tables.Get(weight, {stride}, [&](std::size_t column) {
        return column * column_bytes;
      });
  const Pointwise work{layer,        call,   positions, vectors,
                       kernel.width, stride, *offsets};
  const std::size_t tiles = vectors.parts * call.images;
  if (tiles >= kFewestTilesOfOwnTask) {
    ForEach(parallel, tiles, [&](std::size_t tile) { RunTile(work, tile); });
  } else {
    RunTilesTogether(work, tiles, parallel);
  }
}

}  // namespace spa
