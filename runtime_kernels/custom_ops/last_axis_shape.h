// Shape inference of ops that replace the last axis and keep the others.

#ifndef SPA_CUSTOM_OPS_LAST_AXIS_SHAPE_H_
#define SPA_CUSTOM_OPS_LAST_AXIS_SHAPE_H_

#include "abi/ort_api.h"

namespace spa {

// Sets output 0's shape to input 0's, with the last length taken from the int
// attribute. Names of symbolic axes stay. Sets nothing where the rank is zero,
// which the runtime also reports for an unknown one, or where another axis has
// neither a length nor a name.
void InferLastAxis(const OrtApi& api, OrtShapeInferContext* context,
                   const char* attribute);

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_LAST_AXIS_SHAPE_H_
