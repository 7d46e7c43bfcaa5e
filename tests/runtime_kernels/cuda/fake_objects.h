// What the cuSPARSELt of tests keeps in memory that callers have for it.
// Objects are as large as they ever were, know where they lie, and point to
// each other, as those of the library may.

#ifndef SPA_TESTS_RUNTIME_KERNELS_CUDA_FAKE_OBJECTS_H_
#define SPA_TESTS_RUNTIME_KERNELS_CUDA_FAKE_OBJECTS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "fake.h"

namespace fake {

constexpr int kInvalid = 3;
constexpr std::size_t kObject = 13072;  // bytes, of version 0.6

struct Handle {
  static constexpr std::uint64_t kKind = 1;
};
struct Matrix {
  static constexpr std::uint64_t kKind = 2;
  std::int64_t rows, columns, leading;
  int type, order;
  bool is_sparse;

  std::size_t At(std::int64_t i, std::int64_t j) const {
    return static_cast<std::size_t>(order == 1 ? j * leading + i
                                               : i * leading + j);
  }
};
struct Product {
  static constexpr std::uint64_t kKind = 3;
  int transposes_a, transposes_b;
  const void *a, *b, *c, *d;  // objects
  const void* bias;
  int has_relu;
};
struct Algorithm {
  static constexpr std::uint64_t kKind = 4;
  const void* product;
};
struct Plan {
  static constexpr std::uint64_t kKind = 5;
  const void* product;
  const void* algorithm;
  int searched;
};

// How an object lies in the memory that the caller has for it.
template <class T>
struct Stored {
  std::uint64_t kind;
  const void* place;
  T content;
};

template <class T>
inline T* Get(const void* object) {
  auto* stored = static_cast<Stored<T>*>(const_cast<void*>(object));
  const bool is_sound =
      stored != nullptr && stored->kind == T::kKind && stored->place == object;
  return is_sound ? &stored->content : nullptr;
}

template <class T>
inline int Put(const char* function, void* object, const T& content) {
  const int status = StatusOf(function);
  if (status != 0) return status;
  std::memset(object, 0x5A, kObject);
  const Stored<T> stored{T::kKind, object, content};
  std::memcpy(object, &stored, sizeof(stored));
  ++fake::Alive();
  return 0;
}

template <class T>
inline int Remove(const void* object) {
  if (Get<T>(object) == nullptr) return kInvalid;
  std::memset(const_cast<void*>(object), 0, kObject);
  --fake::Alive();
  return 0;
}

}  // namespace fake

#endif  // SPA_TESTS_RUNTIME_KERNELS_CUDA_FAKE_OBJECTS_H_
