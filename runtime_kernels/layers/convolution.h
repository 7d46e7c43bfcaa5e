// A convolution over (N, C, H, W) with a packed weight:
// Y = act(X * W + bias + residual).

#ifndef SPA_LAYERS_CONVOLUTION_H_
#define SPA_LAYERS_CONVOLUTION_H_

#include <cstddef>
#include <vector>

#include "kernels/epilogue.h"
#include "kernels/kernels.h"
#include "kernels/packed/packed.h"
#include "layers/offsets.h"
#include "layers/separation.h"
#include "support/parallel.h"

namespace spa {

// What stays from run to run.
struct ConvolutionLayer {
  const Kernels& kernels;
  Packed weight;  // kind blocks; columns are channels times taps
  Epilogue epilogue;
  std::size_t tile = 0;     // most vectors of positions; 0: the kernel's own
  std::vector<Part> parts;  // of a grouped convolution, or one
  OffsetTables tables;
};

// One run. Nothing may overlap `y`.
struct ConvolutionCall {
  std::size_t images;
  std::size_t channels;  // columns / (taps of both axes)
  Axis vertical;
  Axis horizontal;
  const float* x;         // (images, channels, H, W)
  const float* bias;      // (rows,) or null
  const float* residual;  // as Y, also Y itself, or null
  float* y;               // (images, rows, H', W'), not read
};

// Throws InvalidInput unless the weight fits so many channels and taps.
void CheckConvolution(const Packed& weight, std::size_t channels,
                      std::size_t taps);

// Throws InvalidInput if an image is too large for 32-bit offsets, and
// std::bad_alloc.
void RunConvolution(const ConvolutionLayer& layer, const ConvolutionCall& call,
                    const Parallel& parallel);

}  // namespace spa

#endif  // SPA_LAYERS_CONVOLUTION_H_
