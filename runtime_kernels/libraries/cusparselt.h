// cuSPARSELt, NVIDIA's products with 2:4 weights: loaded if it is there,
// declared here so that nothing is needed to build.
// Source of names, numbers and signatures: cuSPARSELt 0.6.2 to 0.10.

#ifndef SPA_LIBRARIES_CUSPARSELT_H_
#define SPA_LIBRARIES_CUSPARSELT_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/packed/packed.h"
#include "libraries/shared_library.h"
#include "simt/device.h"

namespace spa::cusparselt {

// Where the library keeps a handle, a description or a plan. None may be moved.
// It wants 13072 bytes in version 0.6 and less in later ones.
struct alignas(16) Object {
  unsigned char bytes[16 << 10];
};

enum class Order : int { kColumns = 1, kRows = 2 };  // that lie in a piece

struct Functions {
  int (*begin)(Object* handle);
  int (*end)(const Object* handle);
  int (*version)(const Object* handle, int* version);
  const char* (*status_name)(int status);  // null before 0.7
  int (*describe_dense)(const Object* handle, Object* matrix, std::int64_t rows,
                        std::int64_t columns, std::int64_t leading,
                        std::uint32_t alignment, int type, int order);
  int (*describe_sparse)(const Object* handle, Object* matrix,
                         std::int64_t rows, std::int64_t columns,
                         std::int64_t leading, std::uint32_t alignment,
                         int type, int order, int sparsity);
  int (*forget_matrix)(const Object* matrix);
  int (*describe_product)(const Object* handle, Object* product, int a, int b,
                          const Object* matrix_a, const Object* matrix_b,
                          const Object* matrix_c, const Object* matrix_d,
                          int compute_type);
  int (*set_product)(const Object* handle, Object* product, int attribute,
                     const void* value, std::size_t size);
  int (*select)(const Object* handle, Object* algorithm, const Object* product,
                int which);
  int (*forget_algorithm)(const Object* algorithm);  // null before 0.8
  int (*plan)(const Object* handle, Object* plan, const Object* product,
              const Object* algorithm);
  int (*forget_plan)(const Object* plan);
  int (*workspace)(const Object* handle, const Object* plan, std::size_t* size);
  int (*compressed_size)(const Object* handle, const Object* matrix,
                         std::size_t* size, std::size_t* buffer_size);
  int (*compress)(const Object* handle, const Object* matrix, int is_a,
                  int operation, const void* dense, void* compressed,
                  void* buffer, void* stream);
  int (*search)(const Object* handle, Object* plan, const void* alpha,
                const void* a, const void* b, const void* beta, const void* c,
                void* d, void* workspace, void** streams, std::int32_t count);
  int (*multiply)(const Object* handle, const Object* plan, const void* alpha,
                  const void* a, const void* b, const void* beta, const void* c,
                  void* d, void* workspace, void** streams, std::int32_t count);
};

class Library {
 public:
  // Throws gpu::Failure if it is not there.
  Library();

  bool is_chosen() const { return library_.is_chosen(); }
  const Functions& call() const { return functions_; }

  // Throws gpu::Failure with the status of what was tried, unless it is 0.
  void Check(int status, const char* what) const;

 private:
  const SharedLibrary library_;
  Functions functions_;
};

// An object of the library's, forgotten by it at the end.
class Owned {
 public:
  // `make` fills it, or throws. `forget` may be null.
  template <class Make>
  Owned(int (*forget)(const Object*), const Make& make)
      : object_(std::make_unique<Object>()), forget_(forget) {
    make(object_.get());
  }
  Owned(Owned&& other) noexcept = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (object_ != nullptr && forget_ != nullptr) forget_(object_.get());
  }

  const Object* get() const { return object_.get(); }
  Object* get() { return object_.get(); }

 private:
  std::unique_ptr<Object> object_;
  int (*forget_)(const Object*);
};

// The library on the device that is the calling thread's. Objects that it makes
// must go before it does. All throw gpu::Failure.
class Session {
 public:
  // The version must be one whose numbers are the ones below.
  explicit Session(const Library& library);

  const Library& library() const { return library_; }
  const Object* handle() const { return handle_.get(); }

  // Numbers in 16-byte aligned memory.
  Owned Dense(ValueType type, std::uint64_t rows, std::uint64_t columns,
              Order order) const;

  // A 2:4 matrix that lies row after row.
  Owned TwoOfFour(ValueType type, std::uint64_t rows,
                  std::uint64_t columns) const;

 private:
  const Library& library_;
  const Owned handle_;
};

}  // namespace spa::cusparselt

#endif  // SPA_LIBRARIES_CUSPARSELT_H_
