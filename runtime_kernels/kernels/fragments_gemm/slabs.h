// A weight by slabs of four stored steps of 16 columns: how a slab comes into
// shared memory, and how a warp multiplies it with a slab of X.

#ifndef SPA_KERNELS_FRAGMENTS_GEMM_SLABS_H_
#define SPA_KERNELS_FRAGMENTS_GEMM_SLABS_H_

#include "kernels/fragments/weights.h"
#include "kernels/fragments_gemm/x_tile.h"
#include "simt/simt.h"

namespace spa::cuda {

// The sums of a warp: tiles of 16 rows by 8 positions.
template <unsigned kRowTiles, unsigned kPositionTiles>
using Sums = float[kRowTiles][2 * kPositionTiles][4];

// Copies the first `bytes` of at most kMost, by kThreads threads.
template <unsigned kThreads, unsigned kMost>
SPA_DEVICE void CopyBytes(unsigned char* to, const unsigned char* from,
                          unsigned bytes, unsigned thread) {
  SPA_UNROLL
  for (unsigned i = 0; i < kMost; i += kThreads * 16) {
    const unsigned at = i + thread * 16;
    if (at < bytes) simt::CopyAsync<16>(to + at, from + at, true);
  }
}

SPA_DEVICE simt::Words4 FragmentAt(const unsigned char* fragment) {
  const auto* words = reinterpret_cast<const simt::Words4*>(fragment);
  return simt::LoadShared(words + simt::LaneOf(simt::ThreadX()));
}

// A row of blocks of 16 kTiles rows, done by all warps.
template <unsigned kTiles>
class BlockSlabs {
 public:
  static constexpr unsigned kRowWarps = 1;
  static constexpr unsigned kRowTiles = kTiles;
  static constexpr unsigned kStepBytes = kTiles * kFragment;
  static constexpr unsigned kBytes = kSlabSteps * kStepBytes;

  SPA_DEVICE BlockSlabs(const Weight& weight, std::uint32_t row_block)
      : steps_(weight, row_block) {}

  SPA_DEVICE std::uint32_t steps() const { return steps_.steps(); }
  SPA_DEVICE std::uint32_t Column(std::uint32_t step) const {
    return steps_.Column(step);
  }

  template <unsigned kThreads>
  SPA_DEVICE void Load(std::uint32_t slab, unsigned char* to) const {
    const std::uint32_t first = slab * kSlabSteps;
    const std::uint32_t count = StepsOf(slab);
    CopyBytes<kThreads, kBytes>(to, steps_.Fragments(first), count * kStepBytes,
                                simt::ThreadX());
  }

  template <class T, unsigned kPositionTiles, class X>
  SPA_DEVICE void Multiply(std::uint32_t slab, const unsigned char* from,
                           unsigned /*row_warp*/, const X& x,
                           Sums<kTiles, kPositionTiles>& sums) const {
    const std::uint32_t count = StepsOf(slab);
    SPA_UNROLL
    for (unsigned step = 0; step < kSlabSteps; ++step) {
      if (step >= count) break;
      simt::Words4 a[kTiles];
      SPA_UNROLL
      for (unsigned r = 0; r < kTiles; ++r) {
        a[r] = FragmentAt(from + (step * kTiles + r) * kFragment);
      }
      SPA_UNROLL
      for (unsigned p = 0; p < kPositionTiles; ++p) {
        std::uint32_t b[4];
        x(b, step, p);
        SPA_UNROLL
        for (unsigned r = 0; r < kTiles; ++r) {
          simt::Multiply<T>(sums[r][2 * p], a[r], b[0], b[1]);
          simt::Multiply<T>(sums[r][2 * p + 1], a[r], b[2], b[3]);
        }
      }
    }
  }

 private:
  SPA_DEVICE std::uint32_t StepsOf(std::uint32_t slab) const {
    const std::uint32_t left = steps() - slab * kSlabSteps;
    return left < kSlabSteps ? left : kSlabSteps;
  }

  const BlockSteps steps_;
};

// 128 rows of a 2:4 weight, 64 for each of two rows of warps. A slab has two
// steps of 32 columns, whose positions are one word a lane.
class SparseSlabs {
 public:
  static constexpr unsigned kRowWarps = 2;
  static constexpr unsigned kRowTiles = 4;
  static constexpr unsigned kTiles = kRowWarps * kRowTiles;
  static constexpr unsigned kValues = kTiles * 2 * kFragment;
  static constexpr unsigned kBytes = kValues + kTiles * kMetadata;

