// What tests put in the place of cuSPARSELt: the functions that we call, on the
// memory of the CPU, as their documentation says and without our declarations.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "fake.h"
#include "fake_objects.h"

namespace {

using fake::Algorithm;
using fake::Get;
using fake::Handle;
using fake::Load;
using fake::Matrix;
using fake::Plan;
using fake::Product;
using fake::Put;
using fake::Remove;
using fake::StatusOf;
using fake::Store;

using fake::kInvalid;

constexpr int kNotSupported = 10;
int& Version() {
  static int version = 1000;
  return version;
}

std::size_t WorkspaceOf(const Plan& plan) { return plan.searched ? 4096 : 64; }

// The form of compressed weights here: a mark, then all numbers.
constexpr std::uint64_t kMark = 0x24242424;
constexpr std::size_t kFront = 16;
constexpr std::size_t kBuffer = 128;

struct Work {
  Matrix a_matrix, b_matrix, d_matrix;
  Product product;
  float alpha, beta;
  const void* a;
  const void* b;
  const void* c;
  void* d;
  void* workspace;
  std::size_t workspace_size;

  void Do() const {
    std::memset(workspace, 0xA5, workspace_size);
    for (std::int64_t i = 0; i < d_matrix.rows; ++i) {
      for (std::int64_t j = 0; j < d_matrix.columns; ++j) {
        Store(d_matrix.type, d, d_matrix.At(i, j), Element(i, j));
      }
    }
  }

  float Element(std::int64_t i, std::int64_t j) const {
    const auto* weight = static_cast<const unsigned char*>(a) + kFront;
    float sum = 0;
    for (std::int64_t k = 0; k < a_matrix.columns; ++k) {
      const std::size_t at =
          product.transposes_b ? b_matrix.At(j, k) : b_matrix.At(k, j);
      sum += Load(a_matrix.type, weight, a_matrix.At(i, k)) *
             Load(b_matrix.type, b, at);
    }
    sum *= alpha;
    if (beta != 0) sum += beta * Load(d_matrix.type, c, d_matrix.At(i, j));
    if (product.bias != nullptr) {
      sum += Load(d_matrix.type, product.bias, static_cast<std::uint64_t>(i));
    }
    return product.has_relu && sum < 0 ? 0 : sum;
  }
};

// What multiplications and searches take; a status that is not 0 if anything is
// unsound.
int WorkOf(const void* handle, const void* plan_object, const float* alpha,
           const void* a, const void* b, const float* beta, const void* c,
           void* d, void* workspace, std::int32_t streams, Work* work) {
  const Plan* const plan = Get<Plan>(plan_object);
  if (Get<Handle>(handle) == nullptr || plan == nullptr || streams != 1 ||
      workspace == nullptr || Get<Algorithm>(plan->algorithm) == nullptr) {
    return kInvalid;
  }
  const Product* const product = Get<Product>(plan->product);
  if (product == nullptr) return kInvalid;
  const Matrix* const matrices[] = {Get<Matrix>(product->a),
                                    Get<Matrix>(product->b),
                                    Get<Matrix>(product->d)};
  for (const Matrix* matrix : matrices) {
    if (matrix == nullptr) return kInvalid;
  }
  std::uint64_t mark = 0;
  std::memcpy(&mark, a, sizeof(mark));
  if (mark != kMark) return kInvalid;
  *work = {*matrices[0],
           *matrices[1],
           *matrices[2],
           *product,
           *alpha,
           *beta,
           a,
           b,
           c,
           d,
           workspace,
           WorkspaceOf(*plan)};
  return 0;
}

bool IsTwoOfFour(const Matrix& matrix, const void* dense) {
  for (std::int64_t i = 0; i < matrix.rows; ++i) {
    for (std::int64_t j = 0; j < matrix.columns; j += 4) {
      int values = 0;
      for (std::int64_t k = j; k < j + 4; ++k) {
        values += Load(matrix.type, dense, matrix.At(i, k)) != 0;
      }
      if (values > 2) return false;
    }
  }
  return true;
}

int Describe(const char* function, const void* handle, void* object,
             const Matrix& matrix, std::uint32_t alignment) {
  const std::int64_t multiple = matrix.is_sparse ? 16 : 8;
  const std::int64_t least = matrix.order == 1 ? matrix.rows : matrix.columns;
  if (Get<Handle>(handle) == nullptr) return kInvalid;
  if (matrix.rows % multiple != 0 || matrix.columns % multiple != 0 ||
      matrix.leading < least || alignment != 16 ||
      (matrix.type != fake::kHalf && matrix.type != fake::kBfloat)) {
    return kNotSupported;
  }
  return Put(function, object, matrix);
}

}  // namespace

