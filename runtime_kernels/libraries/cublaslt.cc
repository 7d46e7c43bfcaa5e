#include "libraries/cublaslt.h"

#include <string>

namespace spa::cublaslt {
namespace {

constexpr int kFloat = 0;               // CUDA_R_32F
constexpr int kHalf = 2;                // CUDA_R_16F
constexpr int kBfloat = 14;             // CUDA_R_16BF
constexpr int kComputeFloat = 68;       // CUBLAS_COMPUTE_32F
constexpr std::int32_t kTranspose = 1;  // CUBLAS_OP_T
constexpr int kTransposeA = 3;          // CUBLASLT_MATMUL_DESC_TRANSA
constexpr int kMostWorkspace = 1;  // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES

int TypeOf(ValueType type) {
  return type == ValueType::kBfloat16 ? kBfloat : kHalf;
}

template <class T>
std::unique_ptr<T, int (*)(T*)> Own(T* made, int (*destroy)(T*)) {
  return {made, destroy};
}

}  // namespace

Library::Library()
    : library_({"cuBLASLt",
                "SPA_ONNX_CUBLASLT",
                {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"}}),
      functions_{} {
  Functions& f = functions_;
  library_.Find("cublasLtCreate", f.create);
  library_.Find("cublasLtDestroy", f.destroy);
  library_.FindIfThere("cublasLtGetStatusName", f.status_name);
  library_.Find("cublasLtMatmulDescCreate", f.create_operation);
  library_.Find("cublasLtMatmulDescDestroy", f.destroy_operation);
  library_.Find("cublasLtMatmulDescSetAttribute", f.set_operation);
  library_.Find("cublasLtMatrixLayoutCreate", f.create_layout);
  library_.Find("cublasLtMatrixLayoutDestroy", f.destroy_layout);
  library_.Find("cublasLtMatmulPreferenceCreate", f.create_preference);
  library_.Find("cublasLtMatmulPreferenceDestroy", f.destroy_preference);
  library_.Find("cublasLtMatmulPreferenceSetAttribute", f.set_preference);
  library_.Find("cublasLtMatmulAlgoGetHeuristic", f.propose);
  library_.Find("cublasLtMatmul", f.multiply);
}

void Library::Check(int status, const char* what) const {
  if (status == 0) return;
  std::string text = std::string("cuBLASLt: ") + what + ": ";
  if (functions_.status_name != nullptr) {
    text += functions_.status_name(status);
  } else {
    text += "status " + std::to_string(status);
  }
  throw gpu::Failure(text);
}

// To the library, which counts columns first, Y is D = A^T B of rows x tokens,
// A is W of columns x rows and B is X of columns x tokens.
Product::Product(const Library& library, const Sizes& sizes, void* workspace,
                 std::size_t workspace_size)
    : library_(library),
      workspace_(workspace),
      workspace_size_(workspace_size),
      context_([&] {
        Context* made = nullptr;
        library.Check(library.call().create(&made), "beginning");
        return Own(made, library.call().destroy);
      }()),
      operation_([&] {
        Operation* made = nullptr;
        library.Check(
            library.call().create_operation(&made, kComputeFloat, kFloat),
            "describing a product");
        return Own(made, library.call().destroy_operation);
      }()),
      w_(ColumnMajor(sizes, sizes.columns, sizes.rows)),
      x_(ColumnMajor(sizes, sizes.columns, sizes.tokens)),
      y_(ColumnMajor(sizes, sizes.rows, sizes.tokens)) {
  library.Check(library.call().set_operation(operation_.get(), kTransposeA,
                                             &kTranspose, sizeof(kTranspose)),
                "transposing W");
}

Product::Owned<Layout> Product::ColumnMajor(const Sizes& sizes,
                                            std::uint64_t rows,
                                            std::uint64_t columns) const {
  Layout* made = nullptr;
  library_.Check(
      library_.call().create_layout(&made, TypeOf(sizes.type), rows, columns,
                                    static_cast<std::int64_t>(rows)),
      "describing a matrix");
  return Own(made, library_.call().destroy_layout);
}

Product::Owned<Preference> Product::WithinWorkspace() const {
  Preference* made = nullptr;
  library_.Check(library_.call().create_preference(&made),
                 "stating a preference");
  auto owned = Own(made, library_.call().destroy_preference);
  const std::uint64_t size = workspace_size_;
  library_.Check(
      library_.call().set_preference(made, kMostWorkspace, &size, sizeof(size)),
      "limiting the workspace");
  return owned;
}

std::vector<Algorithm> Product::Propose(int most) const {
  const Owned<Preference> preference = WithinWorkspace();
  std::vector<Proposal> proposals(static_cast<std::size_t>(most));
  int found = 0;
  library_.Check(
      library_.call().propose(context_.get(), operation_.get(), w_.get(),
                              x_.get(), y_.get(), y_.get(), preference.get(),
                              most, proposals.data(), &found),
      "looking for algorithms");
  proposals.resize(static_cast<std::size_t>(found));
  std::vector<Algorithm> algorithms;
  for (const Proposal& proposal : proposals) {
    if (proposal.status == 0) algorithms.push_back(proposal.algorithm);
  }
  if (algorithms.empty()) {
    throw gpu::Failure("cuBLASLt: it has no algorithm for this product");
  }
  return algorithms;
}

void Product::Start(const Algorithm& algorithm, const Matrices& matrices,
                    gpu::Stream stream) const {
  const float alpha = 1;
  const float beta = 0;
  library_.Check(
      library_.call().multiply(
          context_.get(), operation_.get(), &alpha, matrices.w, w_.get(),
          matrices.x, x_.get(), &beta, matrices.y, y_.get(), matrices.y,
          y_.get(), &algorithm, workspace_, workspace_size_, stream),
      "multiplying");
}

}  // namespace spa::cublaslt
