// The packed weight of a node, checked once and used in place.

#ifndef SPA_CUSTOM_OPS_WEIGHT_H_
#define SPA_CUSTOM_OPS_WEIGHT_H_

#include "abi/ort_api.h"
#include "custom_ops/tensor.h"
#include "kernels/packed/packed.h"

namespace spa {

// Throws InvalidInput if input 1 is not constant, not sound, or has other rows
// than the int attribute of the name says.
Packed ReadWeight(const OrtApi& api, const OrtKernelInfo* info,
                  const char* rows_attribute);

// The elements of an optional float input of the given shape, or null.
const float* OptionalFloats(const OrtApi& api, const OrtKernelContext* context,
                            std::size_t index, const char* name,
                            const Shape& shape);

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_WEIGHT_H_
