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

// The lane's part of X: 8 kTiles tokens from the first one. Tokens behind the
// last one are given what some other token has, since what becomes of them is
// not stored. If kSimple, X can be read by pairs of numbers and ends with a
// step.
template <unsigned kTiles, bool kSimple>
class LaneOfX {
 public:
  SPA_DEVICE LaneOfX(const Call& call, std::uint64_t first_token)
      : columns_(call.weight.columns) {
    const unsigned lane = simt::LaneOf(simt::ThreadX());
    pair_ = 2 * (lane % 4);
    SPA_UNROLL
    for (unsigned i = 0; i < kTiles; ++i) {
      const std::uint64_t token = first_token + 8 * i + lane / 4;
      rows_[i] = call.x +
                 (token < call.positions ? token : first_token) * columns_ +
                 pair_;
    }
  }

  // Rows `column` + 2 (lane % 4) and the next, and those 8 further on.
  SPA_DEVICE void Load(std::uint32_t (&b)[2], unsigned i,
                       std::uint32_t column) const {
    SPA_UNROLL
    for (unsigned half = 0; half < 2; ++half) {
      b[half] = Pair(rows_[i] + column + 8 * half, column + pair_ + 8 * half);
    }
  }

 private:
  SPA_DEVICE std::uint32_t Pair(const std::uint16_t* from,
                                std::uint32_t column) const {
    if constexpr (kSimple) return *reinterpret_cast<const std::uint32_t*>(from);
    const std::uint32_t low = column < columns_ ? from[0] : 0;
    const std::uint32_t high = column + 1 < columns_ ? from[1] : 0;
    return low | high << 16;
  }

  const std::uint32_t columns_;
  std::uint32_t pair_;
  const std::uint16_t* rows_[kTiles];
};

// 16 rows of a weight of blocks.
struct BlockRows {
  // What X must have a multiple of, or the last block reads behind it.
  SPA_DEVICE static std::uint32_t BlockColumns(const Weight& weight) {
    return kStep << weight.block_steps_log2;
  }

  // Steps whose reads are under way, fewer with more sums to hold.
  template <unsigned kTiles>
  static constexpr unsigned kTogether = kTiles < 4 ? 4 : 2;

  template <class T, unsigned kTiles, unsigned kWarps, class X>
  SPA_DEVICE static void Multiply(const Weight& weight, std::uint32_t row_tile,
                                  const X& x, float (&sums)[kTiles][4]) {
    const BlockSteps steps(weight, row_tile / weight.block_row_tiles);
    const unsigned from = row_tile % weight.block_row_tiles * kFragment +
                          simt::LaneOf(simt::ThreadX()) * 16;
    constexpr unsigned kCount = kTogether<kTiles>;
    std::uint32_t step = simt::ThreadX() / simt::kLanes;
    std::uint32_t now[kCount], next[kCount];  // block columns
    LoadBlockColumns<kWarps>(steps, step, now);
    for (; step < steps.steps(); step += kCount * kWarps) {
      simt::Words4 a[kCount];
      SPA_UNROLL
      for (unsigned i = 0; i < kCount; ++i) {
        if (step + i * kWarps >= steps.steps()) continue;
        a[i] = simt::LoadOnce(steps.Fragments(step + i * kWarps) + from);
      }
      LoadBlockColumns<kWarps>(steps, step + kCount * kWarps, next);
      SPA_UNROLL
      for (unsigned i = 0; i < kCount; ++i) {
        if (step + i * kWarps < steps.steps()) {
          MultiplyStep<T>(a[i], steps.ColumnIn(now[i], step + i * kWarps), x,
                          sums);
        }
        now[i] = next[i];
      }
    }
  }

 private:
  // Of steps that are taken together, one round before they are needed: the
  // weight itself need not wait for them then.
  template <unsigned kWarps, unsigned kCount>
  SPA_DEVICE static void LoadBlockColumns(const BlockSteps& steps,
                                          std::uint32_t step,
                                          std::uint32_t (&columns)[kCount]) {
    SPA_UNROLL
    for (unsigned i = 0; i < kCount; ++i) {
      columns[i] = step + i * kWarps < steps.steps()
                       ? steps.BlockColumn(step + i * kWarps)
                       : 0;
    }
  }

