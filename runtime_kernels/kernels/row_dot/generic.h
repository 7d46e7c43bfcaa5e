// The loops of row_dot, templated on the vector width. Everything is `static`;
// see support/vectors.h.

#ifndef SPA_KERNELS_ROW_DOT_GENERIC_H_
#define SPA_KERNELS_ROW_DOT_GENERIC_H_

#include "kernels/packed/view.h"
#include "kernels/row_dot/row_dot.h"
#include "support/halves.h"

namespace spa {

// Bytes ahead of the weights being read, which pass through only once.
constexpr std::size_t kDotAhead = 2048;

// Adds `count` products, 1 to kWidth. What is read for the other lanes belongs
// to the next row or is the end's padding.
template <typename Isa, typename Values, typename Index>
SPA_INLINE void AddGathered(const Packed& weight, std::size_t at,
                            std::size_t count, const float* x,
                            Vector<Isa::kWidth>& sum) {
  constexpr std::size_t kWidth = Isa::kWidth;
  const unsigned char* from = weight.values + at * Values::kSize;
  const unsigned char* indices = weight.indices + at * sizeof(Index);
  __builtin_prefetch(from + kDotAhead, 0, 3);
  __builtin_prefetch(indices + kDotAhead / 2, 0, 3);
  Vector<kWidth> values;
  Values::template LoadVector<kWidth>(values, from);
  if (count < kWidth) KeepFirst<kWidth>(values, count);
  sum += values * Isa::template Gather<Index>(x, indices, count);
}

template <typename Isa, typename Values, typename Index>
static float GatherRow(const Packed& weight, std::size_t j, std::size_t end,
                       const float* x) {
  constexpr std::size_t kWidth = Isa::kWidth;
  constexpr std::size_t kApart = 2;
  const auto add = [&](std::size_t at, std::size_t count,
                       Vector<kWidth>& sum) __attribute__((always_inline)) {
    AddGathered<Isa, Values, Index>(weight, at, count, x, sum);
  };
  Vector<kWidth> sums[kApart] = {};
  for (; j + kApart * kWidth <= end; j += kApart * kWidth) {
    SPA_UNROLL for (std::size_t i = 0; i < kApart; ++i) {
      add(j + i * kWidth, kWidth, sums[i]);
    }
  }
  if (j + kWidth <= end) {
    add(j, kWidth, sums[0]);
    j += kWidth;
  }
  if (j < end) add(j, end - j, sums[1]);
  return SumOfLanes<kWidth>(sums[0] + sums[1]);
}

template <typename Isa, typename Values, typename Index>
static void GatherRows(const RowDotCall& call) {
  const Packed& weight = *call.weight;
  const std::size_t row_starts = weight.rows + 1;
  for (std::size_t row = call.first_row; row < call.end_row; ++row) {
    float sum = 0;
    for (std::size_t c = 0, chunks = Chunks(weight); c < chunks; ++c) {
      const std::size_t at = c * row_starts + row;
      sum +=
          GatherRow<Isa, Values, Index>(weight, StartAt(weight.starts, at),
                                        StartAt(weight.starts, at + 1), call.x);
    }
    call.y[row] = sum;
  }
}

// The bits of the `place`th kWidth columns, read where they lie: bits shifted
// out of a longer word would need the port that expansion needs, too.
template <std::size_t kWidth>
SPA_INLINE std::uint32_t BitsAt(const unsigned char* masks, std::size_t place) {
  if constexpr (kWidth == 16) return ElementAt<std::uint16_t>(masks, place);
  if constexpr (kWidth == 8) return masks[place];
  return masks[place / 2] >> place % 2 * 4 & 0xFu;
}

template <typename Isa, typename Values>
static void BitmaskRows(const RowDotCall& call) {
  constexpr std::size_t kWidth = Isa::kWidth;
  constexpr std::size_t kWordVectors = 64 / kWidth;
  const Packed& weight = *call.weight;
  const std::size_t words = MaskWords(weight) / 4;
  for (std::size_t row = call.first_row; row < call.end_row; ++row) {
    const unsigned char* values =
        weight.values + StartAt(weight.starts, row) * Values::kSize;
    const unsigned char* masks = weight.indices + row * words * 8;
    Vector<kWidth> sums[kWordVectors] = {};
    for (std::size_t g = 0; g < words; ++g) {
      const auto mask = ElementAt<std::uint64_t>(masks, g);
      SPA_UNROLL for (std::size_t k = 0; k < kWordVectors; ++k) {
        const std::uint32_t bits = BitsAt<kWidth>(masks, g * kWordVectors + k);
        const std::uint64_t before =
            k == 0 ? 0 : mask & ((std::uint64_t{1} << (k * kWidth)) - 1);
        const std::size_t skipped =
            static_cast<std::size_t>(__builtin_popcountll(before));
        Vector<kWidth> x;
        Load<kWidth>(x, call.x + g * 64 + k * kWidth);
        sums[k] += x * Isa::template Expand<Values>(
                           values + skipped * Values::kSize, bits);
      }
      values +=
          static_cast<std::size_t>(__builtin_popcountll(mask)) * Values::kSize;
      __builtin_prefetch(values + kDotAhead, 0, 3);
      __builtin_prefetch(values + kDotAhead + 64, 0, 3);
    }
    Vector<kWidth> sum{};
    SPA_UNROLL for (std::size_t k = 0; k < kWordVectors; ++k) sum += sums[k];
    call.y[row] = SumOfLanes<kWidth>(sum);
  }
}

template <typename Isa, typename Values, typename Index>
static void SegmentRows(const RowDotCall& call) {
  constexpr std::size_t kWidth = Isa::kWidth;
  constexpr std::size_t kParts = kSegmentColumns / kWidth;
  constexpr std::size_t kApart = kParts >= 4 ? 1 : 4 / kParts;
  const Packed& weight = *call.weight;
  for (std::size_t row = call.first_row; row < call.end_row; ++row) {
    Vector<kWidth> sums[kApart][kParts] = {};
    const auto add = [&](std::size_t j, Vector<kWidth>(&to)[kParts]) {
      const unsigned char* values =
          weight.values + j * kSegmentColumns * Values::kSize;
      const float* x =
          call.x + ElementAt<Index>(weight.indices, j) * kSegmentColumns;
      __builtin_prefetch(values + kDotAhead, 0, 3);
      SPA_UNROLL for (std::size_t q = 0; q < kParts; ++q) {
        Vector<kWidth> value, input;
        Values::template LoadVector<kWidth>(
            value, values + q * kWidth * Values::kSize);
        Load<kWidth>(input, x + q * kWidth);
        to[q] += value * input;
      }
    };
    std::size_t j = StartAt(weight.starts, row);
    const std::size_t end = StartAt(weight.starts, row + 1);
    for (; j + kApart <= end; j += kApart) {
      SPA_UNROLL for (std::size_t i = 0; i < kApart; ++i) add(j + i, sums[i]);
    }
    for (; j < end; ++j) add(j, sums[0]);
    Vector<kWidth> sum{};
    SPA_UNROLL for (std::size_t i = 0; i < kApart; ++i) {
      SPA_UNROLL for (std::size_t q = 0; q < kParts; ++q) sum += sums[i][q];
    }
    call.y[row] = SumOfLanes<kWidth>(sum);
  }
}

template <typename Isa>
static void Gather(const RowDotCall& call) {
  const bool whole = call.weight->value_type == ValueType::kFloat32;
  if (call.weight->index_size == sizeof(std::uint16_t)) {
    whole ? GatherRows<Isa, Float32Values, std::uint16_t>(call)
          : GatherRows<Isa, Float16Values, std::uint16_t>(call);
  } else {
    whole ? GatherRows<Isa, Float32Values, std::uint32_t>(call)
          : GatherRows<Isa, Float16Values, std::uint32_t>(call);
  }
}

template <typename Isa>
static void Bitmask(const RowDotCall& call) {
  call.weight->value_type == ValueType::kFloat32
      ? BitmaskRows<Isa, Float32Values>(call)
      : BitmaskRows<Isa, Float16Values>(call);
}

template <typename Isa>
static void Segments(const RowDotCall& call) {
  const bool whole = call.weight->value_type == ValueType::kFloat32;
  if (call.weight->index_size == sizeof(std::uint16_t)) {
    whole ? SegmentRows<Isa, Float32Values, std::uint16_t>(call)
          : SegmentRows<Isa, Float16Values, std::uint16_t>(call);
  } else {
    whole ? SegmentRows<Isa, Float32Values, std::uint32_t>(call)
          : SegmentRows<Isa, Float16Values, std::uint32_t>(call);
  }
}

// `Isa` has kWidth, floats in a vector; Gather<Index>(x, indices, count), which
// returns x[indices[k]] in lane k < count and zero in the others, but reads
// kWidth indices; and Expand<Values>(values, bits), which puts
// the next value into each lane whose bit is set and zero into the others. It
// may read kWidth values however few bits are set.
template <typename Isa>
static constexpr RowDotKernel MakeRowDot() {
  return {Gather<Isa>, Bitmask<Isa>, Segments<Isa>};
}

}  // namespace spa

#endif  // SPA_KERNELS_ROW_DOT_GENERIC_H_
