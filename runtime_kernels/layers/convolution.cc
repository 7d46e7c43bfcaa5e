#include "layers/convolution.h"

#include <string>

#include "abi/failure.h"
#include "layers/planes_convolution.h"
#include "layers/pointwise_convolution.h"

namespace spa {
namespace {

// Whether each output reads one input, which is there.
bool IsPointwise(const Axis& axis) {
  return axis.kernel == 1 && axis.padding == 0 &&
         (axis.output - 1) * axis.stride < axis.input;
}

// A gather's places have 32 bits, one of them a sign.
bool IsAddressable(const ConvolutionCall& call) {
  return call.horizontal.input <= 0x7FFFFFFF / call.vertical.input;
}

}  // namespace

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
  if (call.images == 0) return;
  if (IsPointwise(call.vertical) && IsPointwise(call.horizontal) &&
      IsAddressable(call)) {
    RunPointwise(layer, call, parallel);
  } else {
    RunOverPlanes(layer, call, parallel);
  }
}

}  // namespace spa
