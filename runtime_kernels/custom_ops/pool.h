// Threads and memory of the session that runs an op.

#ifndef SPA_CUSTOM_OPS_POOL_H_
#define SPA_CUSTOM_OPS_POOL_H_

#include <new>

#include "abi/failure.h"
#include "abi/ort_api.h"
#include "kernels/packed/packed.h"
#include "support/parallel.h"
#include "support/thread_cache.h"

namespace spa {

// What the session's arena hands out, and keeps when it is given back.
class SessionMemory final : public Memory {
 public:
  SessionMemory(const OrtApi& api, const OrtKernelContext* context)
      : api_(api) {
    OrtMemoryInfo* info = nullptr;
    Check(api.CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &info));
    OrtStatus* status =
        api.KernelContext_GetAllocator(context, info, &allocator_);
    api.ReleaseMemoryInfo(info);
    Check(status);
  }
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;
  // What the context hands out is a handle that keeps the arena alive.
  ~SessionMemory() override { api_.ReleaseAllocator(allocator_); }

  void* Allocate(std::size_t bytes) const override {
    void* found = nullptr;
    OrtStatus* status = api_.AllocatorAlloc(allocator_, bytes, &found);
    if (status == nullptr) return found;
    // Several tasks may fail, of which one is told; a status would have to be
    // released by somebody.
    api_.ReleaseStatus(status);
    throw std::bad_alloc();
  }

  void Free(void* bytes) const noexcept override {
    OrtStatus* status = api_.AllocatorFree(allocator_, bytes);
    if (status != nullptr) api_.ReleaseStatus(status);
  }

 private:
  const OrtApi& api_;
  OrtAllocator* allocator_ = nullptr;
};

// Whether a layer takes long enough for several threads: to start a task on
// another one and to fetch what that wrote takes some 5 us.
inline bool PaysForThreads(const Packed& weight, std::size_t positions) {
  constexpr double kFewestProducts = 200'000;
  // A core reads a weight in the time of some 12 products.
  constexpr double kReading = 12;
  return static_cast<double>(StoredValues(weight)) *
             (static_cast<double>(positions) + kReading) >=
         kFewestProducts;
}

class SessionPool final : public Parallel {
 public:
  SessionPool(const OrtApi& api, const OrtKernelContext* context,
              std::size_t threads)
      : api_(api),
        context_(context),
        threads_(threads),
        session_(api, context),
        memory_(session_) {}

  void Run(std::size_t count, Task task, void* user) const override {
    if (count == 1 || threads_ == 1) {
      for (std::size_t i = 0; i < count; ++i) task(user, i);
      return;
    }
    constexpr std::size_t kOneTaskAtATime = 0;
    Check(api_.KernelContext_ParallelFor(context_, task, count, kOneTaskAtATime,
                                         user));
  }

  std::size_t threads() const override { return threads_; }
  const Memory& memory() const override { return memory_; }

 private:
  const OrtApi& api_;
  const OrtKernelContext* context_;
  const std::size_t threads_;
  const SessionMemory session_;
  const ThreadCache memory_;
};

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_POOL_H_
