#include "layers/linear.h"

#include <algorithm>
#include <string>

#include "abi/failure.h"
#include "support/buffer.h"

namespace spa {
namespace {

// A task's weights: so many that handing it out (up to 0.2 us) does not count,
// so few that they stay in the second-level cache for all tiles.
constexpr std::size_t kBytesOfTask = 128 * 1024;
// Fewer tokens than this have no panel where rows can be multiplied directly.
constexpr std::size_t kFewestPanelTokens = 4;
constexpr std::size_t kMostPanelRows = 128;
constexpr std::size_t kColumnsOfTask = 256;

std::size_t BytesOfWeight(const Packed& weight) {
  const std::size_t value = weight.value_type == ValueType::kFloat32 ? 4 : 2;
  const std::size_t values =
      weight.kind == Kind::kSegments ? kSegmentColumns : weight.block_rows;
  return weight.blocks * (values * value + 4) + weight.rows * 4;
}

// Row blocks cut into ranges of about kBytesOfTask, at least four if possible.
Split TasksOf(const Packed& weight, std::size_t row_blocks) {
  const std::size_t wanted = BytesOfWeight(weight) / kBytesOfTask + 1;
  return {row_blocks, std::min(row_blocks, std::max<std::size_t>(wanted, 4))};
}

// ---- One token at a time, rows multiplied directly.

void RunRows(const LinearLayer& layer, const LinearCall& call,
             void (*multiply)(const RowDotCall&), const Parallel& parallel) {
  const Packed& weight = layer.weight;
  const bool padded = weight.kind != Kind::kBlocks;
  const std::size_t stride =
      padded ? (weight.columns + 63) / 64 * 64 : weight.columns;
  const bool copies = padded && stride != weight.columns;
  const Floats copy(parallel.memory(), copies ? call.tokens * stride : 0);
  const float* x = call.x;
  if (copies) {
    layer.kernels.tiles.copy(call.x, weight.columns, call.tokens,
                             weight.columns, stride, copy.get(), stride);
    x = copy.get();
  }
  const Split rows = TasksOf(weight, weight.rows);
  ForEach(parallel, rows.parts * call.tokens, [&](std::size_t task) {
    const std::size_t part = task / call.tokens, token = task % call.tokens;
    const std::size_t first = rows.Begin(part), place = token * weight.rows;
    float* y = call.y + place;
    multiply({&weight, first, rows.End(part), x + token * stride, y});
    layer.kernels.tiles.finish(
        y + first, call.bias == nullptr ? nullptr : call.bias + first,
        call.residual == nullptr ? nullptr : call.residual + place + first,
        y + first, rows.Size(part), layer.epilogue);
  });
}

// ---- Outputs in lanes.

void RunLanes(const LinearLayer& layer, const LinearCall& call,
              std::size_t most_tokens, const Parallel& parallel) {
  const Packed& weight = layer.weight;
  const BlocksLanesKernel& kernel = layer.kernels.blocks_lanes;
  const Split tiles = SplitByMost(call.tokens, most_tokens);
  const bool turns = tiles.Largest() >= kernel.fewest_turned_tokens;
  const Floats turned(parallel.memory(),
                      turns ? call.tokens * weight.columns : 0);
  if (turns) {
    ForEach(parallel, tiles.parts, [&](std::size_t tile) {
      const std::size_t first = tiles.Begin(tile) * weight.columns;
      const std::size_t tokens = tiles.Size(tile);
      layer.kernels.tiles.turn(call.x + first, weight.columns, tokens,
                               weight.columns, tokens, turned.get() + first,
                               tokens);
    });
  }
  const Split blocks = TasksOf(weight, RowBlocks(weight));
  ForEach(parallel, blocks.parts * tiles.parts, [&](std::size_t task) {
    const std::size_t part = task / tiles.parts, tile = task % tiles.parts;
    const std::size_t token = tiles.Begin(tile), tokens = tiles.Size(tile);
    const std::size_t place = token * weight.rows;
    LanesCall lanes{};
    lanes.weight = &weight;
    lanes.first_block = blocks.Begin(part);
    lanes.end_block = blocks.End(part);
    lanes.tokens = tokens;
    lanes.x = (turns ? turned.get() : call.x) + token * weight.columns;
    lanes.is_turned = turns;
    lanes.y = call.y + place;
    lanes.bias = call.bias;
    lanes.residual = call.residual == nullptr ? nullptr : call.residual + place;
    lanes.epilogue = &layer.epilogue;
    kernel.multiply(lanes);
  });
}

// ---- Tokens in lanes.

// Tiles of tokens, each with a panel of all columns.
struct Panels {
  Split vectors;       // of tokens, in tiles
  std::size_t width;   // floats of a vector
  std::size_t stride;  // floats of a column
  std::size_t columns;

