// ai.spa::SparseLinear for the CUDA provider: as custom_ops/sparse_linear.h
// says, with float16 or bfloat16 in place of float32, W of kind bit mask, tiles
// or two of four, and without `tile`.
// Attribute `engine`, own (default) or cusparselt: whose kernels do what they
// can of a 2:4 weight, where they are there.
//
// Stored zeros count: where X is inf or NaN, they make NaN.

#ifndef SPA_CUSTOM_OPS_CUDA_SPARSE_LINEAR_H_
#define SPA_CUSTOM_OPS_CUDA_SPARSE_LINEAR_H_

#include "abi/ort_api.h"
#include "custom_ops/cuda/node.h"

namespace spa::cuda {

class LinearNode {
 public:
  LinearNode(const OrtApi& api, const OrtKernelInfo* info, ValueType type)
      : api_(api), node_(api, info, type, "out_features") {}

  void Compute(OrtKernelContext* context) const;

 private:
  const OrtApi& api_;
  const Node node_;
};

}  // namespace spa::cuda

#endif  // SPA_CUSTOM_OPS_CUDA_SPARSE_LINEAR_H_
