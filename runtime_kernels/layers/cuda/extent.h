// How large a run is.

#ifndef SPA_LAYERS_CUDA_EXTENT_H_
#define SPA_LAYERS_CUDA_EXTENT_H_

#include <cstdint>

#include "kernels/cuda_kernels.h"
#include "kernels/fragments/call.h"

namespace spa::cuda {

struct Extent {
  Layout layout;
  std::uint64_t images;     // 1 for tokens
  std::uint64_t positions;  // of an image
  std::uint64_t x_plane;    // elements of a channel of X; 0 for tokens
  Pixels pixels;            // of planes: where X has what Y wants

  bool has_strides() const {
    return layout == Layout::kPlanes &&
           (pixels.stride_x != 1 || pixels.stride_y != 1);
  }
};

// Height and width.
struct Axes {
  std::uint64_t height;
  std::uint64_t width;
};

Extent TokensOf(std::uint64_t tokens);

// Of a 1 x 1 convolution. Throws InvalidInput if 32 bits do not hold an axis.
Extent PlanesOf(std::uint64_t images, const Axes& input, const Axes& strides);

// What a stride leaves of the input's axes.
Axes OutputsOf(const Axes& input, const Axes& strides);

// Throws InvalidInput if a tensor of the run would have more elements than can
// be counted.
void CheckSizes(const Extent& extent, std::uint64_t rows,
                std::uint64_t columns);

// Throws InvalidInput if the number, of what the text says, is above 2^31 - 1.
std::uint32_t Narrow(std::uint64_t number, const char* what);

// Throws InvalidInput if the product, the elements of what the text says, is
// too large for its bytes to be counted.
std::uint64_t CheckedProduct(std::uint64_t a, std::uint64_t b,
                             const char* what);

}  // namespace spa::cuda

#endif  // SPA_LAYERS_CUDA_EXTENT_H_
