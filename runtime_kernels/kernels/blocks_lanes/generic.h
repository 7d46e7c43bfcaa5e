// The loop nest of blocks_lanes, templated on the vector width. Everything is
// `static`; see support/vectors.h.

#ifndef SPA_KERNELS_BLOCKS_LANES_GENERIC_H_
#define SPA_KERNELS_BLOCKS_LANES_GENERIC_H_

#include <type_traits>

#include "kernels/blocks_lanes/blocks_lanes.h"
#include "kernels/packed/view.h"
#include "support/halves.h"

namespace spa {

// Blocks in flight, each with sums of its own.
template <std::size_t kSums>
constexpr std::size_t kLanesInFlight = kSums >= 7   ? 1
                                       : kSums >= 4 ? 2
                                       : kSums >= 2 ? 4
                                                    : 8;

// Shape of one instantiation: kParts vectors of kWidth outputs, kTokens tokens.
template <std::size_t kWidthOf, std::size_t kPartsOf, std::size_t kTokensOf,
          bool kTurnedOf, typename ValuesOf>
struct LanesTile {
  static constexpr std::size_t kWidth = kWidthOf;
  static constexpr std::size_t kParts = kPartsOf;
  static constexpr std::size_t kTokens = kTokensOf;
  static constexpr bool kTurned = kTurnedOf;
  using Values = ValuesOf;
  using Sums = Vector<kWidth>[kParts][kTokens];
};

// Bytes ahead of the weights being read, which pass through only once.
constexpr std::size_t kValuesAhead = 2048;

template <typename Tile>
SPA_INLINE void AddLanes(const LanesCall& call, std::size_t j, const float* x,
                         const unsigned char* values,
                         typename Tile::Sums& sums) {
  constexpr std::size_t kWidth = Tile::kWidth;
  constexpr std::size_t kBytes = kWidth * Tile::Values::kSize;
  Vector<kWidth> weights[Tile::kParts];
  SPA_UNROLL for (std::size_t q = 0; q < Tile::kParts; ++q) {
    Tile::Values::template LoadVector<kWidth>(weights[q], values + q * kBytes);
    __builtin_prefetch(values + q * kBytes + kValuesAhead, 0, 3);
  }
  const std::size_t column = ElementAt<std::uint16_t>(call.weight->indices, j);
  const float* inputs = x + column * (Tile::kTurned ? Tile::kTokens : 1);
  SPA_UNROLL for (std::size_t t = 0; t < Tile::kTokens; ++t) {
    const float input = inputs[Tile::kTurned ? t : t * call.weight->columns];
    const Vector<kWidth> spread = Spread<kWidth>(input);
    SPA_UNROLL for (std::size_t q = 0; q < Tile::kParts; ++q) {
      sums[q][t] += weights[q] * spread;
    }
  }
}

// All chunks of one row block; `part` is the first of its outputs in lanes.
template <typename Tile>
SPA_INLINE void AddRowBlock(const LanesCall& call, std::size_t block,
                            std::size_t part, typename Tile::Sums& sums) {
  const Packed& weight = *call.weight;
  constexpr std::size_t kSums = Tile::kParts * Tile::kTokens;
  constexpr std::size_t kApart = kLanesInFlight<kSums>;
  const std::size_t size = weight.block_rows * Tile::Values::kSize;
  const unsigned char* values = weight.values + part * Tile::Values::kSize;
  const std::size_t row_starts = RowBlocks(weight) + 1;
  typename Tile::Sums apart[kApart];
  SPA_UNROLL for (std::size_t i = 0; i < kApart; ++i) {
    SPA_UNROLL for (std::size_t q = 0; q < Tile::kParts; ++q) {
      SPA_UNROLL for (std::size_t t = 0; t < Tile::kTokens; ++t) {
        apart[i][q][t] = i == 0 ? sums[q][t] : Vector<Tile::kWidth>{};
      }
    }
  }
  for (std::size_t c = 0, chunks = Chunks(weight); c < chunks; ++c) {
    std::size_t j = StartAt(weight.starts, c * row_starts + block);
    const std::size_t end = StartAt(weight.starts, c * row_starts + block + 1);
    for (; j + kApart <= end; j += kApart) {
      SPA_UNROLL for (std::size_t i = 0; i < kApart; ++i) {
        AddLanes<Tile>(call, j + i, call.x, values + (j + i) * size, apart[i]);
      }
    }
    for (; j < end; ++j) {
      AddLanes<Tile>(call, j, call.x, values + j * size, apart[0]);
    }
  }
  SPA_UNROLL for (std::size_t q = 0; q < Tile::kParts; ++q) {
    SPA_UNROLL for (std::size_t t = 0; t < Tile::kTokens; ++t) {
      sums[q][t] = apart[0][q][t];
      SPA_UNROLL for (std::size_t i = 1; i < kApart; ++i) {
        sums[q][t] += apart[i][q][t];
      }
    }
  }
}

template <typename Tile>
SPA_INLINE void FinishLanes(const LanesCall& call, std::size_t row,
                            typename Tile::Sums& sums) {
  constexpr std::size_t kWidth = Tile::kWidth;
  const std::size_t rows = call.weight->rows;
  SPA_UNROLL for (std::size_t q = 0; q < Tile::kParts; ++q) {
    const std::size_t first = row + q * kWidth;
    const std::size_t left = first < rows ? rows - first : 0;
    SPA_UNROLL for (std::size_t t = 0; t < Tile::kTokens; ++t) {
      const std::size_t place = t * rows + first;
      if (call.residual != nullptr && left > 0) {
        Vector<kWidth> other;
        LoadSome<kWidth>(other, call.residual + place, left);
        sums[q][t] += other;
      }
      if (left > 0) {
        StoreSome<kWidth>(Activate<kWidth>(sums[q][t], *call.epilogue),
                          call.y + place, left);
      }
    }
  }
}

template <typename Tile>
static void MultiplyLanesTile(const LanesCall& call) {
  constexpr std::size_t kWidth = Tile::kWidth;
  constexpr std::size_t kTogether = kWidth * Tile::kParts;
  const Packed& weight = *call.weight;
  for (std::size_t b = call.first_block; b < call.end_block; ++b) {
    for (std::size_t part = 0; part < weight.block_rows; part += kTogether) {
      const std::size_t row = b * weight.block_rows + part;
      if (row >= weight.rows) break;
      typename Tile::Sums sums;
      SPA_UNROLL for (std::size_t q = 0; q < Tile::kParts; ++q) {
        Vector<kWidth> bias{};
        const std::size_t first = row + q * kWidth;
        if (call.bias != nullptr && first < weight.rows) {
          LoadSome<kWidth>(bias, call.bias + first, weight.rows - first);
        }
        SPA_UNROLL for (std::size_t t = 0; t < Tile::kTokens; ++t) {
          sums[q][t] = bias;
        }
      }
      AddRowBlock<Tile>(call, b, part, sums);
      FinishLanes<Tile>(call, row, sums);
    }
  }
}

// Tiles of fewer tokens are read where they lie; those of more are turned, and
// so are smaller ones beside them.
constexpr std::size_t kFewestTurned = 8;

template <std::size_t kWidth, std::size_t kParts, std::size_t kTokens,
          typename Values>
SPA_INLINE void MultiplyLanesTurned(const LanesCall& call) {
  if (call.is_turned) {
    if constexpr (kTokens > 1) {
      MultiplyLanesTile<LanesTile<kWidth, kParts, kTokens, true, Values>>(call);
    }
  } else if constexpr (kTokens < kFewestTurned) {
    MultiplyLanesTile<LanesTile<kWidth, kParts, kTokens, false, Values>>(call);
  }
}

template <std::size_t kWidth, std::size_t kParts, std::size_t kMost,
          typename Values>
static void MultiplyLanesTokens(const LanesCall& call) {
  switch (call.tokens) {
#define SPA_TOKENS(count)                                       \
  case count:                                                   \
    if constexpr (count <= kMost) {                             \
      MultiplyLanesTurned<kWidth, kParts, count, Values>(call); \
    }                                                           \
    break;
    SPA_TOKENS(1)
    SPA_TOKENS(2)
    SPA_TOKENS(3)
    SPA_TOKENS(4)
    SPA_TOKENS(5)
    SPA_TOKENS(6)
    SPA_TOKENS(7)
    SPA_TOKENS(8)
    SPA_TOKENS(9)
    SPA_TOKENS(10)
    SPA_TOKENS(11)
    SPA_TOKENS(12)
    SPA_TOKENS(13)
    SPA_TOKENS(14)
    SPA_TOKENS(15)
    SPA_TOKENS(16)
#undef SPA_TOKENS
  }
}

template <typename Isa, typename Values>
static void MultiplyLanesRows(const LanesCall& call) {
  const auto narrow = [&](auto width) {
    constexpr std::size_t kRows = decltype(width)::value;
    constexpr std::size_t kWidth = kRows < Isa::kWidth ? kRows : Isa::kWidth;
    constexpr std::size_t kParts = kRows / kWidth < Isa::kMostLanesParts
                                       ? kRows / kWidth
                                       : Isa::kMostLanesParts;
    MultiplyLanesTokens<kWidth, kParts, Isa::LanesTokens(kParts), Values>(call);
  };
  switch (call.weight->block_rows) {
    case 4:
      return narrow(std::integral_constant<std::size_t, 4>());
    case 8:
      return narrow(std::integral_constant<std::size_t, 8>());
    case 16:
      return narrow(std::integral_constant<std::size_t, 16>());
    default:
      return narrow(std::integral_constant<std::size_t, 32>());
  }
}

template <typename Isa>
static void MultiplyLanes(const LanesCall& call) {
  const bool whole = call.weight->value_type == ValueType::kFloat32;
  whole ? MultiplyLanesRows<Isa, Float32Values>(call)
        : MultiplyLanesRows<Isa, Float16Values>(call);
}

// Most tokens of a tile for blocks of R rows.
template <typename Isa>
static constexpr std::size_t LanesTokensOfRows(std::size_t rows) {
  const std::size_t width = rows < Isa::kWidth ? rows : Isa::kWidth;
  const std::size_t parts = rows / width;
  return Isa::LanesTokens(parts < Isa::kMostLanesParts ? parts
                                                       : Isa::kMostLanesParts);
}

// `Isa` has kWidth, floats in a vector; kMostLanesParts, vectors of outputs at
// a time; LanesTokens(parts), tokens so that all sums fit the registers.
template <typename Isa>
static constexpr BlocksLanesKernel MakeBlocksLanes() {
  return {{0, 0, LanesTokensOfRows<Isa>(4), LanesTokensOfRows<Isa>(8),
           LanesTokensOfRows<Isa>(16), LanesTokensOfRows<Isa>(32)},
          kFewestTurned,
          MultiplyLanes<Isa>};
}

}  // namespace spa

#endif  // SPA_KERNELS_BLOCKS_LANES_GENERIC_H_
