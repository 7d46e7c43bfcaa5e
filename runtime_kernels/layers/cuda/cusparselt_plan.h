// How cuSPARSELt multiplies by one weight for one number of tokens.

#ifndef SPA_LAYERS_CUDA_CUSPARSELT_PLAN_H_
#define SPA_LAYERS_CUDA_CUSPARSELT_PLAN_H_

#include <cstdint>
#include <optional>

#include "layers/cuda/memory.h"
#include "layers/cuda/tensors.h"
#include "libraries/cusparselt.h"

namespace spa::cuda {

// What a plan is made for.
struct CusparseltSizes {
  ValueType type;
  std::uint64_t rows;
  std::uint64_t columns;
  std::uint64_t tokens;
};

class CusparseltPlan {
 public:
  // Y = X W^T + bias + residual, with negative numbers as 0 if `has_relu`.
  // `bias` is the one of all runs, or null; `weight` is the library's
  // description of W, which must outlive the plan. Throws gpu::Failure, as all
  // functions do.
  CusparseltPlan(const cusparselt::Session& session,
                 const cusparselt::Object* weight, const CusparseltSizes& sizes,
                 const void* bias, bool has_relu);

  // Times the library's algorithms with these tensors on a stream, for which it
  // waits, and keeps the fastest. Y is not written. To be called once, before
  // the first run.
  void Search(const void* compressed, const Tensors& tensors,
              const Memory& memory, gpu::Stream stream);

  // Starts a run on a stream, one at a time.
  void Start(const void* compressed, const Tensors& tensors,
             gpu::Stream stream) const;

 private:
  std::size_t WorkspaceSize() const;

  const cusparselt::Session& session_;
  const CusparseltSizes sizes_;
  const cusparselt::Owned x_;
  const cusparselt::Owned y_;
  cusparselt::Owned product_;
  const cusparselt::Owned algorithm_;
  cusparselt::Owned plan_;
  std::optional<DeviceBytes> workspace_;  // after the search
};

}  // namespace spa::cuda

#endif  // SPA_LAYERS_CUDA_CUSPARSELT_PLAN_H_
