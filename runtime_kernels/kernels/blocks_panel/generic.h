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
constexpr std::size_t kInFlight = kRows * kVectors >= 5   ? 1
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
        Spread<kWidth>(FloatAt(values + r * sizeof(float)));
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
          apart[i][r][k] = i == 0 ? sums[r][k] : Vector<kWidth>{};
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
        sums[r][k] = apart[0][r][k];
        SPA_UNROLL for (std::size_t i = 1; i < kApart; ++i) {
          sums[r][k] += apart[i][r][k];
        }
      }
    }
  }
}

// Halves are widened a run of blocks at a time, once for all positions.
constexpr std::size_t kHalfRun = 64;

template <std::size_t kWidth>
static void Widen(const unsigned char* halves, std::size_t count,
                  unsigned char* floats) {
  std::size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    Vector<kWidth> wide;
    LoadHalves<kWidth>(wide, halves + 2 * i);
    Store<kWidth>(wide, floats + 4 * i);
  }
  for (; i < count; ++i) {
    const float wide = WidenedHalf(halves + 2 * i);
    std::memcpy(floats + 4 * i, &wide, sizeof(wide));
  }
}

// All stored blocks of a row block within the chunk.
template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors>
SPA_INLINE void AddRowBlock(const PanelCall& call, const Packed& weight,
                            std::size_t from, std::size_t end, std::size_t part,
                            Vector<kWidth> (&sums)[kRows][kVectors]) {
  const bool is_half = weight.value_type == ValueType::kFloat16;
  alignas(64) unsigned char wide[kHalfRun * kStride * sizeof(float)];
  while (from < end) {
    const unsigned char* values =
        weight.values + from * kStride * sizeof(float);
    std::size_t run = end - from;
    if (is_half) {
      if (run > kHalfRun) run = kHalfRun;
      Widen<kWidth>(weight.values + from * kStride * 2, run * kStride, wide);
      values = wide;
    }
    AddBlocks<kWidth, kStride>(call.panel, call.offsets + from,
                               values + part * sizeof(float), run, sums);
    from += run;
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
constexpr std::size_t kFetchAhead = kRows >= 8   ? 1
                                    : kRows >= 4 ? 2
                                                 : 8;

template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void FetchY(const PanelCall& call, std::size_t block) {
  const std::size_t ahead = block + kFetchAhead<kRows>;
  if (ahead >= call.end_block) return;
  const float* y = call.y + (ahead - call.first_block) * kRows * call.y_stride;
  for (std::size_t r = 0; r < kRows; ++r) {
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      __builtin_prefetch(y + r * call.y_stride + k * kWidth, 1, 3);
    }
  }
}

template <std::size_t kWidth>
SPA_INLINE std::size_t LanesLeft(const PanelCall& call, std::size_t vector) {
  const std::size_t before = vector * kWidth;
  return call.positions > before ? call.positions - before : 0;
}

// sums += the block's floats at `from`, which is Y's base or the residual's.
template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void AddFrom(const PanelCall& call, const float* from,
                        std::size_t rows, bool is_whole,
                        Vector<kWidth> (&sums)[kRows][kVectors]) {
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      const float* at = from + r * call.y_stride + k * kWidth;
      Vector<kWidth> other{};
      if (is_whole) {
        Load<kWidth>(other, at);
      } else if (r < rows) {
        LoadSome<kWidth>(other, at, LanesLeft<kWidth>(call, k));
      }
      sums[r][k] += other;
    }
  }
}

// What the sums of rows [row, row + kRows) start from; `y` is their place.
template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void StartSums(const PanelCall& call, const float* y,
                          std::size_t row, std::size_t rows, bool is_whole,
                          Vector<kWidth> (&sums)[kRows][kVectors]) {
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    const bool has_bias = call.is_first && call.bias != nullptr && r < rows;
    const float bias = has_bias ? call.bias[row + r] : 0.0f;
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      sums[r][k] = Spread<kWidth>(bias);
    }
  }
  if (!call.is_first) AddFrom<kWidth>(call, y, rows, is_whole, sums);
}

// `Apply` of every vector, as straight code.
template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors,
          typename Apply>
