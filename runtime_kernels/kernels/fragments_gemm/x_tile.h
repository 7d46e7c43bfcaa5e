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

// Up to eight numbers that follow one another, zeros behind them.
SPA_DEVICE void CopyNumbers(const Call& call, unsigned char* to,
                            const std::uint16_t* from, unsigned count) {
  if (call.x_vector == 16) {
    simt::CopyAsync<16>(to, count != 0 ? from : call.x, count != 0);
  } else if (call.x_vector == 8) {
    SPA_UNROLL
    for (unsigned i = 0; i < 2; ++i) {
      const bool is_real = 4 * i < count;
      simt::CopyAsync<8>(to + 8 * i, is_real ? from + 4 * i : call.x, is_real);
    }
  } else {
    SPA_UNROLL
    for (unsigned i = 0; i < 4; ++i) {
      const bool is_real = 2 * i < count;
      simt::CopyAsync<4>(to + 4 * i, is_real ? from + 2 * i : call.x, is_real);
    }
  }
}

// Up to eight numbers, each from its own place.
template <class At>
SPA_DEVICE void CopySingly(unsigned char* to, unsigned count, const At& at) {
  simt::Words4 words;
  SPA_UNROLL
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint32_t low = 2 * i < count ? at(2 * i) : 0;
    const std::uint32_t high = 2 * i + 1 < count ? at(2 * i + 1) : 0;
    words.word[i] = low | high << 16;
  }
  simt::StoreShared(reinterpret_cast<simt::Words4*>(to), words);
}

SPA_DEVICE unsigned UpToChunk(std::uint64_t from, std::uint64_t end) {
  if (from >= end) return 0;
  return end - from < kChunk ? static_cast<unsigned>(end - from) : kChunk;
}

template <unsigned kPositions, unsigned kThreads, class Slabs>
SPA_DEVICE void LoadTokens(const Call& call, const Slabs& slabs,
                           std::uint32_t slab, const Origin& origin,
                           unsigned char* to) {
  constexpr unsigned kChunks = kSlab / kChunk;
  const unsigned chunk = simt::ThreadX() % kChunks;
  const std::uint32_t step = slab * kSlabSteps + chunk / 2;
  const std::uint32_t columns = call.weight.columns;
  const std::uint64_t column =
      step < slabs.steps() ? slabs.Column(step) + chunk % 2 * kChunk : columns;
  const unsigned count = UpToChunk(column, columns);
  SPA_UNROLL
  for (unsigned i = 0; i < kPositions; i += kThreads / kChunks) {
    const unsigned line = i + simt::ThreadX() / kChunks;
    const std::uint64_t position = origin.position + line;
    const std::uint16_t* from = call.x + position * columns + column;
    unsigned char* place =
        to + (line * kChunks + SwizzledChunk(line, chunk)) * kChunkBytes;
    const unsigned here = position < call.positions ? count : 0;
    if (call.x_vector > 2) {
      CopyNumbers(call, place, from, here);
    } else {
      CopySingly(place, here, [&](unsigned j) { return from[j]; });
    }
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
  SPA_UNROLL
  for (unsigned i = 0; i < kSlab * kChunks; i += kThreads) {
    const unsigned line = (i + simt::ThreadX()) / kChunks;
    const unsigned chunk = (i + simt::ThreadX()) % kChunks;
    const std::uint32_t step = slab * kSlabSteps + line / kStep;
    const std::uint64_t column =
        step < slabs.steps() ? slabs.Column(step) + line % kStep : columns;
    const std::uint64_t position = origin.position + chunk * kChunk;
    const std::uint16_t* plane =
        call.x + (origin.image * columns + column) * call.x_plane;
    unsigned char* place =
        to + (line * kChunks + SwizzledChunk(line, chunk)) * kChunkBytes;
    const unsigned here =
        column < columns ? UpToChunk(position, call.positions) : 0;
    if (call.x_vector > 2) {
      CopyNumbers(call, place, plane + position, here);
    } else {
      CopySingly(place, here, [&](unsigned j) {
        return plane[PixelOffset(call.pixels, position + j)];
      });
    }
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
