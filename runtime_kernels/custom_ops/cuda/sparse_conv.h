// ai.spa::SparseConv for the CUDA provider: as custom_ops/sparse_conv.h says,
// but of 1 x 1 without padding, with float16 or bfloat16 in place of float32,
// and W of kind tiles or two of four.

#ifndef SPA_CUSTOM_OPS_CUDA_SPARSE_CONV_H_
#define SPA_CUSTOM_OPS_CUDA_SPARSE_CONV_H_

#include "abi/ort_api.h"
#include "custom_ops/cuda/node.h"

namespace spa::cuda {

class ConvNode {
 public:
  ConvNode(const OrtApi& api, const OrtKernelInfo* info, ValueType type);

  void Compute(OrtKernelContext* context) const;

 private:
  const OrtApi& api_;
  const Axes strides_;
  const Node node_;
};

}  // namespace spa::cuda

#endif  // SPA_CUSTOM_OPS_CUDA_SPARSE_CONV_H_