  template <class T, unsigned kTiles, class X>
  SPA_DEVICE static void MultiplyStep(const simt::Words4& a,
                                      std::uint32_t column, const X& x,
                                      float (&sums)[kTiles][4]) {
    SPA_UNROLL
    for (unsigned t = 0; t < kTiles; ++t) {
      std::uint32_t b[2];
      x.Load(b, t, column);
      simt::Multiply<T>(sums[t], a, b[0], b[1]);
    }
  }
};

// 16 rows of a 2:4 weight, two steps of 32 columns at a time, since these share
// a word of metadata.
struct SparseRows {
  static constexpr unsigned kColumns = SparseSteps::kColumns;

  SPA_DEVICE static std::uint32_t BlockColumns(const Weight&) {
    return kColumns;
  }

  // Pairs whose reads are under way.
  template <unsigned kTiles>
  static constexpr unsigned kTogether = kTiles < 4 ? 2 : 1;

  template <class T, unsigned kTiles, unsigned kWarps, class X>
  SPA_DEVICE static void Multiply(const Weight& weight, std::uint32_t row_tile,
                                  const X& x, float (&sums)[kTiles][4]) {
    const SparseSteps steps(weight, row_tile);
    constexpr unsigned kCount = kTogether<kTiles>;
    for (std::uint32_t pair = simt::ThreadX() / simt::kLanes;
         pair < steps.pairs(); pair += kCount * kWarps) {
      MultiplyPairs<T, kTiles, kWarps, kCount>(steps, pair, x, sums);
    }
  }

 private:
  template <class T, unsigned kTiles, unsigned kWarps, unsigned kCount, class X>
  SPA_DEVICE static void MultiplyPairs(const SparseSteps& steps,
                                       std::uint32_t first, const X& x,
                                       float (&sums)[kTiles][4]) {
    const unsigned lane = simt::LaneOf(simt::ThreadX());
    simt::Words4 even[kCount], odd[kCount];
    std::uint32_t metadata[kCount];
    SPA_UNROLL
    for (unsigned i = 0; i < kCount; ++i) {
      const std::uint32_t pair = first + i * kWarps;
      if (pair >= steps.pairs()) continue;
      even[i] = simt::LoadOnce(steps.Fragment(2 * pair) + lane * 16);
      metadata[i] =
          reinterpret_cast<const std::uint32_t*>(steps.Metadata(pair))[lane];
      if (2 * pair + 1 >= steps.steps()) continue;
      odd[i] = simt::LoadOnce(steps.Fragment(2 * pair + 1) + lane * 16);
    }
    SPA_UNROLL
    for (unsigned i = 0; i < kCount; ++i) {
      const std::uint32_t pair = first + i * kWarps;
      if (pair >= steps.pairs()) continue;
      const std::uint32_t column = 2 * pair * kColumns;
      SPA_UNROLL
      for (unsigned t = 0; t < kTiles; ++t) {
        MultiplyStep<T, 0>(sums[t], even[i], metadata[i], x, t, column);
        if (2 * pair + 1 >= steps.steps()) continue;
        MultiplyStep<T, 1>(sums[t], odd[i], metadata[i], x, t,
                           column + kColumns);
      }
    }
  }

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
    float sums[kTiles][4] = {};
    if (call.x_vector >= 4 &&
        call.weight.columns % Rows::BlockColumns(call.weight) == 0) {
      Rows::template Multiply<T, kTiles, kWarps>(
          call.weight, row_tile, LaneOfX<kTiles, true>(call, first_token),
          sums);
    } else {
      Rows::template Multiply<T, kTiles, kWarps>(
          call.weight, row_tile, LaneOfX<kTiles, false>(call, first_token),
          sums);
    }

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
