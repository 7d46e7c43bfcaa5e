// SpaCudaAddOps: the operators for the CUDA provider, for each type of tensor.

#include <forward_list>
#include <mutex>

#include "abi/failure.h"
#include "abi/ort_api.h"
#include "custom_ops/cuda/sparse_conv.h"
#include "custom_ops/cuda/sparse_linear.h"
#include "custom_ops/op.h"
#include "spa_onnx_cuda.h"

namespace spa::cuda {
namespace {

constexpr std::uint32_t kApiVersion = 18;  // KernelInfoGetAllocator

constexpr char kLinear[] = "SparseLinear";
constexpr char kConv[] = "SparseConv";

// An op of a name and a type, as custom_ops/op.h wants it. Shapes are inferred
// by the op of the CPU, which is in the domain already.
template <class Implementation, const char* kOpName,
          ONNXTensorElementDataType kTensorType, ValueType kValueType>
class Typed {
 public:
  static constexpr const char* kName = kOpName;
  static constexpr ONNXTensorElementDataType kType = kTensorType;
  static constexpr const char* kProvider = kCudaProvider;
  static constexpr OrtMemType kWeightMemory = kHostMemory;
  static constexpr bool kMayReplaceResidual = true;
  static void InferShape(const OrtApi&, OrtShapeInferContext*) {}

  Typed(const OrtApi& api, const OrtKernelInfo* info, std::size_t /*threads*/)
      : implementation_(api, info, kValueType) {}
  void Compute(OrtKernelContext* context) const {
    implementation_.Compute(context);
  }

 private:
  const Implementation implementation_;
};

template <class Implementation, const char* kOpName>
struct Types {
  explicit Types(const Runtime& runtime)
      : half(runtime, 1), bfloat(runtime, 1) {}

  void AddTo(OrtCustomOpDomain* domain) const {
    Check(half.api.CustomOpDomain_Add(domain, &half));
    Check(half.api.CustomOpDomain_Add(domain, &bfloat));
  }

  const Op<Typed<Implementation, kOpName, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
                 ValueType::kFloat16>>
      half;
  const Op<Typed<Implementation, kOpName,
                 ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, ValueType::kBfloat16>>
      bfloat;
};

// Sessions keep pointers to ops and nothing says when the last one ends, so
// they are never freed or changed.
struct Ops {
  explicit Ops(const Runtime& runtime)
      : api(&runtime.api), linear(runtime), conv(runtime) {}

  const OrtApi* api;
  Types<LinearNode, kLinear> linear;
  Types<ConvNode, kConv> conv;
};

const Ops& OpsFor(const Runtime& runtime) {
  static std::mutex guard;
  static auto& known = *new std::forward_list<Ops>;
  const std::lock_guard<std::mutex> lock(guard);
  for (const Ops& ops : known) {
    if (ops.api == &runtime.api) return ops;
  }
  return known.emplace_front(runtime);
}

}  // namespace
}  // namespace spa::cuda

OrtStatus* SpaCudaAddOps(OrtCustomOpDomain* domain,
                         const OrtApiBase* api_base) {
  const OrtApi* api = api_base->GetApi(spa::cuda::kApiVersion);
  return spa::StatusOf(*api, [&] {
    const spa::Runtime runtime{*api, spa::cuda::kApiVersion, false};
    const spa::cuda::Ops& ops = spa::cuda::OpsFor(runtime);
    ops.linear.AddTo(domain);
    ops.conv.AddTo(domain);
  });
}
