#include "layers/linear.h"

#include <algorithm>
#include <stdexcept>

#include "layers/panels.h"
#include "support/buffer.h"

namespace spa {
namespace {

// A task's weights: so many that handing it out (up to 0.2 us) does not count,
// so few that they stay in the second-level cache for all tiles.
constexpr std::size_t kBytesOfTask = 128 * 1024;
// Fewer tokens than this have no panel where rows can be multiplied directly.
constexpr std::size_t kFewestPanelTokens = 4;

std::size_t BytesOfWeight(const Packed& weight) {
  const std::size_t value = weight.value_type == ValueType::kFloat32 ? 4 : 2;
  return StoredValues(weight) * value + weight.blocks * 4 + weight.rows * 4;
}

// Row blocks cut into ranges of about kBytesOfTask, as many for each thread.
Split TasksOf(const Packed& weight, std::size_t row_blocks,
              std::size_t threads) {
  const std::size_t wanted = BytesOfWeight(weight) / kBytesOfTask + 1;
  const std::size_t each = (wanted + threads - 1) / threads;
  return {row_blocks, std::min(row_blocks, each * threads)};
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
  const Split rows = TasksOf(weight, weight.rows, parallel.threads());
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

// Tiles of tokens, each turned so that a column's inputs lie side by side.
Floats Turned(const LinearLayer& layer, const LinearCall& call,
              const Split& tiles, const Memory& memory) {
  const std::size_t columns = layer.weight.columns;
  Floats turned(memory, call.tokens * columns);
  for (std::size_t tile = 0; tile < tiles.parts; ++tile) {
    const std::size_t first = tiles.Begin(tile) * columns;
    const std::size_t tokens = tiles.Size(tile);
    layer.kernels.tiles.turn(call.x + first, columns, tokens, columns, tokens,
                             turned.get() + first, tokens);
  }
  return turned;
}

void RunLanes(const LinearLayer& layer, const LinearCall& call,
              std::size_t most_tokens, const Parallel& parallel) {
  const Packed& weight = layer.weight;
  const BlocksLanesKernel& kernel = layer.kernels.blocks_lanes;
  const Split tiles = SplitByMost(call.tokens, most_tokens);
  const bool turns = tiles.Largest() >= kernel.fewest_turned_tokens;
  const Split blocks = TasksOf(weight, RowBlocks(weight), parallel.threads());
  const auto make = [&] {
    return turns ? Turned(layer, call, tiles, parallel.memory()) : Floats();
  };
  ForEachWith(
      parallel, blocks.parts, make,
      [&](const Floats& turned, std::size_t part) {
        for (std::size_t tile = 0; tile < tiles.parts; ++tile) {
          const std::size_t token = tiles.Begin(tile);
          const std::size_t place = token * weight.rows;
          LanesCall lanes{};
          lanes.weight = &weight;
          lanes.first_block = blocks.Begin(part);
          lanes.end_block = blocks.End(part);
          lanes.tokens = tiles.Size(tile);
          lanes.x = (turns ? turned.get() : call.x) + token * weight.columns;
          lanes.is_turned = turns;
          lanes.y = call.y + place;
          lanes.bias = call.bias;
          lanes.residual =
              call.residual == nullptr ? nullptr : call.residual + place;
          lanes.epilogue = &layer.epilogue;
          kernel.multiply(lanes);
        }
      });
}

// ---- Tokens in lanes.

// A column is an input; sums are turned into Y when they are whole.
class TokenPanels final : public PanelLayer {
 public:
  TokenPanels(const LinearLayer& layer, const LinearCall& call,
              const Tiles& tiles)
      : layer_(layer), call_(call), tiles_(tiles) {}

  void Fill(std::size_t tile, std::size_t first, std::size_t count,
            float* panel) const override {
    const std::size_t columns = layer_.weight.columns;
    layer_.kernels.tiles.turn(call_.x + tiles_.Place(tile) * columns + first,
                              columns, Tokens(tile), count, tiles_.Lanes(tile),
                              panel, tiles_.Stride());
  }

  // A token's inputs lie in one run, which the processor foresees.
  Fetch Source(std::size_t /*tile*/, std::size_t /*first*/,
               std::size_t /*count*/) const override {
    return {};
  }

  PanelCall Begin(std::size_t tile, std::size_t first_block,
                  std::size_t end_block, float* sums) const override {
    PanelCall part{};
    part.weight = &layer_.weight;
    part.first_block = first_block;
    part.end_block = end_block;
    part.vectors = tiles_.Lanes(tile) / tiles_.width;
    part.positions = tiles_.Lanes(tile);
    part.y = sums;
    part.y_stride = tiles_.Lanes(tile);
    part.bias = call_.bias;
    part.epilogue = &none_;
    return part;
  }

  void End(std::size_t tile, std::size_t first_block, std::size_t end_block,
           const float* sums) const override {
    const Packed& weight = layer_.weight;
    const std::size_t row = first_block * weight.block_rows;
    const std::size_t rows =
        std::min(weight.rows, end_block * weight.block_rows) - row;
    const std::size_t place = tiles_.Place(tile) * weight.rows + row;
    layer_.kernels.tiles.finish_turned(
        sums, tiles_.Lanes(tile), rows, Tokens(tile),
        call_.residual == nullptr ? nullptr : call_.residual + place,
        call_.y + place, weight.rows, layer_.epilogue);
  }

 private:
  std::size_t Tokens(std::size_t tile) const {
    return std::min(tiles_.Lanes(tile), call_.tokens - tiles_.Place(tile));
  }

  const LinearLayer& layer_;
  const LinearCall& call_;
  const Tiles tiles_;
  const Epilogue none_;
};

void RunTokenPanels(const LinearLayer& layer, const LinearCall& call,
                    const Parallel& parallel) {
  const BlocksPanelKernel& kernel = layer.kernels.blocks_panel;
  const Tiles tiles =
      Tiles::Of(call.tokens, kernel, layer.weight.block_rows, layer.tile);
  RunPanels({TokenPanels(layer, call, tiles), layer.weight, kernel,
             layer.tables, tiles.vectors.parts, tiles.Stride(), false},
            parallel);
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
    RunTokenPanels(layer, call, parallel);
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
    case Kind::kTiles:
    case Kind::kTwoOfFour:
      throw std::logic_error("ParseForCpu takes no weight for CUDA");
  }
}

}  // namespace spa
