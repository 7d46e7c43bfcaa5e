#include "layers/cuda/extent.h"

#include <limits>
#include <string>

#include "abi/failure.h"

namespace spa::cuda {
namespace {

constexpr std::uint64_t kMostOf32Bits = 0x7FFFFFFF;

std::uint64_t Strided(std::uint64_t input, std::uint64_t stride) {
  return input == 0 ? 0 : (input - 1) / stride + 1;
}

}  // namespace

std::uint64_t CheckedProduct(std::uint64_t a, std::uint64_t b,
                             const char* what) {
  constexpr std::uint64_t kMost =
      std::numeric_limits<std::int64_t>::max() / sizeof(std::uint16_t);
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product) || product > kMost) {
    throw InvalidInput(std::string(what) + " would have " + std::to_string(a) +
                       " x " + std::to_string(b) + " elements, too many");
  }
  return product;
}

std::uint32_t Narrow(std::uint64_t number, const char* what) {
  if (number > kMostOf32Bits) {
    throw InvalidInput(std::string(what) + " is " + std::to_string(number) +
                       ", at most 2^31 - 1 can be");
  }
  return static_cast<std::uint32_t>(number);
}

Extent TokensOf(std::uint64_t tokens) {
  return {Layout::kTokens, 1, tokens, 0, {}};
}

Axes OutputsOf(const Axes& input, const Axes& strides) {
  return {Strided(input.height, strides.height),
          Strided(input.width, strides.width)};
}

Extent PlanesOf(std::uint64_t images, const Axes& input, const Axes& strides) {
  const Axes y = OutputsOf(input, strides);
  return {
      Layout::kPlanes,
      images,
      CheckedProduct(y.height, y.width, "a plane of Y"),
      CheckedProduct(input.height, input.width, "a plane of X"),
      {Narrow(y.width, "the width of Y"), Narrow(input.width, "the width of X"),
       Narrow(strides.height, "the vertical stride"),
       Narrow(strides.width, "the horizontal stride")}};
}

void CheckSizes(const Extent& extent, std::uint64_t rows,
                std::uint64_t columns) {
  const bool tokens = extent.layout == Layout::kTokens;
  const std::uint64_t outputs =
      CheckedProduct(extent.images, extent.positions, "Y");
  CheckedProduct(outputs, rows, "Y");
  const std::uint64_t inputs =
      tokens ? outputs : CheckedProduct(extent.images, extent.x_plane, "X");
  CheckedProduct(inputs, columns, "X");
}

}  // namespace spa::cuda
