#include "custom_ops/sparse_linear.h"

#include <string>

#include "abi/failure.h"
#include "custom_ops/last_axis_shape.h"
#include "custom_ops/pool.h"
#include "custom_ops/tensor.h"
#include "kernels/csr_linear/csr_linear.h"
#include "kernels/csr_linear/packed_csr.h"

namespace spa {
namespace {

constexpr char kOutFeatures[] = "out_features";
enum Input : std::size_t { kX, kWeight, kBias, kInputs };

// One node of a loaded model. Immutable, so sessions may run it concurrently.
class SparseLinear {
 public:
  SparseLinear(const OrtApi& api, const OrtKernelInfo* info)
      : api_(api),
        name_("ai.spa::SparseLinear '" + NodeName(api, info) + "': "),
        weight_(ReadWeight(info)) {
    int64_t out_features = 0;
    OrtStatus* missing =
        api.KernelInfoGetAttribute_int64(info, kOutFeatures, &out_features);
    if (missing != nullptr) {
      api.ReleaseStatus(missing);
      Refuse("the int attribute out_features is missing");
    }
    if (out_features != weight_.rows) {
      Refuse("attribute out_features is " + std::to_string(out_features) +
             ", but the packed weight has " + std::to_string(weight_.rows) +
             " rows");
    }
  }

  void Compute(OrtKernelContext* context) const {
    const OrtValue* x = InputOrNull(api_, context, kX);
    const OrtValue* bias = InputOrNull(api_, context, kBias);
    Shape shape = ShapeOf(api_, x);
    CheckX(shape);
    if (bias != nullptr) CheckBias(ShapeOf(api_, bias));

    CsrLinear problem{};
    problem.rows = weight_.rows;
    problem.columns = weight_.columns;
    problem.tokens = ElementCount(shape) / weight_.columns;
    problem.row_starts = weight_.row_starts;
    problem.column_indices = weight_.column_indices;
    problem.values = weight_.values;
    problem.x = static_cast<const float*>(DataOf(api_, x));
    if (bias != nullptr) {
      problem.bias = static_cast<const float*>(DataOf(api_, bias));
    }
    shape.back() = weight_.rows;
    OrtValue* y = nullptr;
    Check(api_.KernelContext_GetOutput(context, 0, shape.data(), shape.size(),
                                       &y));
    problem.y = static_cast<float*>(MutableDataOf(api_, y));
    RunCsrLinear(ChooseCsrLinear(), problem, SessionPool(api_, context));
  }

 private:
  [[noreturn]] void Refuse(const std::string& problem) const {
    throw InvalidInput(name_ + problem);
  }

  // The runtime hands out the same bytes for the life of the session, so they
  // are checked here once and used in place.
  PackedCsr ReadWeight(const OrtKernelInfo* info) const {
    const OrtValue* weight = ConstantInput(api_, info, kWeight);
    if (weight == nullptr) {
      Refuse("input 1, the packed weight, must be a constant initializer");
    }
    try {
      return ParsePackedCsr(
          static_cast<const unsigned char*>(DataOf(api_, weight)),
          ElementCount(ShapeOf(api_, weight)));
    } catch (const InvalidInput& error) {
      Refuse(error.what());
    }
  }

  void CheckX(const Shape& shape) const {
    if (shape.empty() || shape.back() != weight_.columns) {
      Refuse("X has shape " + ToText(shape) + ", the weight has shape " +
             ToText({weight_.rows, weight_.columns}) +
             ", so the last axis of X must have length " +
             std::to_string(weight_.columns));
    }
  }

  void CheckBias(const Shape& shape) const {
    if (shape != Shape{weight_.rows}) {
      Refuse("bias has shape " + ToText(shape) + ", expected " +
             ToText({weight_.rows}));
    }
  }

  const OrtApi& api_;
  const std::string name_;
  const PackedCsr weight_;
};

const OrtApi& ApiOf(const OrtCustomOp* op) {
  return static_cast<const SparseLinearOp*>(op)->api;
}

// A kernel and the table its statuses are made with.
struct Kernel {
  Kernel(const OrtApi& api, const OrtKernelInfo* info)
      : api(api), sparse_linear(api, info) {}

  const OrtApi& api;
  SparseLinear sparse_linear;
};

OrtStatus* Create(const OrtCustomOp* op, const OrtApi* /*api*/,
                  const OrtKernelInfo* info, void** kernel) {
  return StatusOf(ApiOf(op), [&] { *kernel = new Kernel(ApiOf(op), info); });
}

OrtStatus* Compute(void* opaque, OrtKernelContext* context) {
  const auto* kernel = static_cast<const Kernel*>(opaque);
  return StatusOf(kernel->api, [&] { kernel->sparse_linear.Compute(context); });
}

OrtStatus* InferShape(const OrtCustomOp* op, OrtShapeInferContext* context) {
  return StatusOf(ApiOf(op),
                  [&] { InferLastAxis(ApiOf(op), context, kOutFeatures); });
}

}  // namespace

SparseLinearOp::SparseLinearOp(const OrtApi& runtime)
    : OrtCustomOp{}, api(runtime) {
  version = 17;
  GetName = [](const OrtCustomOp*) { return "SparseLinear"; };
  GetExecutionProviderType = [](const OrtCustomOp*) -> const char* {
    return nullptr;  // the CPU
  };
  GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return kInputs; };
  GetInputType = [](const OrtCustomOp*, size_t index) {
    return index == kWeight ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
                            : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  };
  GetInputCharacteristic = [](const OrtCustomOp*, size_t index) {
    return index == kBias ? INPUT_OUTPUT_OPTIONAL : INPUT_OUTPUT_REQUIRED;
  };
  GetInputMemoryType = [](const OrtCustomOp*, size_t) {
    return OrtMemTypeDefault;
  };
  GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
  GetOutputType = [](const OrtCustomOp*, size_t) {
    return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  };
  GetOutputCharacteristic = [](const OrtCustomOp*, size_t) {
    return INPUT_OUTPUT_REQUIRED;
  };
  GetStartVersion = [](const OrtCustomOp*) { return 1; };
  GetEndVersion = [](const OrtCustomOp*) { return 1; };
  CreateKernelV2 = Create;
  KernelComputeV2 = Compute;
  KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  InferOutputShapeFn = InferShape;
}

}  // namespace spa
