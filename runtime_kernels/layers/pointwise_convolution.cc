#include "layers/pointwise_convolution.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "layers/panels.h"

namespace spa {
namespace {

// Where the outputs' inputs lie in a channel; empty if side by side.
std::vector<std::uint32_t> PlacesOf(const Axis& vertical,
                                    const Axis& horizontal) {
  std::vector<std::uint32_t> places;
  if (vertical.stride == 1 && vertical.input == vertical.output &&
      horizontal.stride == 1 && horizontal.input == horizontal.output) {
    return places;
  }
  places.reserve(vertical.output * horizontal.output);
  for (std::size_t row = 0; row < vertical.output; ++row) {
    const std::size_t line = row * vertical.stride * horizontal.input;
    for (std::size_t column = 0; column < horizontal.output; ++column) {
      places.push_back(
          static_cast<std::uint32_t>(line + column * horizontal.stride));
    }
  }
  return places;
}

// A column is a channel; sums lie in Y.
class Pointwise final : public PanelLayer {
 public:
  Pointwise(const ConvolutionLayer& layer, const ConvolutionCall& call,
            const Tiles& tiles)
      : layer_(layer),
        call_(call),
        tiles_(tiles),
        inputs_(call.vertical.input * call.horizontal.input),
        positions_(call.vertical.output * call.horizontal.output),
        places_(PlacesOf(call.vertical, call.horizontal)) {}

  void Fill(std::size_t tile, std::size_t first, std::size_t count,
            float* panel) const override {
    const TilesKernel& kernel = layer_.kernels.tiles;
    const std::size_t lanes = tiles_.Lanes(tile), stride = tiles_.Stride();
    if (places_.empty()) {
      kernel.copy(Channel(tile, first) + tiles_.Place(tile), inputs_, count,
                  Positions(tile), lanes, panel, stride);
    } else {
      kernel.gather(Channel(tile, first), inputs_, count,
                    places_.data() + tiles_.Place(tile), Positions(tile), lanes,
                    panel, stride);
    }
  }

  Fetch Source(std::size_t tile, std::size_t first,
               std::size_t count) const override {
    const std::size_t place = tiles_.Place(tile);
    return {Channel(tile, first) + (places_.empty() ? place : places_[place]),
            inputs_ * sizeof(float), count};
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
  const float* Channel(std::size_t tile, std::size_t channel) const {
    return call_.x + (Image(tile) * call_.channels + channel) * inputs_;
  }

  const ConvolutionLayer& layer_;
  const ConvolutionCall& call_;
  const Tiles tiles_;
  const std::size_t inputs_;     // of a channel
  const std::size_t positions_;  // of an image
  const std::vector<std::uint32_t> places_;
};

}  // namespace

void RunPointwise(const ConvolutionLayer& layer, const ConvolutionCall& call,
                  const Parallel& parallel) {
  const BlocksPanelKernel& kernel = layer.kernels.blocks_panel;
  const Tiles tiles = Tiles::Of(call.vertical.output * call.horizontal.output,
                                kernel, layer.weight.block_rows, layer.tile);
  RunPanels({Pointwise(layer, call, tiles), layer.weight, kernel, layer.tables,
             tiles.vectors.parts * call.images, tiles.Stride(), true},
            parallel);
}

}  // namespace spa
