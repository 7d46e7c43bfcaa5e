#include "custom_ops/weight.h"

#include "abi/failure.h"
#include "custom_ops/attributes.h"
#include "custom_ops/op.h"
#include "support/huge_pages.h"

namespace spa {

ConstantWeight ReadWeight(const OrtApi& api, const OrtKernelInfo* info,
                          const char* rows_attribute,
                          Packed (*parse)(const unsigned char*, std::size_t)) {
  const OrtValue* value = ConstantInput(api, info, kWeight);
  if (value == nullptr) {
    throw InvalidInput(
        "input 1, the packed weight, must be a constant initializer");
  }
  const auto* bytes = static_cast<const unsigned char*>(DataOf(api, value));
  const std::size_t size = ElementCount(ShapeOf(api, value));
  const Packed packed = parse(bytes, size);
  const std::int64_t rows = Attributes(api, info).Int(rows_attribute);
  if (rows < 0 || static_cast<std::size_t>(rows) != packed.rows) {
    throw InvalidInput(std::string("attribute ") + rows_attribute + " is " +
                       std::to_string(rows) + ", but the packed weight has " +
                       std::to_string(packed.rows) + " rows");
  }
  return {bytes, size, packed};
}

Packed ReadWeightInPlace(const OrtApi& api, const OrtKernelInfo* info,
                         const char* rows_attribute) {
  const ConstantWeight weight =
      ReadWeight(api, info, rows_attribute, &ParseForCpu);
  PreferHugePages(weight.bytes, weight.size);
  return weight.packed;
}

const void* OptionalInput(const OrtApi& api, const OrtKernelContext* context,
                          std::size_t index, const char* name,
                          const Shape& shape) {
  const OrtValue* value = InputOrNull(api, context, index);
  if (value == nullptr) return nullptr;
  const Shape found = ShapeOf(api, value);
  if (found != shape) {
    throw InvalidInput(std::string(name) + " has shape " + ToText(found) +
                       ", expected " + ToText(shape));
  }
  return DataOf(api, value);
}

const float* OptionalFloats(const OrtApi& api, const OrtKernelContext* context,
                            std::size_t index, const char* name,
                            const Shape& shape) {
  return static_cast<const float*>(
      OptionalInput(api, context, index, name, shape));
}

}  // namespace spa
