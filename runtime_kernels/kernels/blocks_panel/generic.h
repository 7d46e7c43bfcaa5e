// The loop nest of blocks_panel, templated on the vector width. Everything is
// `static`; see support/vectors.h.

#ifndef SPA_KERNELS_BLOCKS_PANEL_GENERIC_H_
#define SPA_KERNELS_BLOCKS_PANEL_GENERIC_H_

#include "kernels/blocks_panel/blocks_panel.h"
#include "kernels/packed/view.h"
#include "support/halves.h"

namespace spa {

// Blocks in flight, each with sums of its own, so that enough FMAs are
// independent to hide their 4 cycles on 2 ports.
template <std::size_t kRows, std::size_t kVectors>
constexpr std::size_t kInFlight = kRows * kVectors >= 7   ? 1
                                  : kRows * kVectors >= 4 ? 2
                                  : kRows * kVectors == 3 ? 3
                                  : kRows * kVectors == 2 ? 4
                                                          : 8;

// sums += W[rows of one block, column] X[column, positions].
template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void AddBlock(const char* column, const unsigned char* values,
                         Vector<kWidth> (&sums)[kRows][kVectors]) {
  Vector<kWidth> x[kVectors];
  SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
    Load<kWidth>(x[k], column + k * kWidth * sizeof(float));
  }
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    const Vector<kWidth> value =
        Vector<kWidth>{} + FloatAt(values + r * sizeof(float));
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      sums[r][k] += value * x[k];
    }
  }
}

// kStride: rows of a stored block, of which kRows are multiplied here.
template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors>
SPA_INLINE void AddBlocks(const char* panel, const std::int32_t* offsets,
                          const unsigned char* values, std::size_t count,
                          Vector<kWidth> (&sums)[kRows][kVectors]) {
  constexpr std::size_t kApart = kInFlight<kRows, kVectors>;
  constexpr std::size_t kBlock = kStride * sizeof(float);
  if constexpr (kApart == 1) {
    for (std::size_t j = 0; j < count; ++j) {
      AddBlock<kWidth>(panel + offsets[j], values + j * kBlock, sums);
    }
  } else {
    Vector<kWidth> apart[kApart][kRows][kVectors];
    SPA_UNROLL for (std::size_t i = 0; i < kApart; ++i) {
      SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
        SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
          apart[i][r][k] = Vector<kWidth>{};
        }
      }
    }
    std::size_t j = 0;
    for (; j + kApart <= count; j += kApart) {
      SPA_UNROLL for (std::size_t i = 0; i < kApart; ++i) {
        AddBlock<kWidth>(panel + offsets[j + i], values + (j + i) * kBlock,
                         apart[i]);
      }
    }
    for (; j < count; ++j) {
      AddBlock<kWidth>(panel + offsets[j], values + j * kBlock, apart[0]);
    }
    SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
      SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
        SPA_UNROLL for (std::size_t i = 0; i < kApart; ++i) {
          sums[r][k] += apart[i][r][k];
        }
      }
    }
  }
}

// Halves are widened a run at a time, once for all vectors of positions.
template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors>
SPA_INLINE void AddHalfBlocks(const char* panel, const std::int32_t* offsets,
                              const unsigned char* values, std::size_t count,
                              Vector<kWidth> (&sums)[kRows][kVectors]) {
  constexpr std::size_t kRun = 64;
  alignas(64) unsigned char wide[kRun * kRows * sizeof(float)];
  for (std::size_t j = 0; j < count; j += kRun) {
    const std::size_t run = count - j < kRun ? count - j : kRun;
    for (std::size_t i = 0; i < run; ++i) {
      for (std::size_t r = 0; r < kRows; ++r) {
        const float value = WidenedHalf(values + ((j + i) * kStride + r) * 2);
        std::memcpy(wide + (i * kRows + r) * sizeof(float), &value,
                    sizeof(value));
      }
    }
    AddBlocks<kWidth, kRows>(panel, offsets + j, wide, run, sums);
  }
}

template <std::size_t kWidth, std::size_t kVectors>
SPA_INLINE void FetchNext(const PanelCall& call, std::size_t& done,
                          std::size_t each) {
  const std::size_t end =
      call.next.count - done < each ? call.next.count : done + each;
  for (; done < end; ++done) {
    const char* row = call.next.rows + done * call.next.stride;
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      __builtin_prefetch(row + k * kWidth * sizeof(float), 0, 2);
    }
  }
}

// Row blocks far enough ahead that their lines arrive in time.
template <std::size_t kRows>
constexpr std::size_t kFetchAhead = kRows >= 8 ? 1 : kRows >= 4 ? 2 : 8;

template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void FetchY(const PanelCall& call, std::size_t block) {
  const std::size_t ahead = block + kFetchAhead<kRows>;
  if (ahead >= call.end_block) return;
  const float* y =
      call.y + (ahead - call.first_block) * kRows * call.y_stride;
  for (std::size_t r = 0; r < kRows; ++r) {
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      __builtin_prefetch(y + r * call.y_stride + k * kWidth, 1, 3);
    }
  }
}

// What the sums of rows [row, row + kRows) start from.
template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void StartSums(const PanelCall& call, std::size_t row,
                          std::size_t rows,
                          Vector<kWidth> (&sums)[kRows][kVectors]) {
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    const float bias = call.is_first && call.bias != nullptr && r < rows
                           ? call.bias[row + r]
                           : 0.0f;
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      sums[r][k] = Vector<kWidth>{} + bias;
    }
  }
  if (call.is_first) return;
  const std::size_t base = call.first_block * call.weight->block_rows;
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    const float* y = call.y + (row - base + r) * call.y_stride;
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      const std::size_t p = k * kWidth;
      if (r < rows) {
        LoadSome<kWidth>(sums[r][k], y + p,
                         call.positions > p ? call.positions - p : 0);
      }
    }
  }
}

