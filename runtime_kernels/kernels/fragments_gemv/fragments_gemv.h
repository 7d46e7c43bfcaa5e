// Few tokens: what counts is how fast the weight is read. A block of threads
// computes 16 rows of Y for 8, 16 or 32 tokens. Its warps share the steps, and
// every lane reads its part of a fragment straight into registers, 16 bytes at
// a time, in order. Their sums are added in shared memory.
//
// Dynamic shared memory: kSharedBytes.

#ifndef SPA_KERNELS_FRAGMENTS_GEMV_FRAGMENTS_GEMV_H_
#define SPA_KERNELS_FRAGMENTS_GEMV_FRAGMENTS_GEMV_H_

#include "kernels/fragments/call.h"
#include "kernels/fragments/finish.h"
#include "kernels/fragments/weights.h"
#include "simt/simt.h"

namespace spa::cuda {

// Two numbers of X that follow one another, of which `columns` exist behind
// `from`; `by_pairs` says that they may be read together.
SPA_DEVICE std::uint32_t LoadPair(const std::uint16_t* from,
                                  std::uint32_t columns, bool by_pairs) {
  if (columns == 0) return 0;
  if (by_pairs) return *reinterpret_cast<const std::uint32_t*>(from);
  const std::uint32_t high = columns > 1 ? from[1] : 0;
  return from[0] | high << 16;
}

// The lane's part of X: 8 kTiles tokens from the first one.
template <unsigned kTiles>
class LaneOfX {
 public:
  SPA_DEVICE LaneOfX(const Call& call, std::uint64_t first_token)
      : call_(call), lane_(simt::LaneOf(simt::ThreadX())) {
    SPA_UNROLL
    for (unsigned i = 0; i < kTiles; ++i) {
      const std::uint64_t token = first_token + 8 * i + lane_ / 4;
      is_there_[i] = token < call.positions;
      rows_[i] = call.x + (is_there_[i] ? token : 0) * call.weight.columns;
    }
  }

  // Rows `column` + 2 (lane % 4) and the next, and those 8 further on.
  SPA_DEVICE void Load(std::uint32_t (&b)[2], unsigned i,
                       std::uint32_t column) const {
    SPA_UNROLL
    for (unsigned half = 0; half < 2; ++half) {
      const std::uint32_t from = column + 8 * half + 2 * (lane_ % 4);
      const std::uint32_t columns = call_.weight.columns;
      const std::uint32_t left =
          is_there_[i] && from < columns ? columns - from : 0;
      b[half] = LoadPair(rows_[i] + from, left, call_.x_vector >= 4);
    }
  }

 private:
  const Call& call_;
  const unsigned lane_;
  const std::uint16_t* rows_[kTiles];
  bool is_there_[kTiles];
};

// 16 rows of a weight of blocks. Steps are taken four at a time, so that as
// many reads are under way.
struct BlockRows {
  static constexpr unsigned kTogether = 4;

  template <class T, unsigned kTiles, unsigned kWarps>
  SPA_DEVICE static void Multiply(const Weight& weight, std::uint32_t row_tile,
                                  const LaneOfX<kTiles>& x,
                                  float (&sums)[kTiles][4]) {
    const unsigned warp = simt::ThreadX() / simt::kLanes;
    const unsigned lane = simt::LaneOf(simt::ThreadX());
    const BlockSteps steps(weight, row_tile / weight.block_row_tiles);
    const unsigned within = row_tile % weight.block_row_tiles;
    for (std::uint32_t step = warp; step < steps.steps();
         step += kWarps * kTogether) {
      simt::Words4 a[kTogether] = {};
      std::uint32_t columns[kTogether] = {};
      SPA_UNROLL
      for (unsigned i = 0; i < kTogether; ++i) {
        if (step + i * kWarps >= steps.steps()) break;
        a[i] = simt::LoadOnce(steps.Fragments(step + i * kWarps) +
                              within * kFragment + lane * 16);
        columns[i] = steps.Column(step + i * kWarps);
      }
      SPA_UNROLL
      for (unsigned i = 0; i < kTogether; ++i) {
        if (step + i * kWarps >= steps.steps()) break;
        SPA_UNROLL
        for (unsigned t = 0; t < kTiles; ++t) {
          std::uint32_t b[2];
          x.Load(b, t, columns[i]);
          simt::Multiply<T>(sums[t], a[i], b[0], b[1]);
        }
      }
    }
  }
};

// 16 rows of a 2:4 weight, two steps of 32 columns at a time, since these share
// a word of metadata.
struct SparseRows {
  template <class T, unsigned kTiles, unsigned kWarps>
  SPA_DEVICE static void Multiply(const Weight& weight, std::uint32_t row_tile,
                                  const LaneOfX<kTiles>& x,
                                  float (&sums)[kTiles][4]) {
    const unsigned warp = simt::ThreadX() / simt::kLanes;
    const unsigned lane = simt::LaneOf(simt::ThreadX());
    const SparseSteps steps(weight, row_tile);
    for (std::uint32_t pair = warp; pair < steps.pairs(); pair += kWarps) {
      const bool has_second = 2 * pair + 1 < steps.steps();
      const auto* words =
          reinterpret_cast<const std::uint32_t*>(steps.Metadata(pair));
      const std::uint32_t metadata = words[lane];
      const simt::Words4 first =
          simt::LoadOnce(steps.Fragment(2 * pair) + lane * 16);
      simt::Words4 second = {};
      if (has_second) {
        second = simt::LoadOnce(steps.Fragment(2 * pair + 1) + lane * 16);
      }
      const std::uint32_t column = 2 * pair * SparseSteps::kColumns;
      SPA_UNROLL
      for (unsigned t = 0; t < kTiles; ++t) {
        MultiplyStep<T, 0>(sums[t], first, metadata, x, t, column);
        if (has_second) {
          MultiplyStep<T, 1>(sums[t], second, metadata, x, t,
                             column + SparseSteps::kColumns);
        }
      }
    }
  }

