#include "libraries/cusparselt.h"

#include <string>

namespace spa::cusparselt {
namespace {

constexpr int kHalf = 2;      // CUDA_R_16F
constexpr int kBfloat = 14;   // CUDA_R_16BF
constexpr int kHalfOfIt = 0;  // CUSPARSELT_SPARSITY_50_PERCENT
constexpr std::uint32_t kAlignment = 16;

// Versions before it number their types of sums differently.
constexpr int kLeastVersion = 602;

int TypeOf(ValueType type) {
  return type == ValueType::kBfloat16 ? kBfloat : kHalf;
}

}  // namespace

Library::Library()
    : library_({"cuSPARSELt",
                "SPA_ONNX_CUSPARSELT",
                {"libcusparseLt.so.0", "libcusparseLt.so"}}),
      functions_{} {
  Functions& f = functions_;
  library_.Find("cusparseLtInit", f.begin);
  library_.Find("cusparseLtDestroy", f.end);
  library_.Find("cusparseLtGetVersion", f.version);
  library_.FindIfThere("cusparseLtGetErrorName", f.status_name);
  library_.Find("cusparseLtDenseDescriptorInit", f.describe_dense);
  library_.Find("cusparseLtStructuredDescriptorInit", f.describe_sparse);
  library_.Find("cusparseLtMatDescriptorDestroy", f.forget_matrix);
  library_.Find("cusparseLtMatmulDescriptorInit", f.describe_product);
  library_.Find("cusparseLtMatmulDescSetAttribute", f.set_product);
  library_.Find("cusparseLtMatmulAlgSelectionInit", f.select);
  library_.FindIfThere("cusparseLtMatmulAlgSelectionDestroy",
                       f.forget_algorithm);
  library_.Find("cusparseLtMatmulPlanInit", f.plan);
  library_.Find("cusparseLtMatmulPlanDestroy", f.forget_plan);
  library_.Find("cusparseLtMatmulGetWorkspace", f.workspace);
  library_.Find("cusparseLtSpMMACompressedSize2", f.compressed_size);
  library_.Find("cusparseLtSpMMACompress2", f.compress);
  library_.Find("cusparseLtMatmulSearch", f.search);
  library_.Find("cusparseLtMatmul", f.multiply);
}

void Library::Check(int status, const char* what) const {
  if (status == 0) return;
  std::string text = std::string("cuSPARSELt: ") + what + ": ";
  if (functions_.status_name != nullptr) {
    text += functions_.status_name(status);
  } else {
    text += "status " + std::to_string(status);
  }
  throw gpu::Failure(text);
}

Session::Session(const Library& library)
    : library_(library), handle_(library.call().end, [&](Object* handle) {
        library.Check(library.call().begin(handle), "beginning");
      }) {
  int version = 0;
  library.Check(library.call().version(handle(), &version),
                "asking for its version");
  if (version >= kLeastVersion) return;
  throw gpu::Failure("cuSPARSELt: version " + std::to_string(version) +
                     " of it is too old, it must be 602, 0.6.2, or later");
}

Owned Session::Dense(ValueType type, std::uint64_t rows, std::uint64_t columns,
                     Order order) const {
  const std::uint64_t leading = order == Order::kRows ? columns : rows;
  return {library_.call().forget_matrix, [&](Object* matrix) {
            library_.Check(
                library_.call().describe_dense(
                    handle(), matrix, static_cast<std::int64_t>(rows),
                    static_cast<std::int64_t>(columns),
                    static_cast<std::int64_t>(leading), kAlignment,
                    TypeOf(type), static_cast<int>(order)),
                "describing a matrix");
          }};
}

Owned Session::TwoOfFour(ValueType type, std::uint64_t rows,
                         std::uint64_t columns) const {
  return {library_.call().forget_matrix, [&](Object* matrix) {
            library_.Check(
                library_.call().describe_sparse(
                    handle(), matrix, static_cast<std::int64_t>(rows),
                    static_cast<std::int64_t>(columns),
                    static_cast<std::int64_t>(columns), kAlignment,
                    TypeOf(type), static_cast<int>(Order::kRows), kHalfOfIt),
                "describing a 2:4 weight");
          }};
}

}  // namespace spa::cusparselt
