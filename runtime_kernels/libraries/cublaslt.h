// cuBLASLt, NVIDIA's dense products, as far as they are compared with: loaded
// if it is there, declared here so that nothing is needed to build.
// Source of names, numbers and signatures: cuBLASLt 12.9 and 13.

#ifndef SPA_LIBRARIES_CUBLASLT_H_
#define SPA_LIBRARIES_CUBLASLT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/packed/packed.h"
#include "libraries/shared_library.h"
#include "simt/device.h"

namespace spa::cublaslt {

// Opaque to us.
struct Context;
struct Operation;
struct Layout;
struct Preference;
struct Algorithm {
  std::uint64_t data[8];
};

// An algorithm that the library proposes.
struct Proposal {
  Algorithm algorithm;
  std::size_t workspace;  // bytes
  int status;             // 0 if the rest is valid
  float waves;
  int reserved[4];
};

struct Functions {
  int (*create)(Context**);
  int (*destroy)(Context*);
  const char* (*status_name)(int status);  // may be null
  int (*create_operation)(Operation**, int compute_type, int scale_type);
  int (*destroy_operation)(Operation*);
  int (*set_operation)(Operation*, int attribute, const void* value,
                       std::size_t size);
  int (*create_layout)(Layout**, int type, std::uint64_t rows,
                       std::uint64_t columns, std::int64_t leading);
  int (*destroy_layout)(Layout*);
  int (*create_preference)(Preference**);
  int (*destroy_preference)(Preference*);
  int (*set_preference)(Preference*, int attribute, const void* value,
                        std::size_t size);
  int (*propose)(Context*, Operation*, Layout* a, Layout* b, Layout* c,
                 Layout* d, Preference*, int wanted, Proposal*, int* found);
  int (*multiply)(Context*, Operation*, const void* alpha, const void* a,
                  Layout*, const void* b, Layout*, const void* beta,
                  const void* c, Layout*, void* d, Layout*, const Algorithm*,
                  void* workspace, std::size_t workspace_size, void* stream);
};

// Throws gpu::Failure if it is not there.
class Library {
 public:
  Library();

  bool is_chosen() const { return library_.is_chosen(); }
  const Functions& call() const { return functions_; }

  // Throws gpu::Failure with the status of what was tried, unless it is 0.
  void Check(int status, const char* what) const;

 private:
  const SharedLibrary library_;
  Functions functions_;
};

// Y(tokens, rows) = X(tokens, columns) W(rows, columns)^T with sums in float.
struct Sizes {
  ValueType type;  // float16 or bfloat16
  std::uint64_t rows;
  std::uint64_t columns;
  std::uint64_t tokens;
};

struct Matrices {
  const void* x;
  const void* w;
  void* y;
};

class Product {
 public:
  // `workspace_size` bytes of the device may be used while one is under way.
  // All functions throw gpu::Failure.
  Product(const Library& library, const Sizes& sizes, void* workspace,
          std::size_t workspace_size);

  // At least one; the library thinks that the first is the fastest.
  std::vector<Algorithm> Propose(int most) const;

  void Start(const Algorithm& algorithm, const Matrices& matrices,
             gpu::Stream stream) const;

 private:
  template <class T>
  using Owned = std::unique_ptr<T, int (*)(T*)>;

  Owned<Layout> ColumnMajor(const Sizes& sizes, std::uint64_t rows,
                            std::uint64_t columns) const;
  Owned<Preference> WithinWorkspace() const;

  const Library& library_;
  void* const workspace_;
  const std::size_t workspace_size_;
  const Owned<Context> context_;
  const Owned<Operation> operation_;
  const Owned<Layout> w_, x_, y_;
};

}  // namespace spa::cublaslt

#endif  // SPA_LIBRARIES_CUBLASLT_H_
