// Working memory that stays with the thread that used it last.

#ifndef SPA_SUPPORT_THREAD_CACHE_H_
#define SPA_SUPPORT_THREAD_CACHE_H_

#include <cstddef>

#include "support/buffer.h"

namespace spa {

// Hands out blocks that this thread gave back before, so that their lines are
// in its own cache: those of another core's would have to travel, which takes
// longer than a small layer. Large blocks are in no such cache and come from
// `other`. A thread keeps 4 MiB at most, until it ends.
class ThreadCache final : public Memory {
 public:
  explicit ThreadCache(const Memory& other) : other_(other) {}

  void* Allocate(std::size_t bytes) const override;
  void Free(void* bytes) const noexcept override;

 private:
  const Memory& other_;
};

}  // namespace spa

#endif  // SPA_SUPPORT_THREAD_CACHE_H_
