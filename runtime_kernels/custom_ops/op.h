// What the runtime registers for one operator, from a class that says what the
// operator is.

#ifndef SPA_CUSTOM_OPS_OP_H_
#define SPA_CUSTOM_OPS_OP_H_

#include <string>

#include "abi/failure.h"
#include "abi/ort_api.h"
#include "custom_ops/tensor.h"

namespace spa {

// The inputs of every operator of the domain; the last two are optional.
enum Input : std::size_t { kX, kWeight, kBias, kResidual, kInputs };

// What a release of the runtime takes.
struct Runtime {
  const OrtApi& api;
  std::uint32_t op_version;  // of OrtCustomOp
  bool infers_shapes;        // of nodes that leave out an input before others
};

// `Node` is one node of a loaded model. It has
//   static constexpr char kName[]
//   static constexpr ONNXTensorElementDataType kType, of all but the weight
//   static constexpr const char* kProvider, null for the CPU
//   static constexpr OrtMemType kWeightMemory, where it wants the weight
//   static constexpr bool kMayReplaceResidual, whether Y may lie where an input
//     of its shape lies that nobody else reads
//   static void InferShape(const OrtApi&, OrtShapeInferContext*)
//     The runtime asks the first op of a name that it was given.
//   Node(const OrtApi&, const OrtKernelInfo*, threads of the session's pool)
//   void Compute(OrtKernelContext*) const, also from several threads at once
// and may throw std::exception, whose text then gains the names of op and node.
template <typename Node>
struct Op : OrtCustomOp {
  Op(const Runtime& runtime, std::size_t pool);

  const OrtApi& api;  // outlives the op
  const std::size_t threads;
};

template <typename Node>
class Kernel {
 public:
  // Runs `body` so that refusals say which node they are about.
  template <typename Body>
  static OrtStatus* Named(const OrtApi& api, const std::string& name,
                          const Body& body) noexcept {
    return StatusOf(api, [&] {
      try {
        body();
      } catch (const InvalidInput& error) {
        throw InvalidInput(About(name) + error.what());
      } catch (const std::exception& error) {
        throw std::runtime_error(About(name) + error.what());
      }
    });
  }

  static OrtStatus* Create(const OrtCustomOp* op, const OrtApi* /*api*/,
                           const OrtKernelInfo* info, void** kernel) {
    const auto& made = *static_cast<const Op<Node>*>(op);
    const OrtApi& api = made.api;
    std::string name;
    OrtStatus* status = StatusOf(api, [&] { name = NodeName(api, info); });
    if (status != nullptr) return status;
    return Named(api, name,
                 [&] { *kernel = new Kernel(api, info, name, made.threads); });
  }

  static OrtStatus* Compute(void* opaque, OrtKernelContext* context) {
    const auto& kernel = *static_cast<const Kernel*>(opaque);
    return Named(kernel.api_, kernel.name_,
                 [&] { kernel.node_.Compute(context); });
  }

 private:
  static std::string About(const std::string& name) {
    return std::string("ai.spa::") + Node::kName + " '" + name + "': ";
  }

  Kernel(const OrtApi& api, const OrtKernelInfo* info, std::string name,
         std::size_t threads)
      : api_(api), name_(std::move(name)), node_(api, info, threads) {}

  const OrtApi& api_;
  const std::string name_;
  const Node node_;
};

template <typename Node>
Op<Node>::Op(const Runtime& runtime, std::size_t pool)
    : OrtCustomOp{}, api(runtime.api), threads(pool) {
  version = runtime.op_version;
  GetName = [](const OrtCustomOp*) -> const char* { return Node::kName; };
  GetExecutionProviderType = [](const OrtCustomOp*) -> const char* {
    return Node::kProvider;
  };
  GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return kInputs; };
  GetInputType = [](const OrtCustomOp*, size_t index) {
    return index == kWeight ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 : Node::kType;
  };
  GetInputCharacteristic = [](const OrtCustomOp*, size_t index) {
    return index >= kBias ? INPUT_OUTPUT_OPTIONAL : INPUT_OUTPUT_REQUIRED;
  };
  GetInputMemoryType = [](const OrtCustomOp*, size_t index) {
    return index == kWeight ? Node::kWeightMemory : OrtMemTypeDefault;
  };
  GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
  GetOutputType = [](const OrtCustomOp*, size_t) { return Node::kType; };
  GetOutputCharacteristic = [](const OrtCustomOp*, size_t) {
    return INPUT_OUTPUT_REQUIRED;
  };
  GetStartVersion = [](const OrtCustomOp*) { return 1; };
  GetEndVersion = [](const OrtCustomOp*) { return 1; };
  CreateKernelV2 = Kernel<Node>::Create;
  KernelComputeV2 = Kernel<Node>::Compute;
  KernelDestroy = [](void* kernel) {
    delete static_cast<Kernel<Node>*>(kernel);
  };
  if (runtime.infers_shapes) {
    InferOutputShapeFn = [](const OrtCustomOp* op,
                            OrtShapeInferContext* context) {
      const OrtApi& api = static_cast<const Op<Node>*>(op)->api;
      return StatusOf(api, [&] { Node::InferShape(api, context); });
    };
  }
  if (Node::kMayReplaceResidual) {
    GetMayInplace = [](int** inputs, int** outputs) -> size_t {
      static int residual = kResidual;
      static int y = 0;
      *inputs = &residual;
      *outputs = &y;
      return 1;
    };
    ReleaseMayInplace = [](int*, int*) {};
  }
}

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_OP_H_
