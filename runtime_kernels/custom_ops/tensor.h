// What the ops ask of the runtime's tensors and kernel descriptions.

#ifndef SPA_CUSTOM_OPS_TENSOR_H_
#define SPA_CUSTOM_OPS_TENSOR_H_

#include <string>
#include <vector>

#include "abi/ort_api.h"

namespace spa {

using Shape = std::vector<int64_t>;

Shape ShapeOf(const OrtApi& api, const OrtValue* value);

// "(2, 3)"
std::string ToText(const Shape& shape);

// Product of the lengths; 1 for a scalar.
std::size_t ElementCount(const Shape& shape);

// The tensor's elements. The runtime has checked the element type against the
// op's declaration.
const void* DataOf(const OrtApi& api, const OrtValue* value);
void* MutableDataOf(const OrtApi& api, OrtValue* value);

std::string NodeName(const OrtApi& api, const OrtKernelInfo* info);

// Null if the input is not a constant of the model.
const OrtValue* ConstantInput(const OrtApi& api, const OrtKernelInfo* info,
                              std::size_t index);

// Null if the node was given fewer inputs or leaves this optional one empty.
const OrtValue* InputOrNull(const OrtApi& api, const OrtKernelContext* context,
                            std::size_t index);

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_TENSOR_H_
