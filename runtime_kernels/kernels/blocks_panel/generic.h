// The loops of blocks_panel around single row blocks, templated on the vector
// width. Everything is `static`; see support/vectors.h.

#ifndef SPA_KERNELS_BLOCKS_PANEL_GENERIC_H_
#define SPA_KERNELS_BLOCKS_PANEL_GENERIC_H_

#include "kernels/blocks_panel/blocks_panel.h"
#include "kernels/blocks_panel/row_block.h"
#include "kernels/packed/view.h"
#include "support/halves.h"

namespace spa {

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

// As MultiplyRowBlock, not in line.
template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors>
static __attribute__((noinline)) void MultiplyOneRowBlock(
    const char* panel, const std::int32_t* offsets, const unsigned char* values,
    std::size_t count, float* y, std::size_t stride, std::size_t last_lanes,
    const Start& start, const Epilogue* epilogue) {
  MultiplyRowBlock<kWidth, kStride, kRows, kVectors>(
      panel, offsets, values, count, y, stride, last_lanes, start, epilogue);
}

// As MultiplyRowBlock, for rows `part` on of the row block.
template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors>
static void MultiplyHalves(const PanelCall& call, std::size_t from,
                           std::size_t end, std::size_t part, float* y,
                           std::size_t stride, std::size_t last_lanes,
                           Start start, const Epilogue* epilogue) {
  alignas(64) unsigned char wide[kHalfRun * kStride * sizeof(float)];
  do {
    const std::size_t run = end - from < kHalfRun ? end - from : kHalfRun;
    Widen<kWidth>(call.weight->values + from * kStride * 2, run * kStride,
                  wide);
    MultiplyOneRowBlock<kWidth, kStride, kRows, kVectors>(
        call.panel, call.offsets + from, wide + part * sizeof(float), run, y,
        stride, last_lanes, start, from + run == end ? epilogue : nullptr);
    start = {};
    from += run;
  } while (from < end);
}

template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors>
SPA_INLINE void MultiplyValues(const PanelCall& call, std::size_t from,
                               std::size_t end, std::size_t part, float* y,
                               std::size_t stride, const Start& start,
                               const Epilogue* epilogue) {
  const std::size_t last_lanes = call.positions - (kVectors - 1) * kWidth;
  if (call.weight->value_type == ValueType::kFloat16) {
    MultiplyHalves<kWidth, kStride, kRows, kVectors>(
        call, from, end, part, y, stride, last_lanes, start, epilogue);
    return;
  }
  MultiplyOneRowBlock<kWidth, kStride, kRows, kVectors>(
      call.panel, call.offsets + from,
      call.weight->values + (from * kStride + part) * sizeof(float), end - from,
      y, stride, last_lanes, start, epilogue);
}

// A last row block with fewer rows than a block: a whole one beside Y.
template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors>
static void MultiplyLastRows(const PanelCall& call, std::size_t from,
                             std::size_t end, std::size_t part, float* y,
                             std::size_t rows, const Start& start,
                             const Epilogue* epilogue) {
  constexpr std::size_t kLanes = kVectors * kWidth;
  const std::size_t bytes = call.positions * sizeof(float);
  alignas(64) float whole[kRows * kLanes] = {};
  alignas(64) float residual[kRows * kLanes] = {};
  float biases[kRows] = {};
  for (std::size_t r = 0; r < rows; ++r) {
    if (start.bias != nullptr) {
      biases[r] = start.bias[r];
    } else {
      std::memcpy(whole + r * kLanes, y + r * call.y_stride, bytes);
    }
    if (start.residual != nullptr) {
      std::memcpy(residual + r * kLanes, start.residual + r * call.y_stride,
                  bytes);
    }
  }
  const Start beside{start.bias == nullptr ? nullptr : biases,
                     start.residual == nullptr ? nullptr : residual};
  MultiplyValues<kWidth, kStride, kRows, kVectors>(call, from, end, part, whole,
                                                   kLanes, beside, epilogue);
  for (std::size_t r = 0; r < rows; ++r) {
    std::memcpy(y + r * call.y_stride, whole + r * kLanes, bytes);
  }
}

// The next rows of a fetch, an even share of them for each row block.
template <std::size_t kBytes, bool kForWriting>
struct Fetcher {
  Fetcher(const Fetch& fetch, std::size_t blocks)
      : next(static_cast<const char*>(fetch.rows)),
        stride(fetch.stride),
        left(fetch.count),
        each((fetch.count + blocks - 1) / blocks) {}

  __attribute__((always_inline)) void Step() {
    for (std::size_t i = 0; i < each && left > 0; ++i, --left) {
      SPA_UNROLL for (std::size_t k = 0; k < kBytes; k += 64) {
        __builtin_prefetch(next + k, kForWriting, kForWriting ? 3 : 2);
      }
      next += stride;
    }
  }

