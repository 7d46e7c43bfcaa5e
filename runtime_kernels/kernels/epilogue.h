// What is done to sums before they become outputs: Y = act(sum + residual).
// Everything but the plain struct is `static`; see support/vectors.h.

#ifndef SPA_KERNELS_EPILOGUE_H_
#define SPA_KERNELS_EPILOGUE_H_

#include "kernels/activation.h"
#include "support/functions.h"
#include "support/vectors.h"

namespace spa {

template <std::size_t kWidth>
SPA_INLINE Vector<kWidth> GeluOf(Vector<kWidth> x) {
  return 0.5f * x * (1.0f + Erf<kWidth>(x * 0.70710678118654752f));
}

template <std::size_t kWidth>
SPA_INLINE Vector<kWidth> GeluTanhOf(Vector<kWidth> x) {
  const Vector<kWidth> inner =
      0.79788456080286536f * (x + 0.044715f * x * x * x);
  return 0.5f * x * (1.0f + TanhNearOne<kWidth>(inner));
}

template <std::size_t kWidth>
static Vector<kWidth> ActivateSlowly(Vector<kWidth> x,
                                     const Epilogue& epilogue) {
  switch (epilogue.activation) {
    case Activation::kGelu:
      return GeluOf<kWidth>(x);
    case Activation::kGeluTanh:
      return GeluTanhOf<kWidth>(x);
    case Activation::kSilu:
      return x * Sigmoid<kWidth>(x);
    case Activation::kHardSwish:
      return x * ClipTo<kWidth>(x * (1.0f / 6) + 0.5f, 0.0f, 1.0f);
    default:
      return x;
  }
}

template <std::size_t kWidth>
SPA_INLINE Vector<kWidth> Activate(Vector<kWidth> x, const Epilogue& epilogue) {
  switch (epilogue.activation) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x < Vector<kWidth>{} ? Vector<kWidth>{} : x;
    case Activation::kClip:
      return ClipTo<kWidth>(x, epilogue.low, epilogue.high);
    default:
      return ActivateSlowly<kWidth>(x, epilogue);
  }
}

}  // namespace spa

#endif  // SPA_KERNELS_EPILOGUE_H_
