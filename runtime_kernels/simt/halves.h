// 16-bit numbers and float on the CPU, rounding to nearest even as a GPU does.

#ifndef SPA_SIMT_HALVES_H_
#define SPA_SIMT_HALVES_H_

#include <cmath>
#include <cstdint>
#include <cstring>

namespace spa::simt {

inline std::uint32_t BitsOf(float number) {
  std::uint32_t bits;
  std::memcpy(&bits, &number, sizeof(bits));
  return bits;
}

inline float FloatOf(std::uint32_t bits) {
  float number;
  std::memcpy(&number, &bits, sizeof(number));
  return number;
}

inline float Bfloat16ToFloat(std::uint16_t bits) {
  return FloatOf(std::uint32_t{bits} << 16);
}

inline std::uint16_t FloatToBfloat16(float number) {
  if (std::isnan(number)) return 0x7FFF;
  const std::uint32_t bits = BitsOf(number);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

inline float HalfToFloat(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half} >> 15 << 31;
  const std::uint32_t rest = half & 0x7FFFu;
  if (rest >= 0x7C00u) return FloatOf(sign | rest << 13 | 0x7F800000u);
  if (rest >= 0x0400u) return FloatOf(sign | ((rest << 13) + (112u << 23)));
  const float small = static_cast<float>(rest) * 0x1p-24f;
  return FloatOf(sign | BitsOf(small));
}

inline std::uint16_t FloatToHalf(float number) {
  const std::uint32_t sign = BitsOf(number) >> 16 & 0x8000u;
  const std::uint32_t rest = BitsOf(number) & 0x7FFFFFFFu;
  std::uint32_t half;
  if (rest > 0x7F800000u) {  // NaN
    half = 0x7FFF;
  } else if (rest >= 0x477FF000u) {  // 65520 and more round to infinity
    half = 0x7C00;
  } else if (rest >= 0x38800000u) {  // 2^-14 and more
    half = (rest + 0xFFF + (rest >> 13 & 1) - (112u << 23)) >> 13;
  } else {  // a multiple of 2^-24; the sum below rounds to one of 2^-24
    half = BitsOf(FloatOf(rest) + 0.5f) - BitsOf(0.5f);
  }
  return static_cast<std::uint16_t>(sign | half);
}

}  // namespace spa::simt

#endif  // SPA_SIMT_HALVES_H_
