// Grouped and depthwise convolutions, seen in the weight: row blocks that share
// no input channel with any other.

#ifndef SPA_LAYERS_SEPARATION_H_
#define SPA_LAYERS_SEPARATION_H_

#include <cstddef>
#include <vector>

#include "kernels/packed/packed.h"

namespace spa {

struct Part {
  std::size_t first_block;
  std::size_t end_block;
  std::size_t first_channel;
  std::size_t end_channel;
};

// The smallest parts, in order, whose channels do not overlap. Channels that no
// weight reads belong to the part before them. `weight` is of kind blocks.
std::vector<Part> PartsOf(const Packed& weight, std::size_t taps);

// Whether every part reads a single channel and blocks have one row.
bool IsDepthwise(const Packed& weight, const std::vector<Part>& parts);

// Neighbours joined until a part has at least so many channels.
std::vector<Part> Joined(const std::vector<Part>& parts, std::size_t channels);

}  // namespace spa

#endif  // SPA_LAYERS_SEPARATION_H_
