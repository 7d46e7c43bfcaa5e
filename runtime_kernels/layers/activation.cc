#include "layers/activation.h"

#include "abi/failure.h"

namespace spa {

Activation ActivationOf(const std::string& name) {
  static const struct {
    const char* name;
    Activation activation;
  } kKnown[] = {
      {"none", Activation::kNone},
      {"relu", Activation::kRelu},
      {"clip", Activation::kClip},
      {"gelu", Activation::kGelu},
      {"gelu_tanh", Activation::kGeluTanh},
      {"silu", Activation::kSilu},
      {"hard_swish", Activation::kHardSwish},
  };
  for (const auto& known : kKnown) {
    if (name == known.name) return known.activation;
  }
  throw InvalidInput("activation '" + name +
                     "' is none of none, relu, clip, gelu, gelu_tanh, silu, "
                     "hard_swish");
}

}  // namespace spa
