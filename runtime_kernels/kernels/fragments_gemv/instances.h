// The lines of both kernels.inc for few tokens, for one type.

#ifndef SPA_KERNELS_FRAGMENTS_GEMV_INSTANCES_H_
#define SPA_KERNELS_FRAGMENTS_GEMV_INSTANCES_H_

#include <type_traits>
#include <vector>

#include "kernels/cuda_kernels.h"
#include "kernels/fragments_gemv/fragments_gemv.h"
#include "kernels/masks_gemv/masks_gemv.h"
#include "simt/simt.h"

namespace spa::cuda {

template <class Body, class T>
CudaKernel GemvOf(const char* name, Kind kind) {
  return {name,
          kind,
          std::is_same_v<T, simt::Float16> ? ValueType::kFloat16
                                           : ValueType::kBfloat16,
          Layout::kTokens,
          0,
          Body::kRows,
          Body::kTokens,
          Body::kThreads,
          Body::kBlocks,
          simt::FunctionOf<Body>(),
          [](unsigned) -> std::size_t { return Body::kSharedBytes; },
          false};
}

template <class T>
std::vector<CudaKernel> GemvKernels() {
  return {
#define SPA_GEMV(name, kind, rows, tiles) \
  GemvOf<FragmentsGemv<T, rows, tiles>, T>(#name, Kind::kind),
#include "kernels/fragments_gemv/kernels.inc"
#undef SPA_GEMV
#define SPA_MASKS(name, tokens) \
  GemvOf<MasksGemv<T, tokens>, T>(#name, Kind::kBitmask),
#include "kernels/masks_gemv/kernels.inc"
#undef SPA_MASKS
  };
}

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FRAGMENTS_GEMV_INSTANCES_H_