template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void EndSums(const PanelCall& call, std::size_t row,
                        std::size_t rows,
                        Vector<kWidth> (&sums)[kRows][kVectors]) {
  const std::size_t base = call.first_block * call.weight->block_rows;
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    const std::size_t place = (row - base + r) * call.y_stride;
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      const std::size_t p = k * kWidth;
      const std::size_t left =
          r < rows && call.positions > p ? call.positions - p : 0;
      Vector<kWidth> sum = sums[r][k];
      if (call.is_last) {
        if (call.residual != nullptr) {
          Vector<kWidth> other;
          LoadSome<kWidth>(other, call.residual + place + p, left);
          sum += other;
        }
        sum = Activate<kWidth>(sum, *call.epilogue);
      }
      StoreSome<kWidth>(sum, call.y + place + p, left);
    }
  }
}

template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors, typename Values>
static void MultiplyTile(const PanelCall& call) {
  const Packed& weight = *call.weight;
  const unsigned char* starts =
      weight.starts + call.chunk * (RowBlocks(weight) + 1) * 4;
  const std::size_t blocks = call.end_block - call.first_block;
  const std::size_t each = (call.next.count + blocks - 1) / blocks;
  const char* panel = call.panel - call.panel_start;
  std::size_t fetched = 0;
  for (std::size_t b = call.first_block; b < call.end_block; ++b) {
    FetchNext<kWidth, kVectors>(call, fetched, each);
    const std::size_t from = StartAt(starts, b);
    const std::size_t count = StartAt(starts, b + 1) - from;
    if (count == 0 && !call.is_first && !call.is_last) continue;
    if (call.fetches_y) FetchY<kWidth, kStride, kVectors>(call, b);
    for (std::size_t part = 0; part < kStride; part += kRows) {
      const std::size_t row = b * kStride + part;
      if (row >= weight.rows) break;
      const std::size_t left = weight.rows - row;
      const std::size_t rows = left < kRows ? left : kRows;
      Vector<kWidth> sums[kRows][kVectors];
      StartSums<kWidth>(call, row, rows, sums);
      const unsigned char* values =
          weight.values + (from * kStride + part) * Values::kSize;
      if constexpr (Values::kSize == sizeof(float)) {
        AddBlocks<kWidth, kStride>(panel, call.offsets + from, values,
                                   count, sums);
      } else {
        AddHalfBlocks<kWidth, kStride>(panel, call.offsets + from, values,
                                       count, sums);
      }
      EndSums<kWidth>(call, row, rows, sums);
    }
  }
}

template <typename Isa, std::size_t kStride, typename Values>
static void MultiplyRows(const PanelCall& call) {
  constexpr std::size_t kWidth = Isa::kWidth;
  constexpr std::size_t kRows =
      kStride < Isa::kMostPanelRows ? kStride : Isa::kMostPanelRows;
  constexpr std::size_t kMost = Isa::PanelVectors(kStride);
  switch (call.vectors) {
#define SPA_VECTORS(count)                                         \
  case count:                                                      \
    if constexpr (count <= kMost) {                                \
      MultiplyTile<kWidth, kStride, kRows, count, Values>(call);   \
    }                                                              \
    break;
    SPA_VECTORS(1)
    SPA_VECTORS(2)
    SPA_VECTORS(3)
    SPA_VECTORS(4)
    SPA_VECTORS(5)
    SPA_VECTORS(6)
    SPA_VECTORS(7)
    SPA_VECTORS(8)
#undef SPA_VECTORS
  }
}

template <typename Isa, typename Values>
static void MultiplyBlocksOf(const PanelCall& call) {
  switch (call.weight->block_rows) {
    case 1:
      return MultiplyRows<Isa, 1, Values>(call);
    case 2:
      return MultiplyRows<Isa, 2, Values>(call);
    case 4:
      return MultiplyRows<Isa, 4, Values>(call);
    case 8:
      return MultiplyRows<Isa, 8, Values>(call);
    case 16:
      return MultiplyRows<Isa, 16, Values>(call);
    default:
      return MultiplyRows<Isa, 32, Values>(call);
  }
}

template <typename Isa>
static void MultiplyBlocks(const PanelCall& call) {
  if (call.weight->value_type == ValueType::kFloat32) {
    MultiplyBlocksOf<Isa, Float32Values>(call);
  } else {
    MultiplyBlocksOf<Isa, Float16Values>(call);
  }
}

// `Isa` has kWidth, floats in a vector; PanelVectors(block rows), vectors of a
// tile so that sums and inputs fit the registers; kMostPanelRows, rows of a
// block that are multiplied together.
template <typename Isa>
static constexpr BlocksPanelKernel MakeBlocksPanel() {
  return {Isa::kWidth,
          {Isa::PanelVectors(1), Isa::PanelVectors(2), Isa::PanelVectors(4),
           Isa::PanelVectors(8), Isa::PanelVectors(16), Isa::PanelVectors(32)},
          MultiplyBlocks<Isa>};
}

}  // namespace spa

#endif  // SPA_KERNELS_BLOCKS_PANEL_GENERIC_H_
