#include "custom_ops/cuda/sparse_conv.h"

#include <string>
#include <vector>

#include "abi/failure.h"
#include "custom_ops/attributes.h"

namespace spa::cuda {
namespace {

using Ints = std::vector<std::int64_t>;

// As on the CPU.
constexpr std::int64_t kMostOfWindow = 1 << 15;

void Expect(const char* name, const Ints& found, const Ints& expected) {
  if (found == expected) return;
  throw InvalidInput(std::string("attribute ") + name + " is " + ToText(found) +
                     ", on a GPU it can only be " + ToText(expected));
}

Axes ReadStrides(const Attributes& attributes) {
  Expect("kernel_shape", attributes.Ints("kernel_shape"), {1, 1});
  Expect("dilations", attributes.Ints("dilations"), {1, 1});
  Expect("pads", attributes.Ints("pads"), {0, 0, 0, 0});
  const Ints strides = attributes.Ints("strides");
  bool fits = strides.size() == 2;
  for (const std::int64_t stride : strides) {
    fits = fits && stride >= 1 && stride <= kMostOfWindow;
  }
  if (!fits) {
    throw InvalidInput("attribute strides is " + ToText(strides) +
                       ", expected 2 numbers from 1 to " +
                       std::to_string(kMostOfWindow));
  }
  return {static_cast<std::uint64_t>(strides[0]),
          static_cast<std::uint64_t>(strides[1])};
}

}  // namespace

ConvNode::ConvNode(const OrtApi& api, const OrtKernelInfo* info, ValueType type)
    : api_(api),
      strides_(ReadStrides(Attributes(api, info))),
      node_(api, info, type, "out_channels") {}

void ConvNode::Compute(OrtKernelContext* context) const {
  const Shape x = ShapeOf(api_, node_.X(context));
  if (x.size() != 4 || x[1] != node_.columns()) {
    throw InvalidInput("X has shape " + ToText(x) + ", expected (N, " +
                       std::to_string(node_.columns()) + ", H, W)");
  }
  const Axes input{static_cast<std::uint64_t>(x[2]),
                   static_cast<std::uint64_t>(x[3])};
  const Axes output = OutputsOf(input, strides_);
  const Shape y{x[0], node_.rows(), static_cast<std::int64_t>(output.height),
                static_cast<std::int64_t>(output.width)};
  node_.Run(context,
            PlanesOf(static_cast<std::uint64_t>(x[0]), input, strides_), y);
}

}  // namespace spa::cuda
