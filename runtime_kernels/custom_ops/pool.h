// The threads of the session that runs an op.

#ifndef SPA_CUSTOM_OPS_POOL_H_
#define SPA_CUSTOM_OPS_POOL_H_

#include "abi/failure.h"
#include "abi/ort_api.h"
#include "support/parallel.h"

namespace spa {

class SessionPool final : public Parallel {
 public:
  SessionPool(const OrtApi& api, const OrtKernelContext* context)
      : api_(api), context_(context) {}

  void Run(std::size_t count, Task task, void* user) const override {
    if (count == 1) {
      task(user, 0);
      return;
    }
    constexpr std::size_t kOneTaskAtATime = 0;
    Check(api_.KernelContext_ParallelFor(context_, task, count, kOneTaskAtATime,
                                         user));
  }

 private:
  const OrtApi& api_;
  const OrtKernelContext* context_;
};

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_POOL_H_
