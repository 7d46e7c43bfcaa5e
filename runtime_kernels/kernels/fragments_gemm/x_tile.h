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

// Up to eight numbers that follow one another, zeros behind them, in pieces of
// 8 or 4 bytes as they lie.
SPA_DEVICE void CopyPieces(const Call& call, unsigned char* to,
                           const std::uint16_t* from, unsigned count) {
  SPA_ROLLED
  for (unsigned i = 0; i < kChunk; i += 4) {
    if (call.x_vector == 8) {
      simt::CopyAsync<8>(to + 2 * i, from + i, i < count);
      continue;
    }
    simt::CopyAsync<4>(to + 2 * i, from + i, i < count);
    simt::CopyAsync<4>(to + 2 * i + 4, from + i + 2, i + 2 < count);
  }
}

// Up to eight numbers, zeros behind them, each from its own place. All reads
// begin before anything waits for one.
SPA_DEVICE void CopySingly(unsigned char* to, const std::uint16_t* base,
                           const std::uint64_t (&offsets)[kChunk],
                           unsigned count) {
  std::uint32_t numbers[kChunk];
  SPA_UNROLL
  for (unsigned i = 0; i < kChunk; ++i) {
    numbers[i] = i < count ? base[offsets[i]] : 0;
  }
  simt::Words4 words;
  SPA_UNROLL
  for (unsigned i = 0; i < 4; ++i) {
    words.word[i] = numbers[2 * i] | numbers[2 * i + 1] << 16;
  }
  simt::StoreShared(reinterpret_cast<simt::Words4*>(to), words);
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
    constexpr std::uint64_t kInOrder[kChunk] = {0, 1, 2, 3, 4, 5, 6, 7};
    SPA_ROLLED
    for (unsigned i = 0; i < kPositions; i += kLines, from += next) {
      const unsigned here = i < lines_ ? count : 0;
      if (call.x_vector > 2) {
        CopyPieces(call, to + place_ + i * kLineBytes, from, here);
      } else {
        CopySingly(to + place_ + i * kLineBytes, from, kInOrder, here);
      }
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

// Where neighbouring pixels of Y look at in a channel of X.
class PixelOffsets {
 public:
  SPA_DEVICE PixelOffsets(const Pixels& pixels, std::uint64_t position)
      : left_(pixels.width -
              static_cast<std::uint32_t>(position % pixels.width)),
        first_(position / pixels.width * pixels.stride_y * pixels.x_width +
               position % pixels.width * pixels.stride_x) {}

  SPA_DEVICE void Fill(const Pixels& pixels,
                       std::uint64_t (&offsets)[kChunk]) const {
    // From the last pixel of a line to the first of the next.
    const std::uint64_t step =
        std::uint64_t{pixels.stride_y} * pixels.x_width -
        std::uint64_t{pixels.width - 1} * pixels.stride_x;
    std::uint64_t offset = first_;
    std::uint32_t left = left_;
    SPA_UNROLL
    for (unsigned i = 0; i < kChunk; ++i) {
      offsets[i] = offset;
      const bool is_last = --left == 0;
      offset += is_last ? step : pixels.stride_x;
      if (is_last) left = pixels.width;
    }
  }

 private:
  std::uint32_t left_;  // pixels of the line, this one counted
  std::uint64_t first_;
};

template <unsigned kPositions, unsigned kThreads>
class PlanesLoader {
 public:
  SPA_DEVICE PlanesLoader(const Call& call, const Origin& origin)
      : line_(simt::ThreadX() / kChunks),
        position_(origin.position + simt::ThreadX() % kChunks * kChunk),
        count_(UpToChunk(position_, call.positions)),
        offsets_(call.pixels, position_) {
    const unsigned chunk = simt::ThreadX() % kChunks;
    from_ = call.x + origin.image * call.weight.columns * call.x_plane;
    place_ = (line_ * kChunks + SwizzledChunk(line_, chunk)) * kChunkBytes;
  }

  template <class Slabs>
  SPA_DEVICE void Load(const Call& call, const Slabs& slabs, std::uint32_t slab,
                       unsigned char* to) const {
    std::uint32_t columns[kSlabSteps];
    ColumnsOf(call, slabs, slab, columns);
    if (call.x_vector == kChunkBytes) {
      SPA_UNROLL
      for (unsigned i = 0; i < kSlab; i += kLines) {
        const std::uint64_t column = columns[i / kStep] + InStep(i);
        simt::CopyAsync<kChunkBytes>(
            to + place_ + i * kLineBytes,
            from_ + column * call.x_plane + position_,
            column < call.weight.columns && count_ != 0);
      }
      return;
    }
    std::uint64_t offsets[kChunk];
    offsets_.Fill(call.pixels, offsets);
    SPA_UNROLL
    for (unsigned s = 0; s < kSlabSteps; ++s) {
      SPA_ROLLED
      for (unsigned i = s * kStep; i < (s + 1) * kStep; i += kLines) {
        const std::uint64_t column = columns[s] + InStep(i);
        const std::uint16_t* plane = from_ + column * call.x_plane;
        const unsigned here = column < call.weight.columns ? count_ : 0;
        if (call.x_vector > 2) {
          CopyPieces(call, to + place_ + i * kLineBytes, plane + position_,
                     here);
        } else {
          CopySingly(to + place_ + i * kLineBytes, plane, offsets, here);
        }
      }
    }
  }

 private:
  static constexpr unsigned kChunks = kPositions / kChunk;
  static constexpr unsigned kLineBytes = kChunks * kChunkBytes;
  static constexpr unsigned kLines = kThreads / kChunks;  // at a time
  static_assert(kLines % 8 == 0, "or chunks would change places with lines");

  static_assert(kLines <= kStep, "a thread's line i lies in step i / kStep");

  SPA_DEVICE unsigned InStep(unsigned i) const { return line_ + i % kStep; }

  // The first columns of the steps of a slab, or one behind the last column.
  // All are asked for before anything waits for one.
  template <class Slabs>
  SPA_DEVICE static void ColumnsOf(const Call& call, const Slabs& slabs,
                                   std::uint32_t slab,
                                   std::uint32_t (&columns)[kSlabSteps]) {
    const std::uint32_t last = slabs.steps() - 1;
    SPA_UNROLL
    for (unsigned s = 0; s < kSlabSteps; ++s) {
      const std::uint32_t step = slab * kSlabSteps + s;
      columns[s] = slabs.Column(step < last ? step : last);
    }
    SPA_UNROLL
    for (unsigned s = 0; s < kSlabSteps; ++s) {
      if (slab * kSlabSteps + s > last) columns[s] = call.weight.columns;
    }
  }

  const unsigned line_;
  const std::uint64_t position_;
  const unsigned count_;  // of positions that exist in the chunk
  const PixelOffsets offsets_;
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
