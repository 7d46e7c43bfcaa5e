#include "custom_ops/inferred_shape.h"

#include "abi/failure.h"

namespace spa {
namespace {

constexpr std::size_t kMostInts = 16;

// The context owns the description, so it can be changed and handed back.
OrtTensorTypeAndShapeInfo* InfoOf(const OrtApi& api,
                                  OrtShapeInferContext* context) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  Check(api.ShapeInferContext_GetInputTypeShape(context, 0, &info));
  return info;
}

// The runtime would take a nameless axis of unknown length for one of length
// -1.
bool Expressible(const InferredShape& shape) {
  for (std::size_t i = 0; i < shape.lengths.size(); ++i) {
    if (shape.lengths[i] < 0 && shape.names[i].empty()) return false;
  }
  return true;
}

}  // namespace

InferredShape InputShape(const OrtApi& api, OrtShapeInferContext* context) {
  const OrtTensorTypeAndShapeInfo* info = InfoOf(api, context);
  std::size_t rank = 0;
  Check(api.GetDimensionsCount(info, &rank));
  Shape lengths(rank);
  std::vector<const char*> names(rank);
  Check(api.GetDimensions(info, lengths.data(), rank));
  Check(api.GetSymbolicDimensions(info, names.data(), rank));
  return {std::move(lengths), {names.begin(), names.end()}};
}

void SetOutputShape(const OrtApi& api, OrtShapeInferContext* context,
                    const InferredShape& shape) {
  if (!Expressible(shape)) return;
  OrtTensorTypeAndShapeInfo* info = InfoOf(api, context);
  std::vector<const char*> names;
  for (const std::string& name : shape.names) names.push_back(name.c_str());
  Check(api.SetDimensions(info, shape.lengths.data(), shape.lengths.size()));
  Check(api.SetSymbolicDimensions(info, names.data(), names.size()));
  Check(api.ShapeInferContext_SetOutputTypeShape(context, 0, info));
}

std::int64_t InferenceInt(const OrtApi& api,
                          const OrtShapeInferContext* context,
                          const char* name) {
  const OrtOpAttr* attribute = nullptr;
  std::int64_t number = 0;
  std::size_t size = 0;
  Check(api.ShapeInferContext_GetAttribute(context, name, &attribute));
  Check(api.ReadOpAttr(attribute, ORT_OP_ATTR_INT, &number, sizeof(number),
                       &size));
  return number;
}

std::vector<std::int64_t> InferenceInts(const OrtApi& api,
                                        const OrtShapeInferContext* context,
                                        const char* name) {
  const OrtOpAttr* attribute = nullptr;
  std::vector<std::int64_t> numbers(kMostInts);
  std::size_t size = 0;
  Check(api.ShapeInferContext_GetAttribute(context, name, &attribute));
  Check(api.ReadOpAttr(attribute, ORT_OP_ATTR_INTS, numbers.data(),
                       numbers.size() * sizeof(std::int64_t), &size));
  numbers.resize(size / sizeof(std::int64_t));
  return numbers;
}

}  // namespace spa
