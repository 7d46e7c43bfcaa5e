// What tests put in the place of cuBLASLt: the functions that we call, on the
// memory of the CPU, as their documentation says and without our declarations.
// It remembers the last product.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <thread>

#include "fake.h"

namespace {

using fake::Load;
using fake::StatusOf;
using fake::Store;

constexpr int kInvalid = 7;

struct Layout {
  int type;
  std::uint64_t rows, columns;
  std::int64_t leading;
};
struct Operation {
  int compute, scale;
  std::int32_t transposes[2];  // A, B
};
struct Algorithm {
  std::uint64_t data[8];
};
struct Proposal {
  Algorithm algorithm;
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
struct Last {
  const void* a;
  const void* b;
  void* d;
  std::uint64_t rows, columns, inner;  // of D; of op(A)
  std::uint64_t workspace;
};

struct Fake {
  int proposals = 3;
  int fastest = 1;
  std::uint64_t limit = 0;            // of the workspace
  std::map<std::uint64_t, int> done;  // multiplications by an algorithm
  Last last{};
};

Fake& Now() {
  static Fake fake;
  return fake;
}

template <class T>
int Make(const char* function, T** out, T made) {
  const int status = StatusOf(function);
  if (status != 0) return status;
  *out = new T(made);
  ++fake::Alive();
  return 0;
}

template <class T>
int Remove(T* made) {
  delete made;
  --fake::Alive();
  return 0;
}

// Element (i, j) of a matrix that may be transposed first.
std::uint64_t At(const Layout& layout, bool transposed, std::uint64_t i,
                 std::uint64_t j) {
  const auto leading = static_cast<std::uint64_t>(layout.leading);
  return transposed ? i * leading + j : j * leading + i;
}

struct Work {
  Operation operation;
  float alpha, beta;
  Layout a_layout, b_layout, d_layout;
  const void* a;
  const void* b;
  void* d;
  std::uint64_t algorithm;

  std::uint64_t inner() const {
    return operation.transposes[0] ? a_layout.rows : a_layout.columns;
  }

  bool HasTypes() const {
    return operation.compute == 68 && operation.scale == 0 &&
           (a_layout.type == 2 || a_layout.type == 14) &&
           a_layout.type == b_layout.type && a_layout.type == d_layout.type;
  }

  bool HasShapes() const {
    const bool ta = operation.transposes[0] != 0;
    const bool tb = operation.transposes[1] != 0;
    return (ta ? a_layout.columns : a_layout.rows) == d_layout.rows &&
           (tb ? b_layout.columns : b_layout.rows) == inner() &&
           (tb ? b_layout.rows : b_layout.columns) == d_layout.columns;
  }

