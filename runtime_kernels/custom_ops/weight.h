// The packed weight of a node, checked once, and its optional inputs.

#ifndef SPA_CUSTOM_OPS_WEIGHT_H_
#define SPA_CUSTOM_OPS_WEIGHT_H_

#include "abi/ort_api.h"
#include "custom_ops/tensor.h"
#include "kernels/packed/packed.h"

namespace spa {

// The runtime hands out the same bytes for the life of the session.
struct ConstantWeight {
  const unsigned char* bytes;
  std::size_t size;
  Packed packed;
};

// `parse` is ParseForCpu or ParseForCuda. Throws InvalidInput if input 1 is not
// constant, not sound, or has other rows than the int attribute of the name
// says.
ConstantWeight ReadWeight(const OrtApi& api, const OrtKernelInfo* info,
                          const char* rows_attribute,
                          Packed (*parse)(const unsigned char*, std::size_t));

// The same for the CPU, whose kernels use it where it lies.
Packed ReadWeightInPlace(const OrtApi& api, const OrtKernelInfo* info,
                         const char* rows_attribute);

// The elements of an optional input of the given shape, or null.
const void* OptionalInput(const OrtApi& api, const OrtKernelContext* context,
                          std::size_t index, const char* name,
                          const Shape& shape);
const float* OptionalFloats(const OrtApi& api, const OrtKernelContext* context,
                            std::size_t index, const char* name,
                            const Shape& shape);

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_WEIGHT_H_
