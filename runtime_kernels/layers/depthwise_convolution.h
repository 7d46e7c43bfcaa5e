// Depthwise convolutions that read the input where it lies.

#ifndef SPA_LAYERS_DEPTHWISE_CONVOLUTION_H_
#define SPA_LAYERS_DEPTHWISE_CONVOLUTION_H_

#include "layers/convolution.h"

namespace spa {

// Returns false and does nothing if the layer is no such convolution or the
// kernels have no way to do so. May throw std::bad_alloc.
bool RunDepthwise(const ConvolutionLayer& layer, const ConvolutionCall& call,
                  const Parallel& parallel);

}  // namespace spa

#endif  // SPA_LAYERS_DEPTHWISE_CONVOLUTION_H_
