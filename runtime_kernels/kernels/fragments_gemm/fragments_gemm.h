// Many positions: a block of threads computes a tile of Y, 16 to 128 rows by
// 64 to 256 positions. Slabs of 64 stored columns of W and X come into shared
// memory while the tensor cores work on earlier ones; warps share the
// positions, and 2:4 weights the rows, too. Sums go through shared memory into
// the order of Y.
//
// Dynamic shared memory: SharedBytes(stages).

#ifndef SPA_KERNELS_FRAGMENTS_GEMM_FRAGMENTS_GEMM_H_
#define SPA_KERNELS_FRAGMENTS_GEMM_FRAGMENTS_GEMM_H_

#include <type_traits>

#include "kernels/fragments/call.h"
#include "kernels/fragments/finish.h"
#include "kernels/fragments/turns.h"
#include "kernels/fragments_gemm/slabs.h"
#include "kernels/fragments_gemm/x_tile.h"
#include "simt/simt.h"

namespace spa::cuda {

template <class T, class Slabs, bool kPlanes, unsigned kPositionWarps,
          unsigned kPositionTiles>
struct FragmentsGemm {
  using Params = Call;
  static constexpr unsigned kWarps = Slabs::kRowWarps * kPositionWarps;
  static constexpr unsigned kThreads = simt::kLanes * kWarps;
  static constexpr unsigned kBlocks = kThreads <= 128 ? 2 : 1;
  static constexpr unsigned kWarpPositions = 16 * kPositionTiles;
  static constexpr unsigned kPositions = kPositionWarps * kWarpPositions;
  static constexpr unsigned kRows = 16 * Slabs::kRowTiles * Slabs::kRowWarps;
  static constexpr unsigned kXBytes = kPositions * kSlab * 2;
  static constexpr unsigned kStageBytes = kXBytes + Slabs::kBytes;

  // Sums leave in turns of 16 positions a warp. A line of them is a position,
  // or a row where positions follow one another in Y.
  static constexpr unsigned kTurn = 16 * kPositionWarps;
  static constexpr unsigned kLines = kPlanes ? kRows : kTurn;
  static constexpr unsigned kInLine = kPlanes ? kTurn : kRows;
  static constexpr unsigned kLineFloats = kInLine + 4;  // other banks each
  static constexpr unsigned kTurnBytes = kLines * kLineFloats * 4;

  static constexpr std::size_t SharedBytes(unsigned stages) {
    const std::size_t pipeline = std::size_t{stages} * kStageBytes;
    return pipeline > kTurnBytes ? pipeline : kTurnBytes;
  }

  SPA_DEVICE static void Run(const Call& call) {
    const Place place = PlaceOf(call, simt::BlockX());
    const Origin origin{place.image,
                        std::uint64_t{place.position_tile} * kPositions};
    const Slabs slabs(call.weight, place.row_block);
    Sums<Slabs::kRowTiles, kPositionTiles> sums = {};
    Pipeline(call, slabs, origin, sums);
    Finish(call, place.row_block * kRows, origin, sums);
  }

 private:
  using Loader = std::conditional_t<kPlanes, PlanesLoader<kPositions, kThreads>,
                                    TokensLoader<kPositions, kThreads>>;

  SPA_DEVICE static void Pipeline(
      const Call& call, const Slabs& slabs, const Origin& origin,
      Sums<Slabs::kRowTiles, kPositionTiles>& sums) {
    unsigned char* const shared = simt::SharedMemory();
    const Loader loader(call, origin);
    const std::uint32_t count = (slabs.steps() + kSlabSteps - 1) / kSlabSteps;
    const std::uint32_t ahead = call.stages - 1;
    const unsigned warp = simt::ThreadX() / simt::kLanes;
    const unsigned row_warp = warp / kPositionWarps;
    const unsigned position = warp % kPositionWarps * kWarpPositions;
    std::uint32_t filled = 0, used = 0;  // stages
    for (std::uint32_t i = 0; i < count + ahead; ++i) {
      if (i >= ahead) {
        simt::WaitForCopies(ahead - 1);
        simt::SyncBlock();  // also: nobody reads the stage that is filled next
      }
      if (i < count) {
        unsigned char* const to = shared + filled * kStageBytes;
        slabs.template Load<kThreads>(i, to + kXBytes);
        loader.Load(call, slabs, i, to);
      }
      simt::CommitCopies();
      filled = filled + 1 == call.stages ? 0 : filled + 1;
      if (i < ahead) continue;
      const unsigned char* from = shared + used * kStageBytes;
      const auto x = [&](std::uint32_t (&b)[4], unsigned step, unsigned p) {
        LoadX<kPlanes, kPositions>(b, from, step, position + 16 * p);
      };
      slabs.template Multiply<T, kPositionTiles>(i - ahead, from + kXBytes,
                                                 row_warp, x, sums);
      used = used + 1 == call.stages ? 0 : used + 1;
    }
    simt::WaitForCopies(0);
    simt::SyncBlock();
  }

