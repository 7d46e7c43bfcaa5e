// One row block of blocks_panel over one tile, templated on the vector width
// and on how many sums are kept in registers. Everything is `static`; see
// support/vectors.h.

#ifndef SPA_KERNELS_BLOCKS_PANEL_ROW_BLOCK_H_
#define SPA_KERNELS_BLOCKS_PANEL_ROW_BLOCK_H_

#include "kernels/epilogue.h"
#include "support/vectors.h"

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

// What sums start at.
struct Start {
  const float* bias;      // of the block's rows, or null: at what Y holds
  const float* residual;  // of the block's first row, or null; only with bias
};

// sums = the floats at `from`, row by row.
template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void LoadSums(const float* from, std::size_t stride,
                         std::size_t last_lanes,
                         Vector<kWidth> (&sums)[kRows][kVectors]) {
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      const float* at = from + r * stride + k * kWidth;
      if (k + 1 < kVectors) {
        Load<kWidth>(sums[r][k], at);
      } else {
        LoadFirst<kWidth>(sums[r][k], at, last_lanes);
      }
    }
  }
}

// sums += the floats at `from`, row by row.
template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void AddFloats(const float* from, std::size_t stride,
                          std::size_t last_lanes,
                          Vector<kWidth> (&sums)[kRows][kVectors]) {
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    Vector<kWidth> others[1][kVectors];
    LoadSums<kWidth>(from + r * stride, 0, last_lanes, others);
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      sums[r][k] += others[0][k];
    }
  }
}

// `apply` to every vector, as straight code.
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

// Activations that take no registers of their own.
template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void ActivateSums(const Epilogue& epilogue,
                             Vector<kWidth> (&sums)[kRows][kVectors]) {
  using V = Vector<kWidth>;
  if (epilogue.activation == Activation::kRelu) {
    ForEachSum<kWidth>(sums, [](V x) { return x < V{} ? V{} : x; });
  } else if (epilogue.activation == Activation::kClip) {
    ForEachSum<kWidth>(sums, [&](V x) {
      return ClipTo<kWidth>(x, epilogue.low, epilogue.high);
    });
  }
}

static inline bool IsSlow(const Epilogue& epilogue) {
  return epilogue.activation != Activation::kNone &&
         epilogue.activation != Activation::kRelu &&
         epilogue.activation != Activation::kClip;
}

// Other activations, on what was just stored.
template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
static __attribute__((noinline)) void ActivateStored(const Epilogue& epilogue,
                                                     float* y,
                                                     std::size_t stride,
                                                     std::size_t last_lanes) {
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::size_t k = 0; k < kVectors; ++k) {
      float* at = y + r * stride + k * kWidth;
      const std::size_t lanes = k + 1 < kVectors ? kWidth : last_lanes;
      Vector<kWidth> sum;
      LoadFirst<kWidth>(sum, at, lanes);
      StoreFirst<kWidth>(ActivateSlowly<kWidth>(sum, epilogue), at, lanes);
    }
  }
}

template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void StartSums(const Start& start, const float* y,
                          std::size_t stride, std::size_t last_lanes,
                          Vector<kWidth> (&sums)[kRows][kVectors]) {
  if (start.bias == nullptr) {
    LoadSums<kWidth>(y, stride, last_lanes, sums);
    return;
  }
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    const Vector<kWidth> bias = Spread<kWidth>(start.bias[r]);
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) sums[r][k] = bias;
  }
  if (start.residual != nullptr) {
    AddFloats<kWidth>(start.residual, stride, last_lanes, sums);
  }
}

template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void StoreSums(const Vector<kWidth> (&sums)[kRows][kVectors],
                          float* y, std::size_t stride,
                          std::size_t last_lanes) {
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    SPA_UNROLL for (std::size_t k = 0; k < kVectors; ++k) {
      float* at = y + r * stride + k * kWidth;
      if (k + 1 < kVectors) {
        Store<kWidth>(sums[r][k], at);
      } else {
        StoreFirst<kWidth>(sums[r][k], at, last_lanes);
      }
    }
  }
}

