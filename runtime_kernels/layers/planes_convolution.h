// Convolutions of any kernel, stride and dilation, over padded planes.

#ifndef SPA_LAYERS_PLANES_CONVOLUTION_H_
#define SPA_LAYERS_PLANES_CONVOLUTION_H_

#include "layers/convolution.h"

namespace spa {

void RunOverPlanes(const ConvolutionLayer& layer, const ConvolutionCall& call,
                   const Parallel& parallel);

}  // namespace spa

#endif  // SPA_LAYERS_PLANES_CONVOLUTION_H_
