// From sums to outputs, on a GPU.

#ifndef SPA_KERNELS_FRAGMENTS_FINISH_H_
#define SPA_KERNELS_FRAGMENTS_FINISH_H_

#include "kernels/fragments/call.h"
#include "simt/simt.h"

namespace spa::cuda {

// NaN stays NaN, as on the CPU.
SPA_DEVICE float ClippedTo(float x, float low, float high) {
  const float raised = x < low ? low : x;
  return raised > high ? high : raised;
}

// Not inlined: there are eight calls wherever there is one.
SPA_DEVICE_CALL float ActivatedSlowly(float x, const Epilogue& epilogue) {
  switch (epilogue.activation) {
    case Activation::kClip:
      return ClippedTo(x, epilogue.low, epilogue.high);
    case Activation::kGelu:
      return 0.5f * x * (1.0f + simt::Erf(x * 0.70710678118654752f));
    case Activation::kGeluTanh:
      return 0.5f * x *
             (1.0f +
              simt::Tanh(0.79788456080286536f * (x + 0.044715f * x * x * x)));
    case Activation::kSilu:
      return x / (1.0f + simt::Exp(-x));
    case Activation::kHardSwish:
      return x * ClippedTo(x * (1.0f / 6) + 0.5f, 0.0f, 1.0f);
    default:
      return x;
  }
}

SPA_DEVICE float Activated(float x, const Epilogue& epilogue) {
  if (epilogue.activation == Activation::kNone) return x;
  if (epilogue.activation == Activation::kRelu) return x < 0.0f ? 0.0f : x;
  return ActivatedSlowly(x, epilogue);
}

// One output. `at` is its place in Y and in the residual.
template <class T>
SPA_DEVICE void FinishOne(const Call& call, float sum, std::uint32_t row,
                          std::uint64_t at) {
  if (call.bias != nullptr) sum += simt::ToFloat<T>(call.bias[row]);
  if (call.residual != nullptr) sum += simt::ToFloat<T>(call.residual[at]);
  call.y[at] = simt::FromFloat<T>(Activated(sum, call.epilogue));
}

constexpr unsigned kEight = 8;

template <class T>
SPA_DEVICE void AddPairs(float (&sums)[kEight], const void* from) {
  const auto words = *static_cast<const simt::Words4*>(from);
  SPA_UNROLL
  for (unsigned i = 0; i < 4; ++i) {
    sums[2 * i] +=
        simt::ToFloat<T>(static_cast<std::uint16_t>(words.word[i] & 0xFFFF));
    sums[2 * i + 1] +=
        simt::ToFloat<T>(static_cast<std::uint16_t>(words.word[i] >> 16));
  }
}

// Eight neighbouring outputs, all of them there, 16 bytes at a time; `bias` is
// theirs if each has its own.
template <class T, bool kOwnBias>
SPA_DEVICE void FinishEight(const Call& call, float (&sums)[kEight],
                            std::uint32_t row, std::uint64_t at) {
  if (call.bias != nullptr) {
    if constexpr (kOwnBias) {
      AddPairs<T>(sums, call.bias + row);
    } else {
      const float bias = simt::ToFloat<T>(call.bias[row]);
      SPA_UNROLL
      for (float& sum : sums) sum += bias;
    }
  }
  if (call.residual != nullptr) AddPairs<T>(sums, call.residual + at);
  simt::Words4 words;
  SPA_UNROLL
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint32_t low =
        simt::FromFloat<T>(Activated(sums[2 * i], call.epilogue));
    const std::uint32_t high =
        simt::FromFloat<T>(Activated(sums[2 * i + 1], call.epilogue));
    words.word[i] = low | high << 16;
  }
  *reinterpret_cast<simt::Words4*>(call.y + at) = words;
}

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FRAGMENTS_FINISH_H_
