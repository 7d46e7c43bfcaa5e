#include "custom_ops/tensor.h"

#include <memory>

#include "abi/failure.h"

namespace spa {
namespace {

struct FreeShapeInfo {
  const OrtApi& api;
  void operator()(OrtTensorTypeAndShapeInfo* info) const noexcept {
    api.ReleaseTensorTypeAndShapeInfo(info);
  }
};

}  // namespace

Shape ShapeOf(const OrtApi& api, const OrtValue* value) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  Check(api.GetTensorTypeAndShape(value, &info));
  const std::unique_ptr<OrtTensorTypeAndShapeInfo, FreeShapeInfo> owner(
      info, FreeShapeInfo{api});
  std::size_t rank = 0;
  Check(api.GetDimensionsCount(info, &rank));
  Shape shape(rank);
  Check(api.GetDimensions(info, shape.data(), rank));
  return shape;
}

std::string ToText(const Shape& shape) {
  std::string text = "(";
  for (const int64_t length : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(length);
  }
  return text + ")";
}

std::size_t ElementCount(const Shape& shape) {
  std::size_t count = 1;
  for (const int64_t length : shape) count *= static_cast<std::size_t>(length);
  return count;
}

void* MutableDataOf(const OrtApi& api, OrtValue* value) {
  void* data = nullptr;
  Check(api.GetTensorMutableData(value, &data));
  return data;
}

// The ABI has no other way to read; the caller gets a pointer to const.
const void* DataOf(const OrtApi& api, const OrtValue* value) {
  return MutableDataOf(api, const_cast<OrtValue*>(value));
}

std::string NodeName(const OrtApi& api, const OrtKernelInfo* info) {
  std::size_t size = 0;
  Check(api.KernelInfo_GetNodeName(info, nullptr, &size));
  std::string name(size, '\0');
  Check(api.KernelInfo_GetNodeName(info, name.data(), &size));
  name.resize(size == 0 ? 0 : size - 1);  // the terminating zero is counted
  return name;
}

const OrtValue* ConstantInput(const OrtApi& api, const OrtKernelInfo* info,
                              std::size_t index) {
  int is_constant = 0;
  const OrtValue* value = nullptr;
  Check(
      api.KernelInfoGetConstantInput_tensor(info, index, &is_constant, &value));
  return is_constant != 0 ? value : nullptr;
}

const OrtValue* InputOrNull(const OrtApi& api, const OrtKernelContext* context,
                            std::size_t index) {
  std::size_t count = 0;
  Check(api.KernelContext_GetInputCount(context, &count));
  const OrtValue* value = nullptr;
  if (index < count) Check(api.KernelContext_GetInput(context, index, &value));
  return value;
}

}  // namespace spa
