// The lines of kernels.inc for one type and layout.

#ifndef SPA_KERNELS_FRAGMENTS_GEMM_INSTANCES_H_
#define SPA_KERNELS_FRAGMENTS_GEMM_INSTANCES_H_

#include <type_traits>
#include <vector>

#include "kernels/cuda_kernels.h"
#include "kernels/fragments_gemm/fragments_gemm.h"
#include "simt/simt.h"

namespace spa::cuda {

template <class Body, class Slabs, class T, bool kPlanes>
CudaKernel GemmOf(const char* name) {
  constexpr bool kSparse = std::is_same_v<Slabs, SparseSlabs>;
  return {name,
          kSparse ? Kind::kTwoOfFour : Kind::kTiles,
          std::is_same_v<T, simt::Float16> ? ValueType::kFloat16
                                           : ValueType::kBfloat16,
          kPlanes ? Layout::kPlanes : Layout::kTokens,
          kSparse ? 0 : 16 * Slabs::kRowTiles,
          Body::kRows,
          Body::kPositions,
          Body::kThreads,
          Body::kBlocks,
          simt::FunctionOf<Body>(),
          &Body::SharedBytes,
          true};
}

template <class T, bool kPlanes>
std::vector<CudaKernel> GemmKernels() {
  return {
#define SPA_GEMM(name, slabs, warps, tiles)                                  \
  GemmOf<FragmentsGemm<T, slabs, kPlanes, warps, tiles>, slabs, T, kPlanes>( \
      #name),
#include "kernels/fragments_gemm/kernels.inc"
#undef SPA_GEMM
  };
}

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FRAGMENTS_GEMM_INSTANCES_H_