EXPORT int cusparseLtInit(void* handle) {
  return Put("cusparseLtInit", handle, Handle{});
}
EXPORT int cusparseLtDestroy(const void* handle) {
  return Remove<Handle>(handle);
}
EXPORT int cusparseLtGetVersion(const void* handle, int* version) {
  if (Get<Handle>(handle) == nullptr) return kInvalid;
  *version = Version();
  return StatusOf("cusparseLtGetVersion");
}
EXPORT const char* cusparseLtGetErrorName(int status) {
  return status == kNotSupported ? "CUSPARSE_STATUS_NOT_SUPPORTED"
                                 : "CUSPARSE_STATUS_OTHER";
}

EXPORT int cusparseLtDenseDescriptorInit(
    const void* handle, void* matrix, std::int64_t rows, std::int64_t columns,
    std::int64_t leading, std::uint32_t alignment, int type, int order) {
  return Describe("cusparseLtDenseDescriptorInit", handle, matrix,
                  {rows, columns, leading, type, order, false}, alignment);
}
EXPORT int cusparseLtStructuredDescriptorInit(const void* handle, void* matrix,
                                              std::int64_t rows,
                                              std::int64_t columns,
                                              std::int64_t leading,
                                              std::uint32_t alignment, int type,
                                              int order, int sparsity) {
  if (sparsity != 0) return kInvalid;
  return Describe("cusparseLtStructuredDescriptorInit", handle, matrix,
                  {rows, columns, leading, type, order, true}, alignment);
}
EXPORT int cusparseLtMatDescriptorDestroy(const void* matrix) {
  return Remove<Matrix>(matrix);
}

// Nothing destroys one, so it does not count as alive.
EXPORT int cusparseLtMatmulDescriptorInit(const void* handle, void* product,
                                          int op_a, int op_b, const void* a,
                                          const void* b, const void* c,
                                          const void* d, int compute_type) {
  const Matrix* const w = Get<Matrix>(a);
  const Matrix* const x = Get<Matrix>(b);
  const Matrix* const y = Get<Matrix>(d);
  if (Get<Handle>(handle) == nullptr || w == nullptr || x == nullptr ||
      y == nullptr || c != d || compute_type != 2 || op_a != 0 ||
      !w->is_sparse || x->is_sparse || y->is_sparse || w->type != x->type ||
      w->type != y->type || w->rows != y->rows) {
    return kInvalid;
  }
  if ((op_b ? x->columns : x->rows) != w->columns ||
      (op_b ? x->rows : x->columns) != y->columns) {
    return kInvalid;
  }
  const int status = Put("cusparseLtMatmulDescriptorInit", product,
                         Product{op_a, op_b, a, b, c, d, nullptr, 0});
  if (status == 0) --fake::Alive();
  return status;
}
EXPORT int cusparseLtMatmulDescSetAttribute(const void* handle, void* object,
                                            int attribute, const void* value,
                                            std::size_t size) {
  Product* const product = Get<Product>(object);
  if (Get<Handle>(handle) == nullptr || product == nullptr) return kInvalid;
  if (attribute == 8 && size == sizeof(product->bias)) {
    std::memcpy(&product->bias, value, size);
  } else if (attribute == 0 && size == sizeof(product->has_relu)) {
    std::memcpy(&product->has_relu, value, size);
  } else {
    return kInvalid;
  }
  return StatusOf("cusparseLtMatmulDescSetAttribute");
}

