// 1 x 1 convolutions without padding: a sparse matrix times (channels,
// positions).

#ifndef SPA_LAYERS_POINTWISE_CONVOLUTION_H_
#define SPA_LAYERS_POINTWISE_CONVOLUTION_H_

#include "layers/convolution.h"

namespace spa {

void RunPointwise(const ConvolutionLayer& layer, const ConvolutionCall& call,
                  const Parallel& parallel);

}  // namespace spa

#endif  // SPA_LAYERS_POINTWISE_CONVOLUTION_H_
