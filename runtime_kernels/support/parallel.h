// Who runs a layer: its threads and its memory.

#ifndef SPA_SUPPORT_PARALLEL_H_
#define SPA_SUPPORT_PARALLEL_H_

#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>

#include "support/buffer.h"

namespace spa {

class Parallel {
 public:
  using Task = void (*)(void* user, std::size_t index);

  virtual ~Parallel() = default;

  // Calls task(user, i) once for every i < count, in any order, on any thread,
  // and returns when all calls have returned. The task must not throw.
  virtual void Run(std::size_t count, Task task, void* user) const = 0;

  // Threads that Run may use, as far as is known; at least 1.
  virtual std::size_t threads() const = 0;

  virtual const Memory& memory() const = 0;
};

class Serial final : public Parallel {
 public:
  void Run(std::size_t count, Task task, void* user) const override {
    for (std::size_t i = 0; i < count; ++i) task(user, i);
  }
  std::size_t threads() const override { return 1; }
  const Memory& memory() const override { return heap_; }

 private:
  const Heap heap_;
};

// body(i) for every i < count. Throws what the first body that failed threw.
template <typename Body>
void ForEach(const Parallel& parallel, std::size_t count, const Body& body) {
  struct Work {
    const Body& body;
    std::mutex guard;
    std::exception_ptr failure;
  } work{body, {}, nullptr};
  if (count == 0) return;
  parallel.Run(
      count,
      [](void* user, std::size_t index) {
        Work& work = *static_cast<Work*>(user);
        try {
          work.body(index);
        } catch (...) {
          const std::lock_guard<std::mutex> lock(work.guard);
          if (work.failure == nullptr) work.failure = std::current_exception();
        }
      },
      &work);
  if (work.failure != nullptr) std::rethrow_exception(work.failure);
}

// body(state, i) for every i < count, where each thread that takes part makes
// itself a state before its first i. What one thread writes into a state never
// has to travel into the cache of another.
template <typename Make, typename Body>
void ForEachWith(const Parallel& parallel, std::size_t count, const Make& make,
                 const Body& body) {
  std::atomic<std::size_t> next{0};
  const std::size_t threads = parallel.threads();
  ForEach(parallel, count < threads ? count : threads, [&](std::size_t) {
    std::size_t i = next.fetch_add(1);
    if (i >= count) return;
    const auto state = make();
    for (; i < count; i = next.fetch_add(1)) body(state, i);
  });
}

// `length` things in `parts` ranges that differ by at most one.
struct Split {
  std::size_t length;
  std::size_t parts;

  std::size_t Begin(std::size_t part) const {
    return part * (length / parts) +
           (part < length % parts ? part : length % parts);
  }
  std::size_t End(std::size_t part) const { return Begin(part + 1); }
  std::size_t Size(std::size_t part) const { return End(part) - Begin(part); }
  std::size_t Largest() const { return (length + parts - 1) / parts; }
};

// The fewest even parts of at most `most`.
inline Split SplitByMost(std::size_t length, std::size_t most) {
  const std::size_t parts = (length + most - 1) / most;
  return {length, parts == 0 ? 1 : parts};
}

}  // namespace spa

#endif  // SPA_SUPPORT_PARALLEL_H_