  SPA_DEVICE static void Finish(
      const Call& call, std::uint32_t first_row, const Origin& origin,
      const Sums<Slabs::kRowTiles, kPositionTiles>& sums) {
    auto* const lines = reinterpret_cast<float*>(simt::SharedMemory());
    const std::uint64_t y_image =
        origin.image * call.weight.rows * call.positions;
    SPA_UNROLL
    for (unsigned turn = 0; turn < kPositionTiles; ++turn) {
      if (turn != 0) simt::SyncBlock();
      Put(lines, sums, turn);
      simt::SyncBlock();
      for (unsigned i = simt::ThreadX(); i < kLines * (kInLine / kEight);
           i += kThreads) {
        const unsigned line = i / (kInLine / kEight);
        const unsigned from = i % (kInLine / kEight) * kEight;
        const unsigned in_turn = kPlanes ? from : line;
        const std::uint64_t position = origin.position +
                                       in_turn / 16 * kWarpPositions +
                                       turn * 16 + in_turn % 16;
        const std::uint32_t row = first_row + (kPlanes ? line : from);
        Store(call, lines + line * kLineFloats + from, row, position, y_image);
      }
    }
  }

  // Writes the sums of a turn to their lines.
  SPA_DEVICE static void Put(float* lines,
                             const Sums<Slabs::kRowTiles, kPositionTiles>& sums,
                             unsigned turn) {
    const unsigned warp = simt::ThreadX() / simt::kLanes;
    const unsigned lane = simt::LaneOf(simt::ThreadX());
    const unsigned row_warp = warp / kPositionWarps;
    SPA_UNROLL
    for (unsigned r = 0; r < Slabs::kRowTiles; ++r) {
      SPA_UNROLL
      for (unsigned i = 0; i < 8; ++i) {
        const unsigned row =
            (row_warp * Slabs::kRowTiles + r) * 16 + lane / 4 + i % 4 / 2 * 8;
        const unsigned position =
            warp % kPositionWarps * 16 + i / 4 * 8 + lane % 4 * 2 + i % 2;
        float* place = kPlanes ? lines + row * kLineFloats + position
                               : lines + position * kLineFloats + row;
        // An index that the compiler knows, or the sums would leave registers.
        simt::StoreShared(place, sums[r][2 * turn + i / 4][i % 4]);
      }
    }
  }

  // Eight outputs of a line.
  SPA_DEVICE static void Store(const Call& call, const float* from,
                               std::uint32_t row, std::uint64_t position,
                               std::uint64_t y_image) {
    if (row >= call.weight.rows || position >= call.positions) return;
    const std::uint64_t left =
        kPlanes ? call.positions - position : call.weight.rows - row;
    const std::uint64_t at =
        y_image + (kPlanes ? row * call.positions + position
                           : position * call.weight.rows + row);
    float values[kEight];
    SPA_UNROLL
    for (unsigned i = 0; i < kEight; ++i)
      values[i] = simt::LoadShared(from + i);
    if (call.y_is_aligned && left >= kEight) {
      FinishEight<T, !kPlanes>(call, values, row, at);
      return;
    }
    SPA_UNROLL
    for (unsigned i = 0; i < kEight; ++i) {
      if (i < left)
        FinishOne<T>(call, values[i], row + (kPlanes ? 0 : i), at + i);
    }
  }
};

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FRAGMENTS_GEMM_FRAGMENTS_GEMM_H_
