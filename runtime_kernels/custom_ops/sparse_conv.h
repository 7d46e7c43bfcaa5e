// ai.spa::SparseConv, version 1
//
//   Y = act(X * W + bias + residual)          a convolution over (H, W)
//
//   inputs   X         float32 (N, C, H, W)
//            W         uint8 (size), constant, packed as packed.h says, of kind
//                      blocks; columns are C times the kernel's places, so the
//                      weight of a grouped convolution has zeros outside its
//                      own groups
//            bias      float32 (O), optional
//            residual  float32, shape of Y, optional
//   output   Y         float32 (N, O, H', W')
//   attributes
//     out_channels  int, O; lets the runtime infer Y's shape
//     kernel_shape, strides, dilations  ints, vertical and horizontal
//     pads          ints, top, left, bottom, right
//     activation, clip_min, clip_max, tile  as of SparseLinear
//
// A weight that W does not store adds nothing, also where X is inf or NaN.

#ifndef SPA_CUSTOM_OPS_SPARSE_CONV_H_
#define SPA_CUSTOM_OPS_SPARSE_CONV_H_

#include <array>

#include "abi/ort_api.h"
#include "custom_ops/op.h"
#include "layers/convolution.h"

namespace spa {

// The window along one axis.
struct Window {
  std::int64_t kernel, stride, dilation, before, after;

  // Whether any number of inputs has as many outputs.
  bool KeepsLength() const;

  // Outputs along an axis of that many inputs; not positive if there are none.
  std::int64_t Outputs(std::int64_t inputs) const;
};
using Windows = std::array<Window, 2>;

class SparseConv {
 public:
  static constexpr char kName[] = "SparseConv";
  static constexpr ONNXTensorElementDataType kType =
      ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  static constexpr const char* kProvider = nullptr;
  static constexpr OrtMemType kWeightMemory = OrtMemTypeDefault;
  static constexpr bool kMayReplaceResidual = true;
  static void InferShape(const OrtApi& api, OrtShapeInferContext* context);

  SparseConv(const OrtApi& api, const OrtKernelInfo* info, std::size_t threads);
  void Compute(OrtKernelContext* context) const;

 private:
  Axis AxisOf(std::size_t axis, const Shape& x, const Shape& y) const;

  const OrtApi& api_;
  const std::size_t threads_;
  const Windows windows_;
  const Packed weight_;
  const std::size_t channels_;
  const ConvolutionLayer layer_;
};

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_SPARSE_CONV_H_