// One row block over one tile, whose last vector has `last_lanes` positions.
// `epilogue` is null where sums are not whole yet.
template <std::size_t kWidth, std::size_t kStride, std::size_t kRows,
          std::size_t kVectors>
SPA_INLINE void MultiplyRowBlock(const char* panel, const std::int32_t* offsets,
                                 const unsigned char* values, std::size_t count,
                                 float* y, std::size_t stride,
                                 std::size_t last_lanes, const Start& start,
                                 const Epilogue* epilogue) {
  Vector<kWidth> sums[kRows][kVectors];
  StartSums<kWidth>(start, y, stride, last_lanes, sums);
  AddBlocks<kWidth, kStride>(panel, offsets, values, count, sums);
  if (epilogue != nullptr) ActivateSums<kWidth>(*epilogue, sums);
  StoreSums<kWidth>(sums, y, stride, last_lanes);
  if (epilogue != nullptr && IsSlow(*epilogue)) {
    ActivateStored<kWidth, kRows, kVectors>(*epilogue, y, stride, last_lanes);
  }
}

// Whether a lone position behind whole vectors is worth code of its own: as a
// vector it costs kRows multiplications for each block, in lanes of rows one.
template <std::size_t kRows, std::size_t kVectors>
constexpr bool kTakesOneMore =
    (kRows == 4 || kRows == 8) && kInFlight<kRows, kVectors> == 1;

// The floats below each other at `from`.
template <std::size_t kRows>
SPA_INLINE Vector<kRows> ColumnAt(const float* from, std::size_t stride) {
  Vector<kRows> column;
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    column[r] = from[r * stride];
  }
  return column;
}

// As MultiplyRowBlock over whole vectors and one position more.
template <std::size_t kWidth, std::size_t kRows, std::size_t kVectors>
SPA_INLINE void MultiplyRowBlockAndOne(const char* panel,
                                       const std::int32_t* offsets,
                                       const unsigned char* values,
                                       std::size_t count, float* y,
                                       std::size_t stride, const Start& start,
                                       const Epilogue* epilogue) {
  constexpr std::size_t kPlace = kVectors * kWidth;
  Vector<kWidth> sums[kRows][kVectors];
  Vector<kRows> one[1][1];  // a row in each lane
  StartSums<kWidth>(start, y, stride, kWidth, sums);
  if (start.bias == nullptr) {
    one[0][0] = ColumnAt<kRows>(y + kPlace, stride);
  } else {
    Load<kRows>(one[0][0], start.bias);
    if (start.residual != nullptr) {
      one[0][0] += ColumnAt<kRows>(start.residual + kPlace, stride);
    }
  }
  for (std::size_t j = 0; j < count; ++j) {
    const char* column = panel + offsets[j];
    const unsigned char* block = values + j * kRows * sizeof(float);
    AddBlock<kWidth>(column, block, sums);
    Vector<kRows> weights;
    Load<kRows>(weights, block);
    one[0][0] +=
        weights * Spread<kRows>(FloatAt(column + kPlace * sizeof(float)));
  }
  if (epilogue != nullptr) {
    ActivateSums<kWidth>(*epilogue, sums);
    ActivateSums<kRows>(*epilogue, one);
  }
  StoreSums<kWidth>(sums, y, stride, kWidth);
  SPA_UNROLL for (std::size_t r = 0; r < kRows; ++r) {
    y[r * stride + kPlace] = one[0][0][r];
  }
  if (epilogue != nullptr && IsSlow(*epilogue)) {
    ActivateStored<kWidth, kRows, kVectors + 1>(*epilogue, y, stride, 1);
  }
}

}  // namespace spa

#endif  // SPA_KERNELS_BLOCKS_PANEL_ROW_BLOCK_H_