  void Do() const {
    for (std::uint64_t j = 0; j < d_layout.columns; ++j) {
      for (std::uint64_t i = 0; i < d_layout.rows; ++i) {
        float sum = 0;
        for (std::uint64_t k = 0; k < inner(); ++k) {
          sum += Load(a_layout.type, a,
                      At(a_layout, operation.transposes[0] == 1, i, k)) *
                 Load(b_layout.type, b,
                      At(b_layout, operation.transposes[1] == 1, k, j));
        }
        const std::uint64_t at = At(d_layout, false, i, j);
        const float before = beta != 0 ? beta * Load(d_layout.type, d, at) : 0;
        Store(d_layout.type, d, at, alpha * sum + before);
      }
    }
    const int late = static_cast<int>(algorithm) - Now().fastest;
    std::this_thread::sleep_for(
        std::chrono::milliseconds(late < 0 ? -late : late));
    ++Now().done[algorithm];
  }
};

bool AreSame(const Layout& one, const Layout& other) {
  return std::memcmp(&one, &other, sizeof(one)) == 0;
}

}  // namespace

EXPORT int cublasLtCreate(int** out) { return Make("cublasLtCreate", out, 0); }
EXPORT int cublasLtDestroy(int* made) { return Remove(made); }
EXPORT const char* cublasLtGetStatusName(int status) {
  return status == 15 ? "CUBLAS_STATUS_NOT_SUPPORTED" : "CUBLAS_STATUS_OTHER";
}

EXPORT int cublasLtMatmulDescCreate(Operation** out, int compute, int scale) {
  return Make("cublasLtMatmulDescCreate", out,
              Operation{compute, scale, {0, 0}});
}
EXPORT int cublasLtMatmulDescDestroy(Operation* made) { return Remove(made); }
EXPORT int cublasLtMatmulDescSetAttribute(Operation* made, int attribute,
                                          const void* value, std::size_t size) {
  if (size != sizeof(std::int32_t) || (attribute != 3 && attribute != 4)) {
    return kInvalid;
  }
  std::memcpy(&made->transposes[attribute - 3], value, size);
  return StatusOf("cublasLtMatmulDescSetAttribute");
}

EXPORT int cublasLtMatrixLayoutCreate(Layout** out, int type,
                                      std::uint64_t rows, std::uint64_t columns,
                                      std::int64_t leading) {
  if (leading < static_cast<std::int64_t>(rows)) return kInvalid;
  Layout layout;
  std::memset(&layout, 0, sizeof(layout));
  layout.type = type;
  layout.rows = rows;
  layout.columns = columns;
  layout.leading = leading;
  return Make("cublasLtMatrixLayoutCreate", out, layout);
}
EXPORT int cublasLtMatrixLayoutDestroy(Layout* made) { return Remove(made); }

EXPORT int cublasLtMatmulPreferenceCreate(int** out) {
  return Make("cublasLtMatmulPreferenceCreate", out, 0);
}
EXPORT int cublasLtMatmulPreferenceDestroy(int* made) { return Remove(made); }
EXPORT int cublasLtMatmulPreferenceSetAttribute(int*, int attribute,
                                                const void* value,
                                                std::size_t size) {
  if (attribute != 1 || size != sizeof(Now().limit)) return kInvalid;
  std::memcpy(&Now().limit, value, size);
  return StatusOf("cublasLtMatmulPreferenceSetAttribute");
}

EXPORT int cublasLtMatmulAlgoGetHeuristic(int*, Operation*, Layout*, Layout*,
                                          Layout*, Layout*, int*, int wanted,
                                          Proposal* proposals, int* found) {
  *found = std::min(wanted, Now().proposals);
  for (int i = 0; i < *found; ++i) {
    proposals[i] = {};
    proposals[i].algorithm.data[0] = static_cast<std::uint64_t>(i);
    proposals[i].workspace = Now().limit;
    proposals[i].state = i == 0 ? StatusOf("first proposal") : 0;
  }
  return StatusOf("cublasLtMatmulAlgoGetHeuristic");
}

EXPORT int cublasLtMatmul(int*, Operation* operation, const float* alpha,
                          const void* a, Layout* a_layout, const void* b,
                          Layout* b_layout, const float* beta, const void* c,
                          Layout* c_layout, void* d, Layout* d_layout,
                          const Algorithm* algorithm, void* workspace,
                          std::size_t workspace_size, void* stream) {
  const Work work{*operation, *alpha, *beta, *a_layout, *b_layout,
                  *d_layout,  a,      b,     d,         algorithm->data[0]};
  const bool is_first = work.algorithm == 0;
  const int status = StatusOf(is_first ? "first algorithm" : "cublasLtMatmul");
  if (status != 0) return status;
  if (!work.HasTypes() || !work.HasShapes() || c != d ||
      !AreSame(*c_layout, *d_layout) || workspace == nullptr ||
      workspace_size < Now().limit || stream == nullptr) {
    return kInvalid;
  }
  Now().last = {
      a, b, d, d_layout->rows, d_layout->columns, work.inner(), workspace_size};
  fake::Start(stream, [work] { work.Do(); });
  return 0;
}

// For the test.
EXPORT void FakeReset(int proposals, int fastest) {
  fake::TheRecord() = {};
  Now() = {};
  Now().proposals = proposals;
  Now().fastest = fastest;
}
EXPORT int FakeDone(int algorithm) {
  return Now().done[static_cast<std::uint64_t>(algorithm)];
}
EXPORT void FakeLast(Last* out) { *out = Now().last; }
