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
      simt::CopyAsync<8>(place, from + i, i < count);
      continue;
    }
    SPA_ROLLED
    for (unsigned j = i; j < i + 4; j += 2, place += 4) {
      if (call.x_vector == 4) {
        simt::CopyAsync<4>(place, from + j, j < count);
      } else {
        const std::uint32_t low = j < count ? at(j) : 0;
        const std::uint32_t high = j + 1 < count ? at(j + 1) : 0;
        simt::StoreShared(reinterpret_cast<std::uint32_t*>(place),
                          low | high << 16);
      }
    }
  }
}

// Both loaders: a thread copies the same chunk of every kLines-th line, so what
// it computes in front of the loop over slabs is nearly all there is to
// compute.
template <unsigned kPositions, unsigned kThreads>
class TokensLoader {
 public:
  SPA_DEVICE TokensLoader(const Call& call, const Origin& origin)
      : chunk_(simt::ThreadX() % kChunks) {
    const unsigned line = simt::ThreadX() / kChunks;
    const std::uint64_t position = origin.position + line;
    from_ = call.x + position * call.weight.columns;
    place_ = (line * kChunks + SwizzledChunk(line, chunk_)) * kChunkBytes;
    const std::uint64_t left =
        position < call.positions ? call.positions - position : 0;
    lines_ = left < kPositions ? static_cast<unsigned>(left) : kPositions;
  }

  template <class Slabs>
  SPA_DEVICE void Load(const Call& call, const Slabs& slabs, std::uint32_t slab,
                       unsigned char* to) const {
    const std::uint32_t step = slab * kSlabSteps + chunk_ / 2;
    const std::uint32_t columns = call.weight.columns;
    const std::uint64_t column = step < slabs.steps()
                                     ? slabs.Column(step) + chunk_ % 2 * kChunk
                                     : columns;
    const std::uint16_t* from = from_ + column;
    const std::uint64_t next = std::uint64_t{kLines} * columns;
    if (call.x_vector == kChunkBytes) {
      const unsigned lines = column < columns ? lines_ : 0;
      SPA_UNROLL
      for (unsigned i = 0; i < kPositions; i += kLines, from += next) {
        simt::CopyAsync<kChunkBytes>(to + place_ + i * kLineBytes, from,
                                     i < lines);
      }
      return;
    }
    const unsigned count = UpToChunk(column, columns);
    SPA_ROLLED
    for (unsigned i = 0; i < kPositions; i += kLines, from += next) {
      CopyPieces(call, to + place_ + i * kLineBytes, from,
                 i < lines_ ? count : 0, [&](unsigned j) { return from[j]; });
    }
  }

 private:
  static constexpr unsigned kChunks = kSlab / kChunk;
  static constexpr unsigned kLineBytes = kChunks * kChunkBytes;
  static constexpr unsigned kLines = kThreads / kChunks;  // at a time
  static_assert(kLines % 8 == 0, "or chunks would change places with lines");

  const unsigned chunk_;
  const std::uint16_t* from_;
  unsigned place_;
  unsigned lines_;  // from the thread's first one on that exist
};

// Where a pixel of Y looks at in its channel of X.
SPA_DEVICE std::uint64_t PixelOffset(const Pixels& pixels,
                                     std::uint64_t position) {
  const std::uint64_t y = position / pixels.width, x = position % pixels.width;
  return y * pixels.stride_y * pixels.x_width + x * pixels.stride_x;
}

template <unsigned kPositions, unsigned kThreads>
class PlanesLoader {
 public:
  SPA_DEVICE PlanesLoader(const Call& call, const Origin& origin)
      : line_(simt::ThreadX() / kChunks) {
    const unsigned chunk = simt::ThreadX() % kChunks;
    position_ = origin.position + chunk * kChunk;
    count_ = UpToChunk(position_, call.positions);
    from_ = call.x + origin.image * call.weight.columns * call.x_plane;
    place_ = (line_ * kChunks + SwizzledChunk(line_, chunk)) * kChunkBytes;
  }

  template <class Slabs>
  SPA_DEVICE void Load(const Call& call, const Slabs& slabs, std::uint32_t slab,
                       unsigned char* to) const {
    if (call.x_vector == kChunkBytes) {
      SPA_UNROLL
      for (unsigned i = 0; i < kSlab; i += kLines) {
        const std::uint64_t column = ColumnOf(call, slabs, slab, line_ + i);
        simt::CopyAsync<kChunkBytes>(
            to + place_ + i * kLineBytes,
            from_ + column * call.x_plane + position_,
            column < call.weight.columns && count_ != 0);
      }
      return;
    }
    SPA_ROLLED
    for (unsigned i = 0; i < kSlab; i += kLines) {
      const std::uint64_t column = ColumnOf(call, slabs, slab, line_ + i);
      const std::uint16_t* plane = from_ + column * call.x_plane;
      CopyPieces(call, to + place_ + i * kLineBytes, plane + position_,
                 column < call.weight.columns ? count_ : 0, [&](unsigned j) {
                   return plane[PixelOffset(call.pixels, position_ + j)];
                 });
    }
  }

 private:
  static constexpr unsigned kChunks = kPositions / kChunk;
  static constexpr unsigned kLineBytes = kChunks * kChunkBytes;
  static constexpr unsigned kLines = kThreads / kChunks;  // at a time
  static_assert(kLines % 8 == 0, "or chunks would change places with lines");

  // The column of a line of a slab, or one behind the last.
  template <class Slabs>
  SPA_DEVICE static std::uint64_t ColumnOf(const Call& call, const Slabs& slabs,
                                           std::uint32_t slab, unsigned line) {
    const std::uint32_t step = slab * kSlabSteps + line / kStep;
    return step < slabs.steps() ? slabs.Column(step) + line % kStep
                                : call.weight.columns;
  }

  const unsigned line_;
  std::uint64_t position_;
  unsigned count_;  // of positions that exist in the chunk
  const std::uint16_t* from_;
  unsigned place_;
};

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
