// Few tokens and single weights anywhere, told by a bit mask. A warp computes
// some rows of Y for 1 or 4 tokens. It takes 1024 columns at a time, 32 a lane:
// lanes count the bits before their own, the warp copies the values of all
// lanes into shared memory in order, and each lane multiplies its own. The
// masks of the next 1024 columns are read meanwhile.
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
  // The values of a chunk from an even place on, which may be one more; of two
  // chunks in turn.
  static constexpr unsigned kValueWords = kChunk / 2 + 1;
  static constexpr std::size_t kSharedBytes =
      kXBytes + 2 * kWarps * kWarpRows * kValueWords * 4;

  SPA_DEVICE static void Run(const Call& call) {
    const std::uint32_t row_block = simt::BlockX() % call.row_blocks;
    const std::uint64_t first_token =
        std::uint64_t{simt::BlockX() / call.row_blocks} * kTokens;
    const unsigned warp = simt::ThreadX() / simt::kLanes;
    const std::uint32_t first_row = row_block * kRows + warp * kWarpRows;
    auto* const x = reinterpret_cast<float*>(simt::SharedMemory());
    auto* const words =
        reinterpret_cast<std::uint32_t*>(simt::SharedMemory() + kXBytes) +
        2 * warp * kWarpRows * kValueWords;
    const auto half = [&](std::uint32_t chunk) {
      return words + chunk % 2 * kWarpRows * kValueWords;
    };

    float sums[kWarpRows][kTokens] = {};
    Values values(call.weight, first_row);
    Chunk now = values.Stage(half(0));
    const std::uint32_t chunks = (call.weight.columns + kChunk - 1) / kChunk;
    for (std::uint32_t chunk = 0; chunk < chunks; ++chunk) {
      constexpr unsigned kPanelChunks = kPanel / kChunk;
      const unsigned in_panel = chunk % kPanelChunks;
      if (in_panel == 0) {
        if (chunk != 0) simt::SyncBlock();
        LoadPanel(call, first_token, std::uint64_t{chunk} * kChunk, x);
        simt::SyncBlock();
      }
      const Chunk next = values.Stage(half(chunk + 1));
      simt::WaitForCopies(1);
      simt::SyncWarp();
      SPA_UNROLL
      for (unsigned r = 0; r < kWarpRows; ++r) {
        MultiplyLane(now.masks[r], half(chunk) + r * kValueWords, now.places[r],
                     x + in_panel * kChunk + simt::LaneOf(simt::ThreadX()),
                     sums[r]);
      }
      simt::SyncWarp();  // these values were read
      now = next;
    }
    SPA_UNROLL
    for (unsigned r = 0; r < kWarpRows; ++r) {
      Store(call, first_row + r, first_token, sums[r]);
    }
  }

 private:
  // A lane takes eight neighbouring columns at a time, of the 32 that it will
  // read again: so lanes write to banks of their own, too.
  SPA_DEVICE static void LoadPanel(const Call& call, std::uint64_t first_token,
                                   std::uint64_t panel, float* x) {
    constexpr unsigned kParts = 4;  // of the 32
    const unsigned warp = simt::ThreadX() / simt::kLanes;
    const unsigned lane = simt::LaneOf(simt::ThreadX());
    for (unsigned t = 0; t < kTokens; ++t) {
      const std::uint64_t token = first_token + t;
      const std::uint16_t* row = call.x + token * call.weight.columns;
      SPA_UNROLL
      for (unsigned i = 0; i < kPanel / kChunk * kParts; i += kWarps) {
        const unsigned chunk = (i + warp) / kParts, part = (i + warp) % kParts;
        const std::uint64_t column =
            panel + chunk * kChunk + lane * 32 + part * kEight;
        float numbers[kEight];
        LoadEight(call, row,
                  token < call.positions ? column : call.weight.columns,
                  numbers);
        float* const to = x + t * kPanel + chunk * kChunk +
                          part * kEight * simt::kLanes + lane;
        SPA_UNROLL
        for (unsigned k = 0; k < kEight; ++k) {
          simt::StoreShared(to + k * simt::kLanes, numbers[k]);
        }
      }
    }
  }

  // Columns from `column` on, zeros behind the last one.
  SPA_DEVICE static void LoadEight(const Call& call, const std::uint16_t* row,
                                   std::uint64_t column,
                                   float (&numbers)[kEight]) {
    const std::uint32_t columns = call.weight.columns;
    SPA_UNROLL
    for (float& number : numbers) number = 0.0f;
    if (call.x_vector == 16) {
      if (column < columns) AddPairs<T>(numbers, row + column);
      return;
    }
    SPA_UNROLL
    for (unsigned k = 0; k < kEight; ++k) {
      if (column + k < columns) numbers[k] = simt::ToFloat<T>(row[column + k]);
    }
  }

  // What a lane knows of 1024 columns of each row: its mask, and where in
  // shared memory its values begin.
  struct Chunk {
    std::uint32_t masks[kWarpRows];
    std::uint32_t places[kWarpRows];
  };

  // The values of a warp's rows, from chunk to chunk.
  class Values {
   public:
    SPA_DEVICE Values(const Weight& weight, std::uint32_t first_row)
        : weight_(weight), first_row_(first_row) {
      SPA_UNROLL
      for (unsigned r = 0; r < kWarpRows; ++r) {
        const bool is_there = first_row + r < weight.rows;
        next_[r] = is_there ? weight.starts[first_row + r] : 0;
      }
      LoadMasks();
    }

    // Starts to copy the values of the next chunk, as one group.
    SPA_DEVICE Chunk Stage(std::uint32_t* words) {
      Chunk chunk;
      SPA_UNROLL
      for (unsigned r = 0; r < kWarpRows; ++r) {
        chunk.masks[r] = masks_[r];
        const unsigned own = simt::PopCount(masks_[r]);
        const std::uint32_t sum = InclusiveSum(own);
        const std::uint32_t all = simt::Broadcast(sum, simt::kLanes - 1);
        chunk.places[r] = (next_[r] & 1) + sum - own;
        Copy(words + r * kValueWords, next_[r], all);
        next_[r] += all;
      }
      simt::CommitCopies();
      column_ += kChunk;
      LoadMasks();
      return chunk;
    }

   private:
    // The lane's word of each row's mask; 0 behind the last column.
    SPA_DEVICE void LoadMasks() {
      // Masks are whole multiples of 64 columns.
      const std::uint32_t row_words = (weight_.columns + 63) / 64 * 2;
      const std::uint64_t word = column_ / 32 + simt::LaneOf(simt::ThreadX());
      const auto* all = reinterpret_cast<const std::uint32_t*>(weight_.indices);
      SPA_UNROLL
      for (unsigned r = 0; r < kWarpRows; ++r) {
        const std::uint64_t row = first_row_ + r;
        const bool is_there = row < weight_.rows && word < row_words;
        masks_[r] = is_there ? all[row * row_words + word] : 0;
      }
    }

    // Values [from, from + count), from an even place on. There are zeros
    // behind the last value of a weight.
    SPA_DEVICE void Copy(std::uint32_t* words, std::uint32_t from,
                         std::uint32_t count) const {
      const auto* source =
          reinterpret_cast<const std::uint32_t*>(weight_.values) + from / 2;
      const std::uint32_t needed =
          count != 0 ? ((from & 1) + count + 1) / 2 : 0;
      for (std::uint32_t i = simt::LaneOf(simt::ThreadX()); i < needed;
           i += simt::kLanes) {
        simt::CopyAsync<4>(words + i, source + i, true);
      }
    }

    const Weight& weight_;
    const std::uint32_t first_row_;
    std::uint64_t column_ = 0;
    std::uint32_t next_[kWarpRows];   // value of each row
    std::uint32_t masks_[kWarpRows];  // of the next chunk
  };

  SPA_DEVICE static std::uint32_t InclusiveSum(std::uint32_t count) {
    const unsigned lane = simt::LaneOf(simt::ThreadX());
    SPA_UNROLL
    for (unsigned by = 1; by < simt::kLanes; by *= 2) {
      const std::uint32_t other = simt::ShuffleUp(count, by);
      if (lane >= by) count += other;
    }
    return count;
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
