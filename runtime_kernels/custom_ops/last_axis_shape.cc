#include "custom_ops/last_axis_shape.h"

#include <string>
#include <utility>
#include <vector>

#include "abi/failure.h"
#include "custom_ops/tensor.h"

namespace spa {
namespace {

// Lengths, and a name for each symbolic axis; "" is a known or a nameless one.
struct NamedShape {
  Shape lengths;
  std::vector<std::string> names;
};

NamedShape Read(const OrtApi& api, const OrtTensorTypeAndShapeInfo* info) {
  std::size_t rank = 0;
  Check(api.GetDimensionsCount(info, &rank));
  Shape lengths(rank);
  std::vector<const char*> names(rank);
  Check(api.GetDimensions(info, lengths.data(), rank));
  Check(api.GetSymbolicDimensions(info, names.data(), rank));
  return {std::move(lengths), {names.begin(), names.end()}};
}

void Write(const OrtApi& api, const NamedShape& shape,
           OrtTensorTypeAndShapeInfo* info) {
  std::vector<const char*> names;
  for (const std::string& name : shape.names) names.push_back(name.c_str());
  Check(api.SetDimensions(info, shape.lengths.data(), shape.lengths.size()));
  Check(api.SetSymbolicDimensions(info, names.data(), names.size()));
}

// The runtime would take a nameless axis of unknown length for one of length
// -1.
bool Expressible(const NamedShape& shape) {
  for (std::size_t i = 0; i < shape.lengths.size(); ++i) {
    if (shape.lengths[i] < 0 && shape.names[i].empty()) return false;
  }
  return true;
}

int64_t IntAttribute(const OrtApi& api, const OrtShapeInferContext* context,
                     const char* name) {
  const OrtOpAttr* attribute = nullptr;
  int64_t number = 0;
  std::size_t size = 0;
  Check(api.ShapeInferContext_GetAttribute(context, name, &attribute));
  Check(api.ReadOpAttr(attribute, ORT_OP_ATTR_INT, &number, sizeof(number),
                       &size));
  return number;
}

}  // namespace

void InferLastAxis(const OrtApi& api, OrtShapeInferContext* context,
                   const char* attribute) {
  // The context owns the description, so it can be changed and handed back.
  OrtTensorTypeAndShapeInfo* info = nullptr;
  Check(api.ShapeInferContext_GetInputTypeShape(context, 0, &info));
  NamedShape shape = Read(api, info);
  if (shape.lengths.empty()) return;
  shape.lengths.back() = IntAttribute(api, context, attribute);
  shape.names.back().clear();
  if (!Expressible(shape)) return;
  Write(api, shape, info);
  Check(api.ShapeInferContext_SetOutputTypeShape(context, 0, info));
}

}  // namespace spa