 private:
  template <class T, unsigned kWhich, class X>
  SPA_DEVICE static void MultiplyStep(float (&sums)[4], const simt::Words4& a,
                                      std::uint32_t metadata, const X& x,
                                      unsigned tile, std::uint32_t column) {
    std::uint32_t low[2], high[2];
    x.Load(low, tile, column);
    x.Load(high, tile, column + kStep);
    const std::uint32_t b[4] = {low[0], low[1], high[0], high[1]};
    simt::MultiplySparse<T, kWhich>(sums, a, b, metadata);
  }
};

template <class T, class Rows, unsigned kTiles>
struct FragmentsGemv {
  using Params = Call;
  static constexpr unsigned kWarps = 8;
  static constexpr unsigned kThreads = simt::kLanes * kWarps;
  static constexpr unsigned kBlocks = 2;
  static constexpr unsigned kTokens = 8 * kTiles;
  static constexpr unsigned kRows = 16;
  static constexpr unsigned kOutputs = kRows * kTokens;
  static constexpr std::size_t kSharedBytes = kWarps * kOutputs * 4;

  SPA_DEVICE static void Run(const Call& call) {
    const std::uint32_t row_tile = simt::BlockX() % call.row_blocks;
    const std::uint64_t first_token =
        std::uint64_t{simt::BlockX() / call.row_blocks} * kTokens;
    const LaneOfX<kTiles> x(call, first_token);
    float sums[kTiles][4] = {};
    Rows::template Multiply<T, kTiles, kWarps>(call.weight, row_tile, x, sums);

    // The sums of a warp lie in the order (register, lane).
    auto* const shared = reinterpret_cast<float*>(simt::SharedMemory());
    const unsigned warp = simt::ThreadX() / simt::kLanes;
    const unsigned lane = simt::LaneOf(simt::ThreadX());
    SPA_UNROLL
    for (unsigned i = 0; i < 4 * kTiles; ++i) {
      simt::StoreShared(shared + warp * kOutputs + i * simt::kLanes + lane,
                        sums[i / 4][i % 4]);
    }
    simt::SyncBlock();
    for (unsigned i = simt::ThreadX(); i < kOutputs; i += kThreads) {
      // Outputs that follow one another are rows of one token.
      const unsigned row = i % kRows, token = i / kRows;
      const unsigned source =
          (token / 8 * 4 + row / 8 * 2 + token % 2) * simt::kLanes +
          row % 8 * 4 + token % 8 / 2;
      float sum = 0;
      SPA_UNROLL
      for (unsigned w = 0; w < kWarps; ++w) {
        sum += simt::LoadShared(shared + w * kOutputs + source);
      }
      Store(call, sum, row_tile * kRows + row, first_token + token);
    }
  }

 private:
  SPA_DEVICE static void Store(const Call& call, float sum, std::uint32_t row,
                               std::uint64_t token) {
    if (row >= call.weight.rows || token >= call.positions) return;
    FinishOne<T>(call, sum, row, token * call.weight.rows + row);
  }
};

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FRAGMENTS_GEMV_FRAGMENTS_GEMV_H_