  const char* next;
  const std::size_t stride;
  std::size_t left;
  const std::size_t each;
};

// Where sums start without a bias.
constexpr float kNoBias[kMostBlockRows] = {};

// Of the row block that begins with `row`, `place` floats into Y.
SPA_INLINE Start StartOf(const PanelCall& call, std::size_t row,
                         std::size_t place) {
  if (!call.is_first) return {};
  return {call.bias == nullptr ? kNoBias : call.bias + row,
          call.residual == nullptr ? nullptr : call.residual + place};
}

// One row block, kRows of its rows at a time.
template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors>
SPA_INLINE void MultiplyParts(const PanelCall& call, std::size_t b,
                              std::size_t from, std::size_t end) {
  const Epilogue* epilogue = call.is_last ? call.epilogue : nullptr;
  for (std::size_t part = 0; part < kStride; part += kRows) {
    const std::size_t row = b * kStride + part;
    if (row >= call.weight->rows) return;
    const std::size_t left = call.weight->rows - row;
    const std::size_t place =
        ((b - call.first_block) * kStride + part) * call.y_stride;
    const Start start = StartOf(call, row, place);
    float* y = call.y + place;
    if (left >= kRows) {
      MultiplyValues<kWidth, kStride, kRows, kVectors>(
          call, from, end, part, y, call.y_stride, start, epilogue);
    } else {
      MultiplyLastRows<kWidth, kStride, kRows, kVectors>(
          call, from, end, part, y, left, start, epilogue);
    }
  }
}

// kAndOne: the last vector has one position.
template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors, bool kAndOne>
static void MultiplyTile(const PanelCall& call) {
  const unsigned char* starts =
      call.weight->starts + call.chunk * (RowBlocks(*call.weight) + 1) * 4;
  const std::size_t blocks = call.end_block - call.first_block;
  constexpr std::size_t kBytes = kVectors * kWidth * sizeof(float);
  Fetcher<kBytes, false> copied(call.copied, blocks);
  Fetcher<kBytes, false> residuals(call.residuals[0], blocks);
  Fetcher<kBytes, false> next_residuals(call.residuals[1], blocks);
  Fetcher<kBytes, true> written(call.written[0], blocks);
  Fetcher<kBytes, true> next_written(call.written[1], blocks);
  const std::size_t last_lanes = call.positions - (kVectors - 1) * kWidth;
  const Epilogue* epilogue = call.is_last ? call.epilogue : nullptr;
  // Row blocks that the loop itself multiplies: a call for each would show.
  const std::size_t whole = call.weight->value_type == ValueType::kFloat32
                                ? call.weight->rows / kStride
                                : 0;
  for (std::size_t b = call.first_block; b < call.end_block; ++b) {
    const std::size_t from = StartAt(starts, b), end = StartAt(starts, b + 1);
    copied.Step();
    residuals.Step();
    next_residuals.Step();
    written.Step();
    next_written.Step();
    if (from == end && !call.is_first && !call.is_last) continue;
    if constexpr (kRows == kStride) {
      if (b < whole) {
        const std::size_t place =
            (b - call.first_block) * kRows * call.y_stride;
        const Start start = StartOf(call, b * kRows, place);
        const std::int32_t* offsets = call.offsets + from;
        const unsigned char* values =
            call.weight->values + from * kRows * sizeof(float);
        float* y = call.y + place;
        if constexpr (kAndOne) {
          MultiplyRowBlockAndOne<kWidth, kRows, kVectors - 1>(
              call.panel, offsets, values, end - from, y, call.y_stride, start,
              epilogue);
        } else {
          MultiplyRowBlock<kWidth, kRows, kRows, kVectors>(
              call.panel, offsets, values, end - from, y, call.y_stride,
              last_lanes, start, epilogue);
        }
        continue;
      }
    }
    MultiplyParts<kWidth, kStride, kRows, kVectors>(call, b, from, end);
  }
}

template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors>
static void MultiplyVectors(const PanelCall& call) {
  constexpr std::size_t kWhole = kVectors - 1;
  if constexpr (kWhole > 0 && kRows == kStride &&
                kTakesOneMore<kRows, kWhole>) {
    if (call.positions == kWhole * kWidth + 1) {
      MultiplyTile<kWidth, kStride, kRows, kVectors, true>(call);
      return;
    }
  }
  MultiplyTile<kWidth, kStride, kRows, kVectors, false>(call);
}

template <typename Isa, std::size_t kStride>
static void MultiplyRows(const PanelCall& call) {
  constexpr std::size_t kWidth = Isa::kWidth;
  constexpr std::size_t kRows =
      kStride < Isa::kMostPanelRows ? kStride : Isa::kMostPanelRows;
  constexpr std::size_t kMost = Isa::PanelVectors(kStride);
  switch (call.vectors) {
#define SPA_VECTORS(count)                                  \
  case count:                                               \
    if constexpr (count <= kMost) {                         \
      MultiplyVectors<kWidth, kStride, kRows, count>(call); \
    }                                                       \
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