EXPORT int cusparseLtMatmulAlgSelectionInit(const void* handle, void* algorithm,
                                            const void* product, int which) {
  if (Get<Handle>(handle) == nullptr || Get<Product>(product) == nullptr ||
      which != 0) {
    return kInvalid;
  }
  return Put("cusparseLtMatmulAlgSelectionInit", algorithm, Algorithm{product});
}
EXPORT int cusparseLtMatmulAlgSelectionDestroy(const void* algorithm) {
  return Remove<Algorithm>(algorithm);
}

EXPORT int cusparseLtMatmulPlanInit(const void* handle, void* plan,
                                    const void* product,
                                    const void* algorithm) {
  const Algorithm* const selected = Get<Algorithm>(algorithm);
  if (Get<Handle>(handle) == nullptr || selected == nullptr ||
      selected->product != product) {
    return kInvalid;
  }
  return Put("cusparseLtMatmulPlanInit", plan, Plan{product, algorithm, 0});
}
EXPORT int cusparseLtMatmulPlanDestroy(const void* plan) {
  return Remove<Plan>(plan);
}
EXPORT int cusparseLtMatmulGetWorkspace(const void* handle, const void* plan,
                                        std::size_t* size) {
  if (Get<Handle>(handle) == nullptr || Get<Plan>(plan) == nullptr) {
    return kInvalid;
  }
  *size = WorkspaceOf(*Get<Plan>(plan));
  return StatusOf("cusparseLtMatmulGetWorkspace");
}

EXPORT int cusparseLtSpMMACompressedSize2(const void* handle,
                                          const void* object, std::size_t* size,
                                          std::size_t* buffer_size) {
  const Matrix* const matrix = Get<Matrix>(object);
  if (Get<Handle>(handle) == nullptr || matrix == nullptr) return kInvalid;
  *size = kFront + 2 * static_cast<std::size_t>(matrix->rows * matrix->columns);
  *buffer_size = kBuffer;
  return StatusOf("cusparseLtSpMMACompressedSize2");
}
EXPORT int cusparseLtSpMMACompress2(const void* handle, const void* object,
                                    int is_a, int operation, const void* dense,
                                    void* compressed, void* buffer,
                                    void* /*stream*/) {
  const Matrix* const matrix = Get<Matrix>(object);
  if (Get<Handle>(handle) == nullptr || matrix == nullptr || is_a != 1 ||
      operation != 0 || !IsTwoOfFour(*matrix, dense)) {
    return kInvalid;
  }
  std::memcpy(compressed, &kMark, sizeof(kMark));
  std::memcpy(static_cast<unsigned char*>(compressed) + kFront, dense,
              2 * static_cast<std::size_t>(matrix->rows * matrix->columns));
  std::memset(buffer, 0xA5, kBuffer);
  return StatusOf("cusparseLtSpMMACompress2");
}

EXPORT int cusparseLtMatmulSearch(const void* handle, void* plan,
                                  const float* alpha, const void* a,
                                  const void* b, const float* beta,
                                  const void* c, void* d, void* workspace,
                                  void** /*streams*/, std::int32_t count) {
  Work work{};
  const int status =
      WorkOf(handle, plan, alpha, a, b, beta, c, d, workspace, count, &work);
  if (status != 0) return status;
  work.Do();
  // What a search leaves is nobody's result.
  for (std::int64_t i = 0; i < work.d_matrix.rows * work.d_matrix.columns;
       ++i) {
    static_cast<std::uint16_t*>(d)[i] = 0x7FFF;
  }
  Get<Plan>(plan)->searched = 1;
  return StatusOf("cusparseLtMatmulSearch");
}
EXPORT int cusparseLtMatmul(const void* handle, const void* plan,
                            const float* alpha, const void* a, const void* b,
                            const float* beta, const void* c, void* d,
                            void* workspace, void** streams,
                            std::int32_t count) {
  Work work{};
  int status =
      WorkOf(handle, plan, alpha, a, b, beta, c, d, workspace, count, &work);
  if (status == 0) status = StatusOf("cusparseLtMatmul");
  if (status == 0) fake::Start(streams[0], [work] { work.Do(); });
  return status;
}

// For the test.
EXPORT void FakeReset(int version) {
  fake::TheRecord() = {};
  Version() = version;
}
