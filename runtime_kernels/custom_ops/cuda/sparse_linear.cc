#include "custom_ops/cuda/sparse_linear.h"

#include <string>

#include "abi/failure.h"

namespace spa::cuda {

void LinearNode::Compute(OrtKernelContext* context) const {
  Shape shape = ShapeOf(api_, node_.X(context));
  if (shape.empty() || shape.back() != node_.columns()) {
    throw InvalidInput("X has shape " + ToText(shape) +
                       ", the weight has shape " +
                       ToText({node_.rows(), node_.columns()}) +
                       ", so the last axis of X must have length " +
                       std::to_string(node_.columns()));
  }
  const std::size_t tokens =
      ElementCount(shape) / static_cast<std::size_t>(node_.columns());
  shape.back() = node_.rows();
  node_.Run(context, TokensOf(tokens), shape);
}

}  // namespace spa::cuda