SPA_INLINE void ForEachSum(Vector<kWidth> (&sums)[kRows][kVectors],
                           const Apply& apply) {
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      sums[r][k] = apply(sums[r][k]);
    }
  }
}

template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void ActivateSums(const Epilogue& epilogue,
                             Vector<kWidth> (&sums)[kRows][kVectors]) {
  using V = Vector<kWidth>;
  switch (epilogue.activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      return ForEachSum<kWidth>(sums, [](V x) { return x < V{} ? V{} : x; });
    case Activation::kClip:
      return ForEachSum<kWidth>(sums, [&](V x) {
        return ClipTo<kWidth>(x, epilogue.low, epilogue.high);
      });
    default:
      return ForEachSum<kWidth>(
          sums, [&](V x) { return ActivateSlowly<kWidth>(x, epilogue); });
  }
}

template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void EndSums(const PanelCall& call, std::size_t place,
                        std::size_t rows, bool is_whole,
                        Vector<kWidth> (&sums)[kRows][kVectors]) {
  if (call.is_last) {
    if (call.residual != nullptr) {
      AddFrom<kWidth>(call, call.residual + place, rows, is_whole, sums);
    }
    ActivateSums<kWidth>(*call.epilogue, sums);
  }
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      float* at = call.y + place + r * call.y_stride + k * kWidth;
      if (is_whole) {
        Store<kWidth>(sums[r][k], at);
      } else if (r < rows) {
        StoreSome<kWidth>(sums[r][k], at, LanesLeft<kWidth>(call, k));
      }
    }
  }
}

template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors>
static void MultiplyTile(const PanelCall& given) {
  // Copies, since stores of sums might change anything behind a reference.
  const PanelCall call = given;
  const Packed weight = *given.weight;
  const unsigned char* starts =
      weight.starts + call.chunk * (RowBlocks(weight) + 1) * 4;
  const std::size_t blocks = call.end_block - call.first_block;
  const std::size_t each = (call.next.count + blocks - 1) / blocks;
  std::size_t fetched = 0;
  for (std::size_t b = call.first_block; b < call.end_block; ++b) {
    FetchNext<kWidth, kVectors>(call, fetched, each);
    const std::size_t from = StartAt(starts, b);
    const std::size_t end = StartAt(starts, b + 1);
    if (from == end && !call.is_first && !call.is_last) continue;
    if (call.fetches_y) FetchY<kWidth, kStride, kVectors>(call, b);
    for (std::size_t part = 0; part < kStride; part += kRows) {
      const std::size_t row = b * kStride + part;
      if (row >= weight.rows) break;
      const std::size_t left = weight.rows - row;
      const std::size_t rows = left < kRows ? left : kRows;
      const std::size_t place =
          ((b - call.first_block) * kStride + part) * call.y_stride;
      const bool is_whole =
          rows == kRows && call.positions == kVectors * kWidth;
      Vector<kWidth> sums[kRows][kVectors];
      StartSums<kWidth>(call, call.y + place, row, rows, is_whole, sums);
      AddRowBlock<kWidth, kStride>(call, weight, from, end, part, sums);
      EndSums<kWidth>(call, place, rows, is_whole, sums);
    }
  }
}

template <typename Isa, std::size_t kStride>
static void MultiplyRows(const PanelCall& call) {
  constexpr std::size_t kWidth = Isa::kWidth;
  constexpr std::size_t kRows =
      kStride < Isa::kMostPanelRows ? kStride : Isa::kMostPanelRows;
  constexpr std::size_t kMost = Isa::PanelVectors(kStride);
  switch (call.vectors) {
#define SPA_VECTORS(count)                               \
  case count:                                            \
    if constexpr (count <= kMost) {                      \
      MultiplyTile<kWidth, kStride, kRows, count>(call); \
    }                                                    \
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

template <typename Isa>
static void MultiplyBlocks(const PanelCall& call) {
  switch (call.weight->block_rows) {
    case 1:
      return MultiplyRows<Isa, 1>(call);
    case 2:
      return MultiplyRows<Isa, 2>(call);
    case 4:
      return MultiplyRows<Isa, 4>(call);
    case 8:
      return MultiplyRows<Isa, 8>(call);
    case 16:
      return MultiplyRows<Isa, 16>(call);
    default:
      return MultiplyRows<Isa, 32>(call);
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
