#include "custom_ops/sparse_linear.h"

#include "custom_ops/attributes.h"
#include "custom_ops/inferred_shape.h"
#include "custom_ops/pool.h"
#include "custom_ops/weight.h"

namespace spa {
namespace {

constexpr char kOutFeatures[] = "out_features";

}  // namespace

void SparseLinear::InferShape(const OrtApi& api,
                              OrtShapeInferContext* context) {
  InferredShape shape = InputShape(api, context);
  if (shape.lengths.empty()) return;
  shape.Set(shape.lengths.size() - 1, InferenceInt(api, context, kOutFeatures));
  SetOutputShape(api, context, shape);
}

SparseLinear::SparseLinear(const OrtApi& api, const OrtKernelInfo* info,
                           std::size_t threads)
    : api_(api),
      threads_(threads),
      layer_{ChooseKernels(),
             ReadWeightInPlace(api, info, kOutFeatures),
             ReadEpilogue(Attributes(api, info)),
             ReadTile(Attributes(api, info)),
             {}} {}

void SparseLinear::Compute(OrtKernelContext* context) const {
  const OrtValue* x = InputOrNull(api_, context, kX);
  Shape shape = ShapeOf(api_, x);
  const auto rows = static_cast<std::int64_t>(layer_.weight.rows);
  const auto columns = static_cast<std::int64_t>(layer_.weight.columns);
  if (shape.empty() || shape.back() != columns) {
    throw InvalidInput("X has shape " + ToText(shape) +
                       ", the weight has shape " + ToText({rows, columns}) +
                       ", so the last axis of X must have length " +
                       std::to_string(columns));
  }
  LinearCall call{};
  call.tokens = ElementCount(shape) / layer_.weight.columns;
  shape.back() = rows;
  call.x = static_cast<const float*>(DataOf(api_, x));
  call.bias = OptionalFloats(api_, context, kBias, "bias", {rows});
  call.residual = OptionalFloats(api_, context, kResidual, "residual", shape);
  OrtValue* y = nullptr;
  Check(
      api_.KernelContext_GetOutput(context, 0, shape.data(), shape.size(), &y));
  call.y = static_cast<float*>(MutableDataOf(api_, y));
  const std::size_t threads =
      PaysForThreads(layer_.weight, call.tokens) ? threads_ : 1;
  RunLinear(layer_, call, SessionPool(api_, context, threads));
}

}  // namespace spa
