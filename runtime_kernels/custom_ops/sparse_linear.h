// ai.spa::SparseLinear, version 1
//
//   Y = act(X W^T + bias + residual)          over the last axis of X
//
//   inputs   X         float32 (..., columns), rank at least 1
//            W         uint8 (size), constant, packed as packed.h says
//            bias      float32 (rows), optional
//            residual  float32, shape of Y, optional
//   output   Y         float32 (..., rows)
//   attributes
//     out_features  int, rows; lets the runtime infer Y's shape
//     activation    none, relu, clip, gelu, gelu_tanh, silu or hard_swish
//     clip_min, clip_max  float, of clip
//     tile          int, most vectors or tokens of a tile; 0, the default,
//                   leaves it to the kernel
//
// A weight that a W of kind blocks does not store adds nothing, also where X is
// inf or NaN. The other kinds multiply the zeros beside stored weights too.

#ifndef SPA_CUSTOM_OPS_SPARSE_LINEAR_H_
#define SPA_CUSTOM_OPS_SPARSE_LINEAR_H_

#include "abi/ort_api.h"
#include "custom_ops/op.h"
#include "layers/linear.h"

namespace spa {

class SparseLinear {
 public:
  static constexpr char kName[] = "SparseLinear";
  static constexpr ONNXTensorElementDataType kType =
      ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  static constexpr const char* kProvider = nullptr;
  static constexpr OrtMemType kWeightMemory = OrtMemTypeDefault;
  static constexpr bool kMayReplaceResidual = false;
  static void InferShape(const OrtApi& api, OrtShapeInferContext* context);

  SparseLinear(const OrtApi& api, const OrtKernelInfo* info,
               std::size_t threads);
  void Compute(OrtKernelContext* context) const;

 private:
  const OrtApi& api_;
  const std::size_t threads_;
  const LinearLayer layer_;
};

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_SPARSE_LINEAR_H_
