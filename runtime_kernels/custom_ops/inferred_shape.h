// Shapes with names for symbolic axes, as shape inference reads and writes
// them.

#ifndef SPA_CUSTOM_OPS_INFERRED_SHAPE_H_
#define SPA_CUSTOM_OPS_INFERRED_SHAPE_H_

#include <string>
#include <vector>

#include "abi/ort_api.h"
#include "custom_ops/tensor.h"

namespace spa {

// "" is the name of an axis with a length, or of one that nothing is known of.
struct InferredShape {
  Shape lengths;  // negative: unknown
  std::vector<std::string> names;

  void Set(std::size_t axis, std::int64_t length) {
    lengths[axis] = length;
    names[axis].clear();
  }
};

// Input 0's shape. Its rank is zero where the runtime does not know it.
InferredShape InputShape(const OrtApi& api, OrtShapeInferContext* context);

// Sets output 0's shape, or nothing where an axis has neither length nor name.
void SetOutputShape(const OrtApi& api, OrtShapeInferContext* context,
                    const InferredShape& shape);

std::int64_t InferenceInt(const OrtApi& api,
                          const OrtShapeInferContext* context,
                          const char* name);

std::vector<std::int64_t> InferenceInts(const OrtApi& api,
                                        const OrtShapeInferContext* context,
                                        const char* name);

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_INFERRED_SHAPE_H_
