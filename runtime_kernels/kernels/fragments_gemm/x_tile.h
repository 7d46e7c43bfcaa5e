// A slab of X in shared memory: 64 stored columns of a tile of positions.
//
// Tokens:  (positions, 64), so 8 chunks of 8 columns a position.
// Planes:  (64, positions), so positions / 8 chunks of 8 positions a column.
// Chunk c of line i lies where chunk c ^ (i % 8) would: then neither writing
// lines nor ldmatrix, which reads one chunk of eight lines, meets a bank twice.

#ifndef SPA_KERNELS_FRAGMENTS_GEMM_X_TILE_H_
#define SPA_KERNELS_FRAGMENTS_GEMM_X_TILE_H_

#include "kernels/fragments/call.h"
#include "kernels/fragments/weights.h"
#include "simt/simt.h"

namespace spa::cuda {

constexpr unsigned kSlabSteps = 4;
constexpr unsigned kSlab = kSlabSteps * kStep;  // columns
constexpr unsigned kChunk = 8;                  // numbers
constexpr unsigned kChunkBytes = 16;

// Where a tile begins.
struct Origin {
  std::uint64_t image;
  std::uint64_t position;  // of the image
};

SPA_DEVICE unsigned SwizzledChunk(unsigned line, unsigned chunk) {
  return chunk ^ (line & 7);
}

SPA_DEVICE unsigned UpToChunk(std::uint64_t from, std::uint64_t end) {
  if (from >= end) return 0;
  return end - from < kChunk ? static_cast<unsigned>(end - from) : kChunk;
}

// Sixteen bytes that all exist, or zeros.
SPA_DEVICE void CopyChunk(const Call& call, unsigned char* to,
                          const std::uint16_t* from, unsigned count) {
  simt::CopyAsync<kChunkBytes>(to, count != 0 ? from : call.x, count != 0);
}

// Up to eight numbers, zeros behind them, in pieces of 8, 4 or 2 bytes as they
// lie; `at` returns one of them.
template <class At>
SPA_DEVICE void CopyPieces(const Call& call, unsigned char* to,
                           const std::uint16_t* from, unsigned count,
                           const At& at) {
  SPA_ROLLED
  for (unsigned i = 0; i < kChunk; i += 4) {
    unsigned char* place = to + 2 * i;
    if (call.x_vector == 8) {
      const bool is_real = i < count;
      simt::CopyAsync<8>(place, is_real ? from + i : call.x, is_real);
      continue;
    }
    SPA_ROLLED
    for (unsigned j = i; j < i + 4; j += 2, place += 4) {
      if (call.x_vector == 4) {
        const bool is_real = j < count;
        simt::CopyAsync<4>(place, is_real ? from + j : call.x, is_real);
      } else {
        const std::uint32_t low = j < count ? at(j) : 0;
        const std::uint32_t high = j + 1 < count ? at(j + 1) : 0;
        simt::StoreShared(reinterpret_cast<std::uint32_t*>(place),
                          low | high << 16);
      }
    }
  }
}

template <unsigned kPositions, unsigned kThreads, class Slabs>
SPA_DEVICE void LoadTokens(const Call& call, const Slabs& slabs,
                           std::uint32_t slab, const Origin& origin,
                           unsigned char* to) {
  constexpr unsigned kChunks = kSlab / kChunk;
  constexpr unsigned kLines = kThreads / kChunks;  // at a time
  const unsigned chunk = simt::ThreadX() % kChunks;
  const std::uint32_t step = slab * kSlabSteps + chunk / 2;
  const std::uint32_t columns = call.weight.columns;
  const std::uint64_t column =
      step < slabs.steps() ? slabs.Column(step) + chunk % 2 * kChunk : columns;
  const unsigned count = UpToChunk(column, columns);
  const auto load = [&](unsigned first, const auto& copy) {
    const unsigned line = first + simt::ThreadX() / kChunks;
    const std::uint64_t position = origin.position + line;
    copy(to + (line * kChunks + SwizzledChunk(line, chunk)) * kChunkBytes,
         call.x + position * columns + column,
         position < call.positions ? count : 0);
  };
  if (call.x_vector == kChunkBytes) {
    SPA_UNROLL
    for (unsigned i = 0; i < kPositions; i += kLines) {
      load(i, [&](unsigned char* place, const std::uint16_t* from,
                  unsigned here) { CopyChunk(call, place, from, here); });
    }
    return;
  }
  SPA_ROLLED
  for (unsigned i = 0; i < kPositions; i += kLines) {
    load(i, [&](unsigned char* place, const std::uint16_t* from,
                unsigned here) {
      CopyPieces(call, place, from, here, [&](unsigned j) { return from[j]; });
    });
  }
}

// Where a pixel of Y looks at in its channel of X.
SPA_DEVICE std::uint64_t PixelOffset(const Pixels& pixels,
                                     std::uint64_t position) {
  const std::uint64_t y = position / pixels.width, x = position % pixels.width;
  return y * pixels.stride_y * pixels.x_width + x * pixels.stride_x;
}

template <unsigned kPositions, unsigned kThreads, class Slabs>
SPA_DEVICE void LoadPlanes(const Call& call, const Slabs& slabs,
                           std::uint32_t slab, const Origin& origin,
                           unsigned char* to) {
  constexpr unsigned kChunks = kPositions / kChunk;
  const std::uint32_t columns = call.weight.columns;
  const auto load = [&](unsigned first, const auto& copy) {
    const unsigned line = (first + simt::ThreadX()) / kChunks;
    const unsigned chunk = (first + simt::ThreadX()) % kChunks;
    const std::uint32_t step = slab * kSlabSteps + line / kStep;
    const std::uint64_t column =
        step < slabs.steps() ? slabs.Column(step) + line % kStep : columns;
    const std::uint64_t position = origin.position + chunk * kChunk;
    copy(to + (line * kChunks + SwizzledChunk(line, chunk)) * kChunkBytes,
         call.x + (origin.image * columns + column) * call.x_plane, position,
         column < columns ? UpToChunk(position, call.positions) : 0);
  };
  if (call.x_vector == kChunkBytes) {
    SPA_UNROLL
    for (unsigned i = 0; i < kSlab * kChunks; i += kThreads) {
      load(i, [&](unsigned char* place, const std::uint16_t* plane,
                  std::uint64_t position, unsigned here) {
        CopyChunk(call, place, plane + position, here);
      });
    }
    return;
  }
  SPA_ROLLED
  for (unsigned i = 0; i < kSlab * kChunks; i += kThreads) {
    load(i, [&](unsigned char* place, const std::uint16_t* plane,
                std::uint64_t position, unsigned here) {
      CopyPieces(call, place, plane + position, here, [&](unsigned j) {
        return plane[PixelOffset(call.pixels, position + j)];
      });
    });
  }
}

// The fragments of 16 columns by 16 positions: b[0] and b[1] are those of the
// first eight positions, b[2] and b[3] of the others.
template <bool kPlanes, unsigned kPositions>
SPA_DEVICE void LoadX(std::uint32_t (&b)[4], const unsigned char* tile,
                      unsigned step, unsigned position) {
  const unsigned lane = simt::LaneOf(simt::ThreadX());
  const unsigned matrix = lane / 8, row = lane % 8;
  const unsigned column_half = matrix % 2, position_half = matrix / 2;
  if constexpr (kPlanes) {
    const unsigned line = step * kStep + column_half * 8 + row;
    const unsigned chunk = position / kChunk + position_half;
    simt::LoadMatricesTransposed(
        b, tile + (line * (kPositions / kChunk) + SwizzledChunk(line, chunk)) *
                      kChunkBytes);
  } else {
    const unsigned line = position + position_half * 8 + row;
    const unsigned chunk = step * 2 + column_half;
    simt::LoadMatrices(
        b, tile + (line * (kSlab / kChunk) + SwizzledChunk(line, chunk)) *
                      kChunkBytes);
  }
}

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FRAGMENTS_GEMM_X_TILE_H_
