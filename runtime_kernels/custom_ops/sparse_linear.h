// ai.spa::SparseLinear, version 1
//
//   Y = X W^T + bias          over the last axis of X
//
//   inputs   X      float32 (..., columns), rank at least 1
//            W      uint8 (size), constant, packed as packed_csr.h says
//            bias   float32 (rows), optional
//   output   Y      float32 (..., rows)
//   attribute  out_features  int, rows; lets the runtime infer Y's shape
//
// A weight that W does not store adds nothing, also where X is inf or NaN.

#ifndef SPA_CUSTOM_OPS_SPARSE_LINEAR_H_
#define SPA_CUSTOM_OPS_SPARSE_LINEAR_H_

#include "abi/ort_api.h"

namespace spa {

// What the runtime registers. `api` outlives it.
struct SparseLinearOp : OrtCustomOp {
  explicit SparseLinearOp(const OrtApi& api);

  const OrtApi& api;
};

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_SPARSE_LINEAR_H_
