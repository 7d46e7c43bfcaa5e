// What may follow a product, on any device.

#ifndef SPA_KERNELS_ACTIVATION_H_
#define SPA_KERNELS_ACTIVATION_H_

namespace spa {

enum class Activation : int {
  kNone,
  kRelu,
  kClip,       // to [low, high]
  kGelu,       // x (1 + erf(x / sqrt(2))) / 2
  kGeluTanh,   // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
  kSilu,       // x / (1 + exp(-x))
  kHardSwish,  // x clip(x / 6 + 1 / 2, 0, 1)
};

struct Epilogue {
  Activation activation = Activation::kNone;
  float low = 0;   // of kClip
  float high = 0;  // of kClip
};

}  // namespace spa

#endif  // SPA_KERNELS_ACTIVATION_H_
