#include "custom_ops/cuda/node.h"

#include <string>

#include "abi/failure.h"
#include "custom_ops/attributes.h"
#include "custom_ops/op.h"

namespace spa::cuda {
namespace {

Layer LayerOf(const OrtApi& api, const OrtKernelInfo* info, ValueType type,
              const char* rows_attribute, const Memory& memory) {
  const OrtValue* value = ConstantInput(api, info, kWeight);
  if (value == nullptr) {
    throw InvalidInput(
        "input 1, the packed weight, must be a constant initializer");
  }
  const auto* bytes = static_cast<const unsigned char*>(DataOf(api, value));
  const std::size_t size = ElementCount(ShapeOf(api, value));
  const Packed packed = ParseForCuda(bytes, size);
  if (packed.value_type != type) {
    throw InvalidInput("the values of the packed weight are not of X's type");
  }
  const Attributes attributes(api, info);
  const std::int64_t rows = attributes.Int(rows_attribute);
  if (rows < 0 || static_cast<std::size_t>(rows) != packed.rows) {
    throw InvalidInput(std::string("attribute ") + rows_attribute + " is " +
                       std::to_string(rows) + ", but the packed weight has " +
                       std::to_string(packed.rows) + " rows");
  }
  return Layer(bytes, packed, memory, DeviceBehind(memory),
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

const void* Node::Optional(OrtKernelContext* context, std::size_t index,
                           const char* name, const Shape& shape) const {
  const OrtValue* value = InputOrNull(api_, context, index);
  if (value == nullptr) return nullptr;
  const Shape found = ShapeOf(api_, value);
  if (found != shape) {
    throw InvalidInput(std::string(name) + " has shape " + ToText(found) +
                       ", expected " + ToText(shape));
  }
  return DataOf(api_, value);
}

void Node::Run(OrtKernelContext* context, const Extent& extent,
               const Shape& y_shape) const {
  Tensors tensors{};
  tensors.x = DataOf(api_, X(context));
  tensors.bias = Optional(context, kBias, "bias", {rows()});
  tensors.residual = Optional(context, kResidual, "residual", y_shape);
  OrtValue* y = nullptr;
  Check(api_.KernelContext_GetOutput(context, 0, y_shape.data(), y_shape.size(),
                                     &y));
  tensors.y = MutableDataOf(api_, y);
  void* stream = nullptr;
  Check(api_.KernelContext_GetGPUComputeStream(context, &stream));
  layer_.Run(extent, tensors, stream);
}

}  // namespace spa::cuda
