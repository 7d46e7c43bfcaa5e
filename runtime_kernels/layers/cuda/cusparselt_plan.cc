#include "layers/cuda/cusparselt_plan.h"

namespace spa::cuda {
namespace {

using cusparselt::Functions;
using cusparselt::Object;
using cusparselt::Order;
using cusparselt::Owned;
using cusparselt::Session;

constexpr int kNone = 0;          // CUSPARSE_OPERATION_NON_TRANSPOSE
constexpr int kTranspose = 1;     // CUSPARSE_OPERATION_TRANSPOSE
constexpr int kComputeFloat = 2;  // CUSPARSE_COMPUTE_32F
constexpr int kRelu = 0;          // CUSPARSELT_MATMUL_ACTIVATION_RELU
constexpr int kBias = 8;          // CUSPARSELT_MATMUL_BIAS_POINTER
constexpr int kDefault = 0;       // CUSPARSELT_MATMUL_ALG_DEFAULT

constexpr float kOne = 1;
constexpr float kZero = 0;

// To the library, D = A B^T: A is W, B is X as it lies, and D of rows x tokens
// has its columns in a piece, as Y has its rows.
Owned Product(const Session& session, const Object* w, const Object* x,
              const Object* y) {
  return {nullptr, [&](Object* made) {
            session.library().Check(session.library().call().describe_product(
                                        session.handle(), made, kNone,
                                        kTranspose, w, x, y, y, kComputeFloat),
                                    "describing a product");
          }};
}

void Finish(const Session& session, Object* product, const void* bias,
            bool has_relu) {
  const Functions& call = session.library().call();
  if (bias != nullptr) {
    session.library().Check(
        call.set_product(session.handle(), product, kBias, &bias, sizeof(bias)),
        "adding a bias");
  }
  const int on = 1;
  if (has_relu) {
    session.library().Check(
        call.set_product(session.handle(), product, kRelu, &on, sizeof(on)),
        "asking for ReLU");
  }
}

}  // namespace

CusparseltPlan::CusparseltPlan(const Session& session, const Object* weight,
                               const CusparseltSizes& sizes, const void* bias,
                               bool has_relu)
    : session_(session),
      sizes_(sizes),
      x_(session.Dense(sizes.type, sizes.tokens, sizes.columns, Order::kRows)),
      y_(session.Dense(sizes.type, sizes.rows, sizes.tokens, Order::kColumns)),
      product_([&] {
        Owned product = Product(session, weight, x_.get(), y_.get());
        Finish(session, product.get(), bias, has_relu);
        return product;
      }()),
      algorithm_(session.library().call().forget_algorithm,
                 [&](Object* made) {
                   session.library().Check(
                       session.library().call().select(
                           session.handle(), made, product_.get(), kDefault),
                       "choosing an algorithm");
                 }),
      plan_(session.library().call().forget_plan, [&](Object* made) {
        session.library().Check(
            session.library().call().plan(session.handle(), made,
                                          product_.get(), algorithm_.get()),
            "planning");
      }) {}

std::size_t CusparseltPlan::WorkspaceSize() const {
  std::size_t size = 0;
  session_.library().Check(session_.library().call().workspace(
                               session_.handle(), plan_.get(), &size),
                           "asking for the size of its workspace");
  return size;
}

void CusparseltPlan::Search(const void* compressed, const Tensors& tensors,
                            const Memory& memory, gpu::Stream stream) {
  const DeviceBytes workspace(memory, WorkspaceSize());
  const DeviceBytes y(memory,
                      sizes_.rows * sizes_.tokens * sizeof(std::uint16_t));
  const bool adds = tensors.residual != nullptr;
  session_.library().Check(
      session_.library().call().search(
          session_.handle(), plan_.get(), &kOne, compressed, tensors.x,
          adds ? &kOne : &kZero, adds ? tensors.residual : y.get(), y.get(),
          workspace.get(), &stream, 1),
      "timing its algorithms");
  gpu::Wait(stream);
  // That of the algorithm that was chosen.
  workspace_.emplace(memory, WorkspaceSize());
}

void CusparseltPlan::Start(const void* compressed, const Tensors& tensors,
                           gpu::Stream stream) const {
  const bool adds = tensors.residual != nullptr;
  session_.library().Check(
      session_.library().call().multiply(
          session_.handle(), plan_.get(), &kOne, compressed, tensors.x,
          adds ? &kOne : &kZero, adds ? tensors.residual : tensors.y, tensors.y,
          workspace_->get(), &stream, 1),
      "multiplying");
}

}  // namespace spa::cuda
