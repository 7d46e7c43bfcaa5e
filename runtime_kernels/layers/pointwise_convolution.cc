#include "layers/pointwise_convolution.h"

#include <algorithm>

#include "layers/panels.h"

namespace spa {
namespace {

// A column is a channel; sums lie in Y.
class Pointwise final : public PanelLayer {
 public:
  Pointwise(const ConvolutionLayer& layer, const ConvolutionCall& call,
            const Tiles& tiles)
      : layer_(layer),
        call_(call),
        tiles_(tiles),
        positions_(call.vertical.input * call.horizontal.input) {}

  void Fill(std::size_t tile, std::size_t first, std::size_t count,
            float* panel) const override {
    layer_.kernels.tiles.copy(Input(tile, first), positions_, count,
                              Positions(tile), tiles_.Lanes(tile), panel,
                              tiles_.Stride());
  }

  Fetch Source(std::size_t tile, std::size_t first,
               std::size_t count) const override {
    return {Input(tile, first), positions_ * sizeof(float), count};
  }

  PanelCall Begin(std::size_t tile, std::size_t first_block,
                  std::size_t end_block, float* /*sums*/) const override {
    const Packed& weight = layer_.weight;
    const std::size_t place =
        (Image(tile) * weight.rows + first_block * weight.block_rows) *
            positions_ +
        tiles_.Place(tile);
    PanelCall part{};
    part.weight = &weight;
    part.first_block = first_block;
    part.end_block = end_block;
    part.vectors = tiles_.Lanes(tile) / tiles_.width;
    part.positions = Positions(tile);
    part.y = call_.y + place;
    part.y_stride = positions_;
    part.bias = call_.bias;
    part.residual =
        call_.residual == nullptr ? nullptr : call_.residual + place;
    part.epilogue = &layer_.epilogue;
    return part;
  }

  void End(std::size_t /*tile*/, std::size_t /*first_block*/,
           std::size_t /*end_block*/, const float* /*sums*/) const override {}

 private:
  std::size_t Image(std::size_t tile) const {
    return tile / tiles_.vectors.parts;
  }
  std::size_t Positions(std::size_t tile) const {
    return std::min(tiles_.Lanes(tile), positions_ - tiles_.Place(tile));
  }
  const float* Input(std::size_t tile, std::size_t channel) const {
    return call_.x + (Image(tile) * call_.channels + channel) * positions_ +
           tiles_.Place(tile);
  }

  const ConvolutionLayer& layer_;
  const ConvolutionCall& call_;
  const Tiles tiles_;
  const std::size_t positions_;  // of an image
};

}  // namespace

void RunPointwise(const ConvolutionLayer& layer, const ConvolutionCall& call,
                  const Parallel& parallel) {
  const BlocksPanelKernel& kernel = layer.kernels.blocks_panel;
  const Tiles tiles = Tiles::Of(call.vertical.input * call.horizontal.input,
                                kernel, layer.weight.block_rows, layer.tile);
  RunPanels({Pointwise(layer, call, tiles), layer.weight, kernel, layer.tables,
             tiles.vectors.parts * call.images, tiles.Stride(), true},
            parallel);
}

}  // namespace spa