  SPA_DEVICE SparseSlabs(const Weight& weight, std::uint32_t row_block)
      : weight_(weight), row_tile_(row_block * kTiles) {
    const std::uint32_t all = (weight.rows + 15) / 16;
    tiles_ = all - row_tile_ < kTiles ? all - row_tile_ : kTiles;
  }

  // Of 16 columns, as X is read; some may lie beyond the matrix.
  SPA_DEVICE std::uint32_t steps() const {
    return 2 * SparseSteps(weight_, 0).steps();
  }
  SPA_DEVICE std::uint32_t Column(std::uint32_t step) const {
    return step * kStep;
  }

  template <unsigned kThreads>
  SPA_DEVICE void Load(std::uint32_t slab, unsigned char* to) const {
    // Each warp takes tiles of its own, 1152 bytes of which lie together.
    constexpr unsigned kWarps = kThreads / simt::kLanes;
    const unsigned lane = simt::LaneOf(simt::ThreadX());
    const bool has_second = 2 * slab + 1 < SparseSteps(weight_, 0).steps();
    const unsigned bytes = (has_second ? 2 : 1) * kFragment;
    SPA_UNROLL
    for (unsigned i = 0; i < kTiles; i += kWarps) {
      const unsigned r = i + simt::ThreadX() / simt::kLanes;
      if (r >= tiles_) break;
      const SparseSteps steps(weight_, row_tile_ + r);
      CopyBytes<simt::kLanes, 2 * kFragment>(
          to + r * 2 * kFragment, steps.Fragment(2 * slab), bytes, lane);
      CopyBytes<simt::kLanes, kMetadata>(to + kValues + r * kMetadata,
                                         steps.Metadata(slab), kMetadata, lane);
    }
  }

  template <class T, unsigned kPositionTiles, class X>
  SPA_DEVICE void Multiply(std::uint32_t slab, const unsigned char* from,
                           unsigned row_warp, const X& x,
                           Sums<kRowTiles, kPositionTiles>& sums) const {
    MultiplyStep<T, kPositionTiles, 0>(from, row_warp, x, sums);
    if (2 * slab + 1 < SparseSteps(weight_, 0).steps()) {
      MultiplyStep<T, kPositionTiles, 1>(from, row_warp, x, sums);
    }
  }

 private:
  template <class T, unsigned kPositionTiles, unsigned kWhich, class X>
  SPA_DEVICE void MultiplyStep(const unsigned char* from, unsigned row_warp,
                               const X& x,
                               Sums<kRowTiles, kPositionTiles>& sums) const {
    simt::Words4 a[kRowTiles];
    std::uint32_t metadata[kRowTiles];
    SPA_UNROLL
    for (unsigned r = 0; r < kRowTiles; ++r) {
      const unsigned tile = row_warp * kRowTiles + r;
      if (tile >= tiles_) break;
      a[r] = FragmentAt(from + (2 * tile + kWhich) * kFragment);
      metadata[r] = simt::LoadShared(reinterpret_cast<const std::uint32_t*>(
                                         from + kValues + tile * kMetadata) +
                                     simt::LaneOf(simt::ThreadX()));
    }
    SPA_UNROLL
    for (unsigned p = 0; p < kPositionTiles; ++p) {
      std::uint32_t low[4], high[4];
      x(low, 2 * kWhich, p);
      x(high, 2 * kWhich + 1, p);
      const std::uint32_t first[4] = {low[0], low[1], high[0], high[1]};
      const std::uint32_t second[4] = {low[2], low[3], high[2], high[3]};
      SPA_UNROLL
      for (unsigned r = 0; r < kRowTiles; ++r) {
        if (row_warp * kRowTiles + r >= tiles_) break;
        simt::MultiplySparse<T, kWhich>(sums[r][2 * p], a[r], first,
                                        metadata[r]);
        simt::MultiplySparse<T, kWhich>(sums[r][2 * p + 1], a[r], second,
                                        metadata[r]);
      }
    }
  }

  const Weight& weight_;
  const std::uint32_t row_tile_;
  std::uint32_t tiles_;
};

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FRAGMENTS_GEMM_SLABS_H_
