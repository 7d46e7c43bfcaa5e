// How a schedule runs its tasks: on ONNX Runtime's pool, or one by one.

#ifndef SPA_SUPPORT_PARALLEL_H_
#define SPA_SUPPORT_PARALLEL_H_

#include <cstddef>

namespace spa {

class Parallel {
 public:
  using Task = void (*)(void* user, std::size_t index);

  virtual ~Parallel() = default;

  // Calls task(user, i) once for every i < count, in any order, on any thread,
  // and returns when all calls have returned. The task must not throw.
  virtual void Run(std::size_t count, Task task, void* user) const = 0;
};

class Serial final : public Parallel {
 public:
  void Run(std::size_t count, Task task, void* user) const override {
    for (std::size_t i = 0; i < count; ++i) task(user, i);
  }
};

}  // namespace spa

#endif  // SPA_SUPPORT_PARALLEL_H_
