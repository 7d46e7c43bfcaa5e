// Which tile of Y a block of threads computes.

#ifndef SPA_KERNELS_FRAGMENTS_TURNS_H_
#define SPA_KERNELS_FRAGMENTS_TURNS_H_

#include "kernels/fragments/call.h"
#include "simt/simt.h"

namespace spa::cuda {

struct Place {
  std::uint32_t row_block;
  std::uint32_t image;
  std::uint32_t position_tile;  // of the image
};

// Tiles with much to do are begun first, so that none is left when all others
// are done. Every second wave goes the other way: a multiprocessor that holds
// two tiles has one of the long and one of the short ones.
SPA_DEVICE std::uint32_t TurnOf(const Call& call, std::uint32_t block) {
  const std::uint32_t wave = block / call.wave, within = block % call.wave;
  if (wave % 2 == 0) return block;
  const std::uint32_t first = wave * call.wave;
  const std::uint32_t left = call.blocks - first;
  return first + (left < call.wave ? left : call.wave) - 1 - within;
}

SPA_DEVICE Place PlaceOf(const Call& call, std::uint32_t block) {
  const std::uint32_t turn = TurnOf(call, block);
  const std::uint32_t tiles = call.blocks / call.row_blocks;
  const std::uint32_t place = turn / tiles, tile = turn % tiles;
  return {call.weight.order != nullptr ? call.weight.order[place] : place,
          tile / call.position_tiles, tile % call.position_tiles};
}

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FRAGMENTS_TURNS_H_
