// Few tokens and single weights anywhere, told by a bit mask. A warp computes
// some rows of Y for 1 or 4 tokens. It takes 1024 columns at a time, 32 a lane:
// lanes count the bits before their own, the warp copies the values of all
// lanes into shared memory in order, and each lane multiplies its own.
//
// X lies in shared memory as floats, a panel of columns at a time. Column
// 32 l + b of 1024 lies at 32 b + l, so that lanes read from banks of their own
// whichever of their bits they are at.
//
// Dynamic shared memory: kSharedBytes.

#ifndef SPA_KERNELS_MASKS_GEMV_MASKS_GEMV_H_
#define SPA_KERNELS_MASKS_GEMV_MASKS_GEMV_H_

#include "kernels/fragments/call.h"
#include "kernels/fragments/finish.h"
#include "simt/simt.h"

namespace spa::cuda {

template <class T, unsigned kTokensOfBlock>
struct MasksGemv {
  using Params = Call;
  static constexpr unsigned kTokens = kTokensOfBlock;
  static constexpr unsigned kWarps = 8;
  static constexpr unsigned kThreads = simt::kLanes * kWarps;
  static constexpr unsigned kBlocks = 2;
  static constexpr unsigned kWarpRows = 2;
  static constexpr unsigned kRows = kWarps * kWarpRows;
  static constexpr unsigned kChunk = 1024;  // columns that a warp does at once
  static constexpr unsigned kPanel = kTokens == 1 ? 4 * kChunk : 2 * kChunk;
  static constexpr unsigned kXBytes = kPanel * kTokens * 4;
  // The values of a chunk from an even place on: one before, one behind.
  static constexpr unsigned kValueWords = kChunk / 2 + 1;
  static constexpr std::size_t kSharedBytes =
      kXBytes + kWarps * kValueWords * 4;

  SPA_DEVICE static void Run(const Call& call) {
    const std::uint32_t row_block = simt::BlockX() % call.row_blocks;
    const std::uint64_t first_token =
        std::uint64_t{simt::BlockX() / call.row_blocks} * kTokens;
    const unsigned warp = simt::ThreadX() / simt::kLanes;
    const std::uint32_t first_row = row_block * kRows + warp * kWarpRows;
    auto* const x = reinterpret_cast<float*>(simt::SharedMemory());
    auto* const words =
        reinterpret_cast<std::uint32_t*>(simt::SharedMemory() + kXBytes) +
        warp * kValueWords;

    float sums[kWarpRows][kTokens] = {};
    std::uint32_t next[kWarpRows] = {};  // value of each row
    SPA_UNROLL
    for (unsigned r = 0; r < kWarpRows; ++r) {
      if (first_row + r < call.weight.rows) {
        next[r] = call.weight.starts[first_row + r];
      }
    }
    for (std::uint64_t panel = 0; panel < call.weight.columns;
         panel += kPanel) {
      if (panel != 0) simt::SyncBlock();
      LoadPanel(call, first_token, panel, x);
      simt::SyncBlock();
      SPA_UNROLL
      for (unsigned r = 0; r < kWarpRows; ++r) {
        if (first_row + r >= call.weight.rows) break;
        MultiplyPanel(call.weight, first_row + r, panel, x, words, next[r],
                      sums[r]);
      }
    }
    SPA_UNROLL
    for (unsigned r = 0; r < kWarpRows; ++r) {
      Store(call, first_row + r, first_token, sums[r]);
    }
  }

 private:
  SPA_DEVICE static unsigned PlaceOf(unsigned column) {
    return column / kChunk * kChunk + column % simt::kLanes * simt::kLanes +
           column % kChunk / simt::kLanes;
  }

  SPA_DEVICE static void LoadPanel(const Call& call, std::uint64_t first_token,
                                   std::uint64_t panel, float* x) {
    const std::uint32_t columns = call.weight.columns;
    for (unsigned t = 0; t < kTokens; ++t) {
      const std::uint64_t token = first_token + t;
      const std::uint16_t* row = call.x + token * columns + panel;
      for (unsigned i = simt::ThreadX(); i < kPanel; i += kThreads) {
        const bool is_there = token < call.positions && panel + i < columns;
        simt::StoreShared(x + t * kPanel + PlaceOf(i),
                          is_there ? simt::ToFloat<T>(row[i]) : 0.0f);
      }
    }
  }

