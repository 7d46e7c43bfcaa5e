#include "layers/convolution.h"

#include <string>

#include "abi/failure.h"
#include "layers/planes_convolution.h"
#include "layers/pointwise_convolution.h"

namespace spa {

void CheckConvolution(const Packed& weight, std::size_t channels,
                      std::size_t taps) {
  if (weight.kind != Kind::kBlocks) {
    throw InvalidInput("a convolution's packed weight must be of kind blocks");
  }
  if (weight.columns / taps != channels || weight.columns % taps != 0) {
    throw InvalidInput("the packed weight has " +
                       std::to_string(weight.columns) + " columns, but " +
                       std::to_string(channels) + " channels of " +
                       std::to_string(taps) + " taps were given");
  }
}

void RunConvolution(const ConvolutionLayer& layer, const ConvolutionCall& call,
                    const Parallel& parallel) {
  const auto is_pointwise = [](const Axis& axis) {
    return axis.kernel == 1 && axis.padding == 0 && axis.stride == 1 &&
           axis.input == axis.output;
  };
  if (call.images == 0) return;
  if (is_pointwise(call.vertical) && is_pointwise(call.horizontal)) {
    RunPointwise(layer, call, parallel);
  } else {
    RunOverPlanes(layer, call, parallel);
  }
}

}  // namespace spa
