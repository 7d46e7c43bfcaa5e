#include "bench/random_numbers.h"

#include <algorithm>

#include "simt/device.h"

namespace spa::cuda {
namespace {

// About a megabyte of them. It is prime, so that no axis divides it.
constexpr std::size_t kDifferent = (1 << 19) - 1;

// Source: Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8(14),
// 2003.
class Xorshift {
 public:
  std::uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }

 private:
  std::uint64_t state_ = 0x9E3779B97F4A7C15u;
};

// Half of uniform numbers in (0, 1) are above 1/2, a quarter below that, and so
// on: how often a bit is 0 before it is 1 says how much the exponent is below
// that of numbers from 1/2 to 1.
std::uint16_t Uniform(std::uint64_t bits, ValueType type) {
  constexpr unsigned kMostBelow = 12;
  const bool wide = type == ValueType::kBfloat16;
  const unsigned mantissa_bits = wide ? 7 : 10;
  const unsigned below = static_cast<unsigned>(
      __builtin_ctzll(bits >> 32 | std::uint64_t{1} << kMostBelow));
  const unsigned exponent = (wide ? 126 : 14) - below;
  const auto random = static_cast<unsigned>(bits & 0xFFFF);
  const unsigned mantissa = random & ((1u << mantissa_bits) - 1);
  return static_cast<std::uint16_t>((random & 0x8000) |
                                    exponent << mantissa_bits | mantissa);
}

}  // namespace

RandomNumbers::RandomNumbers(ValueType type) : numbers_(kDifferent) {
  Xorshift random;
  for (std::uint16_t& number : numbers_) {
    number = Uniform(random.Next(), type);
  }
}

void RandomNumbers::CopyTo(void* to, std::size_t count) {
  auto* at = static_cast<std::uint16_t*>(to);
  while (count != 0) {
    const std::size_t part = std::min(count, kDifferent - next_);
    gpu::CopyToDevice(at, numbers_.data() + next_, part * sizeof(*at));
    next_ = (next_ + part) % kDifferent;
    at += part;
    count -= part;
  }
}

}  // namespace spa::cuda
