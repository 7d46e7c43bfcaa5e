// Channels of a tile of positions are copied next to each other into a panel.
// In their place they lie whole planes apart, often near a power of two, and
// would drive each other out of the caches.
//
// A few neighbouring tiles make a band, whose panels fit the second-level
// cache; so both X and Y are read and written in runs long enough for the
// processor to foresee. Within a band a group of rows passes over all its
// tiles, chunk by chunk of columns so that a chunk's panel stays in the
// first-level cache. Where bands are many, one task is one band, and the next
// one is fetched meanwhile; else all panels are made first and tasks are row
// groups by tiles.

#include "layers/pointwise_convolution.h"

#include <algorithm>
#include <string>

#include "abi/failure.h"
#include "support/buffer.h"

namespace spa {
namespace {

// With fewer bands than this, threads would end too far apart.
constexpr std::size_t kFewestBandsOfOwnTask = 6;
constexpr std::size_t kBandBytes = 512 * 1024;
constexpr std::size_t kMostTilesOfBand = 4;
constexpr std::size_t kRowsOfGroup = 32;

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

  // One group of rows over one tile, all chunks.
  void Multiply(std::size_t tile, const float* panel, std::size_t first_block,
                std::size_t end_block, const NextPanel& next) const {
    PanelCall part = Call(tile, first_block, end_block);
    part.panel = reinterpret_cast<const char*>(panel);
    part.next = next;
    part.fetches_y = true;
    for (std::size_t chunk = 0; chunk < Chunks(layer.weight); ++chunk) {
      SetChunk(part, chunk);
      layer.kernels.blocks_panel.multiply(part);
      part.next = {};
      part.fetches_y = false;
    }
  }

  std::size_t PanelSize() const { return call.channels * stride; }
};

Split RowGroups(const Packed& weight) {
  const std::size_t blocks =
      std::max<std::size_t>(1, kRowsOfGroup / weight.block_rows);
  return SplitByMost(RowBlocks(weight), blocks);
}

// Channels of the next band, shared out to the calls of this one.
struct Fetch {
  const Pointwise& work;
  std::size_t tile;   // first of the next band, or beyond the last
  std::size_t tiles;  // of all images
  Split channels;     // among the calls

  NextPanel Part(std::size_t call) const {
    if (tile >= tiles) return {};
    const std::size_t first = channels.Begin(call);
    return {reinterpret_cast<const char*>(work.Input(tile) +
                                          first * work.positions),
            work.positions * sizeof(float), channels.Size(call)};
  }
};

void RunBand(const Pointwise& work, const Split& bands, std::size_t band,
             float* panels) {
  const std::size_t first = bands.Begin(band), tiles = bands.Size(band);
  for (std::size_t i = 0; i < tiles; ++i) {
    work.Copy(first + i, 0, work.call.channels, panels + i * work.PanelSize());
  }
  const Split groups = RowGroups(work.layer.weight);
  for (std::size_t g = 0; g < groups.parts; ++g) {
    for (std::size_t i = 0; i < tiles; ++i) {
      const Fetch fetch{work,
                        first + tiles + i,
                        bands.length,
                        {work.call.channels, groups.parts}};
      work.Multiply(first + i, panels + i * work.PanelSize(), groups.Begin(g),
                    groups.End(g), fetch.Part(g));
    }
  }
}

void RunBands(const Pointwise& work, const Split& bands,
              const Parallel& parallel) {
  const std::size_t size = bands.Largest() * work.PanelSize();
  ForEach(parallel, bands.parts, [&](std::size_t band) {
    const Floats panels(parallel.memory(), size);
    RunBand(work, bands, band, panels.get());
  });
}

void RunTilesTogether(const Pointwise& work, std::size_t tiles,
                      const Parallel& parallel) {
  const std::size_t size = work.PanelSize();
  const Floats panels(parallel.memory(), tiles * size);
  const Split channels = SplitByMost(work.call.channels, 128);
  ForEach(parallel, tiles * channels.parts, [&](std::size_t task) {
    const std::size_t tile = task / channels.parts;
    const std::size_t first = channels.Begin(task % channels.parts);
    work.Copy(tile, first, channels.Size(task % channels.parts),
              panels.get() + tile * size + first * work.stride);
  });
  const Split groups = RowGroups(work.layer.weight);
  ForEach(parallel, tiles * groups.parts, [&](std::size_t task) {
    const std::size_t tile = task % tiles, group = task / tiles;
    work.Multiply(tile, panels.get() + tile * size, groups.Begin(group),
                  groups.End(group), {});
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
  const auto offsets = layer.tables.Get(
      weight, {stride},
      [&](std::size_t column) { return column * column_bytes; });
  const Pointwise work{layer,        call,   positions, vectors,
                       kernel.width, stride, *offsets};
  const std::size_t tiles = vectors.parts * call.images;
  const std::size_t fit = kBandBytes / (work.PanelSize() * sizeof(float)) + 1;
  const Split bands =
      SplitByMost(tiles, std::min<std::size_t>(fit, kMostTilesOfBand));
  if (bands.parts >= kFewestBandsOfOwnTask) {
    RunBands(work, bands, parallel);
  } else {
    RunTilesTogether(work, tiles, parallel);
  }
}

}  // namespace spa
