#include "custom_ops/cuda/node.h"

#include "abi/failure.h"
#include "custom_ops/attributes.h"
#include "custom_ops/op.h"
#include "custom_ops/weight.h"

namespace spa::cuda {
namespace {

Layer LayerOf(const OrtApi& api, const OrtKernelInfo* info, ValueType type,
              const char* rows_attribute, const Memory& memory) {
  const ConstantWeight weight =
      ReadWeight(api, info, rows_attribute, &ParseForCuda);
  if (weight.packed.value_type != type) {
    throw InvalidInput("the values of the packed weight are not of X's type");
  }
  const Attributes attributes(api, info);
  return Layer(weight.bytes, weight.packed, memory, DeviceBehind(memory),
               ReadEpilogue(attributes), "",
               EngineOf(attributes.TextOr("engine", "own")));
}

}  // namespace

Node::Node(const OrtApi& api, const OrtKernelInfo* info, ValueType type,
           const char* rows_attribute)
    : api_(api),
      memory_(api, info),
      layer_(LayerOf(api, info, type, rows_attribute, memory_)) {}

const OrtValue* Node::X(OrtKernelContext* context) const {
  return InputOrNull(api_, context, kX);
}

void Node::Run(OrtKernelContext* context, const Extent& extent,
               const Shape& y_shape) const {
  Tensors tensors{};
  tensors.x = DataOf(api_, X(context));
  tensors.bias = OptionalInput(api_, context, kBias, "bias", {rows()});
  tensors.residual =
      OptionalInput(api_, context, kResidual, "residual", y_shape);
  OrtValue* y = nullptr;
  Check(api_.KernelContext_GetOutput(context, 0, y_shape.data(), y_shape.size(),
                                     &y));
  tensors.y = MutableDataOf(api_, y);
  void* stream = nullptr;
  Check(api_.KernelContext_GetGPUComputeStream(context, &stream));
  layer_.Run(extent, tensors, stream);
}

}  // namespace spa::cuda