  std::size_t Token(std::size_t tile) const {
    return vectors.Begin(tile) * width;
  }
  std::size_t Size() const { return columns * stride; }
};

// One tile of tokens, some row blocks: sums with tokens in lanes, turned to Y.
void MultiplyPanel(const LinearLayer& layer, const LinearCall& call,
                   const Panels& panels, const Offsets& offsets,
                   const float* panel, std::size_t tile,
                   std::size_t first_block, std::size_t end_block) {
  const Packed& weight = layer.weight;
  const std::size_t token = panels.Token(tile);
  const std::size_t lanes = panels.vectors.Size(tile) * panels.width;
  const std::size_t tokens = std::min(lanes, call.tokens - token);
  const std::size_t row = first_block * weight.block_rows;
  const std::size_t rows =
      std::min(weight.rows, end_block * weight.block_rows) - row;
  const Epilogue none;
  // The most rows of a task times the most lanes of a tile, plus what the rows
  // of a block may pass that.
  alignas(64) float sums[(kMostPanelRows + kMostBlockRows) * 128];
  PanelCall part{};
  part.weight = &weight;
  part.offsets = offsets.data();
  part.first_block = first_block;
  part.end_block = end_block;
  part.panel = reinterpret_cast<const char*>(panel);
  part.vectors = panels.vectors.Size(tile);
  part.positions = lanes;
  part.y = sums;
  part.y_stride = lanes;
  part.bias = call.bias;
  part.epilogue = &none;
  for (std::size_t chunk = 0, chunks = Chunks(weight); chunk < chunks;
       ++chunk) {
    part.chunk = chunk;
    part.is_first = chunk == 0;
    part.is_last = false;
    layer.kernels.blocks_panel.multiply(part);
  }
  const std::size_t place = token * weight.rows + row;
  layer.kernels.tiles.finish_turned(
      sums, lanes, rows, tokens,
      call.residual == nullptr ? nullptr : call.residual + place,
      call.y + place, weight.rows, layer.epilogue);
}

void RunPanels(const LinearLayer& layer, const LinearCall& call,
               const Parallel& parallel) {
  const Packed& weight = layer.weight;
  const BlocksPanelKernel& kernel = layer.kernels.blocks_panel;
  std::size_t most = kernel.most_vectors[BlockRowsPlace(weight.block_rows)];
  if (layer.tile != 0) most = std::min(most, layer.tile);
  Panels panels{};
  panels.width = kernel.width;
  panels.vectors =
      SplitByMost((call.tokens + kernel.width - 1) / kernel.width, most);
  panels.stride = panels.vectors.Largest() * kernel.width;
  panels.columns = weight.columns;
  const std::size_t column_bytes = panels.stride * sizeof(float);
  if (weight.columns > 0x7FFFFFFF / column_bytes) {
    throw InvalidInput("weight: " + std::to_string(weight.columns) +
                       " columns are too many for this many tokens");
  }
  const auto offsets = layer.tables.Get(
      weight, {panels.stride},
      [&](std::size_t column) { return column * column_bytes; });
  const std::size_t tiles = panels.vectors.parts;
  const Floats all(parallel.memory(), tiles * panels.Size());
  const Split columns = SplitByMost(weight.columns, kColumnsOfTask);
  ForEach(parallel, tiles * columns.parts, [&](std::size_t task) {
    const std::size_t tile = task / columns.parts, part = task % columns.parts;
    const std::size_t token = panels.Token(tile), first = columns.Begin(part);
    const std::size_t lanes = panels.vectors.Size(tile) * panels.width;
    layer.kernels.tiles.turn(
        call.x + token * weight.columns + first, weight.columns,
        std::min(lanes, call.tokens - token), columns.Size(part), lanes,
        all.get() + tile * panels.Size() + first * panels.stride,
        panels.stride);
  });
  const std::size_t each = kMostPanelRows / weight.block_rows;
  const Split blocks = SplitByMost(RowBlocks(weight), each);
  ForEach(parallel, blocks.parts * tiles, [&](std::size_t task) {
    const std::size_t part = task / tiles, tile = task % tiles;
    MultiplyPanel(layer, call, panels, *offsets,
                  all.get() + tile * panels.Size(), tile, blocks.Begin(part),
                  blocks.End(part));
  });
}

void RunBlocks(const LinearLayer& layer, const LinearCall& call,
               const Parallel& parallel) {
  const Packed& weight = layer.weight;
  const std::size_t most =
      layer.kernels.blocks_lanes.most_tokens[BlockRowsPlace(weight.block_rows)];
  const bool wide = weight.block_rows >= 16;
  if (weight.block_rows == 1 && call.tokens < kFewestPanelTokens) {
    RunRows(layer, call, layer.kernels.row_dot.gather, parallel);
  } else if (most != 0 && weight.index_size == 2 &&
             (wide || call.tokens < most)) {
    RunLanes(layer, call, layer.tile == 0 ? most : std::min(most, layer.tile),
             parallel);
  } else {
    RunPanels(layer, call, parallel);
  }
}

}  // namespace

void RunLinear(const LinearLayer& layer, const LinearCall& call,
               const Parallel& parallel) {
  if (call.tokens == 0) return;
  switch (layer.weight.kind) {
    case Kind::kBlocks:
      return RunBlocks(layer, call, parallel);
    case Kind::kBitmask:
      return RunRows(layer, call, layer.kernels.row_dot.bitmask, parallel);
    case Kind::kSegments:
      return RunRows(layer, call, layer.kernels.row_dot.segments, parallel);
  }
}

}  // namespace spa