  SPA_DEVICE static void MultiplyPanel(const Weight& weight, std::uint32_t row,
                                       std::uint64_t panel, const float* x,
                                       std::uint32_t* words,
                                       std::uint32_t& next,
                                       float (&sums)[kTokens]) {
    const unsigned lane = simt::LaneOf(simt::ThreadX());
    // Masks are whole multiples of 64 columns.
    const std::uint32_t row_words = (weight.columns + 63) / 64 * 2;
    const auto* masks = reinterpret_cast<const std::uint32_t*>(weight.indices) +
                        std::uint64_t{row} * row_words;
    for (unsigned chunk = 0; chunk < kPanel; chunk += kChunk) {
      const std::uint64_t word = (panel + chunk) / 32 + lane;
      const std::uint32_t mask = word < row_words ? masks[word] : 0;
      std::uint32_t before = InclusiveSum(simt::PopCount(mask));
      const std::uint32_t all = simt::Broadcast(before, simt::kLanes - 1);
      before -= simt::PopCount(mask);
      if (all == 0) continue;
      simt::SyncWarp();  // the values of the last chunk were read
      StageValues(weight, next, all, words);
      simt::SyncWarp();
      MultiplyLane(mask, words, (next & 1) + before, x + chunk + lane, sums);
      next += all;
    }
  }

  SPA_DEVICE static std::uint32_t InclusiveSum(std::uint32_t count) {
    const unsigned lane = simt::LaneOf(simt::ThreadX());
    SPA_UNROLL
    for (unsigned by = 1; by < simt::kLanes; by *= 2) {
      const std::uint32_t other = simt::ShuffleUp(count, by);
      if (lane >= by) count += other;
    }
    return count;
  }

  // Values [from, from + count), from an even place on. There are zeros behind
  // the last value of a weight.
  SPA_DEVICE static void StageValues(const Weight& weight, std::uint32_t from,
                                     std::uint32_t count,
                                     std::uint32_t* words) {
    const auto* source =
        reinterpret_cast<const std::uint32_t*>(weight.values) + from / 2;
    const std::uint32_t needed = ((from & 1) + count + 1) / 2;
    for (std::uint32_t i = simt::LaneOf(simt::ThreadX()); i < needed;
         i += simt::kLanes) {
      simt::StoreShared(words + i, source[i]);
    }
  }

  SPA_DEVICE static void MultiplyLane(std::uint32_t mask,
                                      const std::uint32_t* words,
                                      std::uint32_t place, const float* x,
                                      float (&sums)[kTokens]) {
    const auto* values = reinterpret_cast<const std::uint16_t*>(words) + place;
    for (; mask != 0; mask &= mask - 1) {
      const float value = simt::ToFloat<T>(simt::LoadShared(values++));
      const unsigned at = simt::LowestBit(mask) * simt::kLanes;
      SPA_UNROLL
      for (unsigned t = 0; t < kTokens; ++t) {
        sums[t] += value * simt::LoadShared(x + t * kPanel + at);
      }
    }
  }

  SPA_DEVICE static void Store(const Call& call, std::uint32_t row,
                               std::uint64_t first_token,
                               float (&sums)[kTokens]) {
    SPA_UNROLL
    for (unsigned t = 0; t < kTokens; ++t) {
      SPA_UNROLL
      for (unsigned by = simt::kLanes / 2; by > 0; by /= 2) {
        sums[t] += simt::ShuffleXor(sums[t], by);
      }
      const std::uint64_t token = first_token + t;
      if (simt::LaneOf(simt::ThreadX()) == 0 && row < call.weight.rows &&
          token < call.positions) {
        FinishOne<T>(call, sums[t], row, token * call.weight.rows + row);
      }
    }
  }
};

}  // namespace spa::cuda

#endif  // SPA_KERNELS_MASKS_GEMV_MASKS_GEMV_H_
