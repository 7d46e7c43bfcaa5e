// exp, erf, tanh and the like on vectors, by polynomials.
//
// Errors were measured against float64 over all magnitudes that matter; the
// tests hold them to a few units in the last place. Everything is `static`; see
// vectors.h.

#ifndef SPA_SUPPORT_FUNCTIONS_H_
#define SPA_SUPPORT_FUNCTIONS_H_

#include "support/vectors.h"

namespace spa {

// NaN stays NaN, as in the runtime's own Relu and Clip.
template <std::size_t kWidth>
SPA_INLINE Vector<kWidth> ClipTo(Vector<kWidth> x, float low, float high) {
  const Vector<kWidth> lower = Spread<kWidth>(low);
  const Vector<kWidth> upper = Spread<kWidth>(high);
  const Vector<kWidth> raised = x < lower ? lower : x;
  return raised > upper ? upper : raised;
}

// exp(x) = 2^k exp(r) with |r| <= ln(2) / 2. Below -87.3 it is 0 but for less
// than the smallest normal number, above 88.7 it is infinite.
template <std::size_t kWidth>
SPA_INLINE Vector<kWidth> Exp(Vector<kWidth> x) {
  constexpr float kLog2e = 1.44269504088896341f;
  // ln(2) in two parts, the first of which times k is exact (Cody and Waite).
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  const Vector<kWidth> bounded = ClipTo<kWidth>(x, -87.3f, 88.0f);
  const Vector<kWidth> shifted = bounded * kLog2e + kRound;
  const Vector<kWidth> k = shifted - kRound;
  const Vector<kWidth> r = bounded - k * kLn2High - k * kLn2Low;
  Vector<kWidth> p = Vector<kWidth>{} + 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  // k stands in the low bits of `shifted`; the shift drops all others.
  BitVector<kWidth> bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits + 127u) << 23;
  Vector<kWidth> scale;
  std::memcpy(&scale, &bits, sizeof(scale));
  const Vector<kWidth> infinity = Vector<kWidth>{} + __builtin_inff();
  const Vector<kWidth> value = p * scale;
  const Vector<kWidth> large = x > 88.0f ? infinity : value;
  return x < -87.3f ? Vector<kWidth>{} : large;
}

template <std::size_t kWidth>
SPA_INLINE Vector<kWidth> Sigmoid(Vector<kWidth> x) {
  return 1.0f / (1.0f + Exp<kWidth>(-x));
}

// 1 - 2 / (exp(2 x) + 1): exact to a few units of 2^-24, not of the result,
// which is all that the sum with 1 in a GELU needs.
template <std::size_t kWidth>
SPA_INLINE Vector<kWidth> TanhNearOne(Vector<kWidth> x) {
  return 1.0f - 2.0f / (Exp<kWidth>(2.0f * x) + 1.0f);
}

// erf to 2e-7. Up to 1 a polynomial in x^2 times x; beyond, 1 - exp(-x^2) times
// a polynomial in 1 / (1 + x / 2). Both were fitted at Chebyshev points.
template <std::size_t kWidth>
SPA_INLINE Vector<kWidth> Erf(Vector<kWidth> x) {
  constexpr float kSmall[] = {1.1283791065216064f,   -0.3761262595653534f,
                              0.11283597350120544f,  -0.02685432881116867f,
                              0.005189312156289816f, -0.0008018855005502701f,
                              7.882497448008507e-05f};
  constexpr float kLarge[] = {0.0012404524022713304f, 0.26537662744522095f,
                              0.37486350536346436f,   -0.02244398184120655f,
                              0.5967975854873657f,    -0.21578748524188995f};
  const Vector<kWidth> zero{};
  const Vector<kWidth> magnitude = x < zero ? -x : x;
  const Vector<kWidth> squared = x * x;
  Vector<kWidth> small = zero + kSmall[6];
  for (int i = 5; i >= 0; --i) small = small * squared + kSmall[i];
  const Vector<kWidth> t = 1.0f / (1.0f + 0.5f * magnitude);
  Vector<kWidth> tail = zero + kLarge[5];
  for (int i = 4; i >= 0; --i) tail = tail * t + kLarge[i];
  const Vector<kWidth> large = 1.0f - tail * Exp<kWidth>(-squared);
  const Vector<kWidth> positive =
      magnitude < zero + 1.0f ? small * magnitude
                              : (magnitude < zero + 4.2f ? large : zero + 1.0f);
  const Vector<kWidth> signed_value = x < zero ? -positive : positive;
  return x == x ? signed_value : x;
}

}  // namespace spa

#endif  // SPA_SUPPORT_FUNCTIONS_H_
