// depthwise where the input lies: no padded copy is made, masks keep out what
// lies beside the image. For AVX-512, whose masked loads cost no more than
// others and touch nothing that is masked. Everything is `static`; see
// support/vectors.h.

#ifndef SPA_KERNELS_DEPTHWISE_DIRECT_AVX512_H_
#define SPA_KERNELS_DEPTHWISE_DIRECT_AVX512_H_

#include "kernels/depthwise/direct_stride1_avx512.h"
#include "kernels/depthwise/direct_stride2_avx512.h"

namespace spa {

static std::size_t CountDirectMasks(const DirectShape& shape) {
  const Axis& h = shape.horizontal;
  if (h.stride != 1) return 2 * StridedTilesOf(h).tiles;
  const Runs runs = RunsOf(shape);
  return h.kernel * (runs.vectors + shape.vertical.kernel * runs.Edges());
}

static void MakeDirectMasks(const DirectShape& shape, std::uint16_t* masks) {
  if (shape.horizontal.stride != 1) return MasksOfStridedTiles(shape, masks);
  MasksOfRuns(shape, masks);
  MasksOfEdges(shape, masks,
               masks + shape.horizontal.kernel * RunsOf(shape).vectors);
}

template <std::size_t kTaps>
static void MultiplyTaps(const DirectCall& call) {
  const Axis& h = call.shape->horizontal;
  if (h.stride == 1) {
    MultiplyRuns<kTaps>(call);
  } else if (StridedTilesOf(h).two_rows) {
    MultiplyTwoRows<kTaps>(call);
  } else {
    MultiplyStridedTiles<kTaps>(call);
  }
}

static void MultiplyDirect(const DirectCall& call) {
  call.shape->horizontal.kernel == 3 ? MultiplyTaps<3>(call)
                                     : MultiplyTaps<5>(call);
}

}  // namespace spa

#endif  // SPA_KERNELS_DEPTHWISE_DIRECT_AVX512_H_
