#include "fuzz/read_for_cuda.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "kernels/packed/view.h"

namespace {

constexpr std::size_t kSide = spa::kFragmentSide;

[[noreturn]] void Fail(const char* what, std::size_t where) {
  std::fprintf(stderr, "fuzz: %s at %zu\n", what, where);
  std::abort();
}

// Value `at` is to be multiplied with X[column].
void Read(const spa::Packed& weight, std::size_t at, std::size_t column) {
  if (at >= spa::StoredValues(weight)) Fail("no value", at);
  const auto bits = spa::ElementAt<std::uint16_t>(weight.values, at);
  if (column >= weight.columns && (bits & 0x7FFF) != 0) {
    Fail("a value beyond the columns", at);
  }
}

// Calls `visit` with value, row and column of a fragment that begins at `at`.
template <typename Visit>
void ForFragment(std::size_t at, const Visit& visit) {
  for (std::size_t lane = 0; lane < spa::kFragmentLanes; ++lane) {
    for (std::size_t right = 0; right < 2; ++right) {
      for (std::size_t lower = 0; lower < 2; ++lower) {
        for (std::size_t second = 0; second < 2; ++second) {
          visit(at++, lane / 4 + 8 * lower,
                2 * (lane % 4) + second + 8 * right);
        }
      }
    }
  }
}

void ReadTiles(const spa::Packed& weight) {
  std::size_t at = 0;
  for (std::size_t block = 0; block < weight.blocks; ++block) {
    const std::size_t place =
        spa::IndexAt(weight.indices, weight.index_size, block);
    if (place >= spa::BlockPlaces(weight)) Fail("a block outside", block);
    const std::size_t first = place * weight.block_columns;
    for (std::size_t c = 0; c < weight.block_columns; c += kSide) {
      for (std::size_t r = 0; r < weight.block_rows; r += kSide) {
        ForFragment(at, [&](std::size_t value, std::size_t, std::size_t k) {
          Read(weight, value, first + c + k);
        });
        at += kSide * kSide;
      }
    }
  }
}

void ReadTwoOfFour(const spa::Packed& weight) {
  const std::size_t places = spa::BlockPlaces(weight);
  for (std::size_t block = 0; block < weight.blocks; ++block) {
    const std::size_t place = block % places;
    const std::size_t words =
        (block / places * spa::BlockPairs(weight) + place / 2) *
        spa::kFragmentLanes;
    // The columns within their four that row and stored column stand for.
    const auto within = [&](std::size_t row, std::size_t k) {
      const std::size_t lane = row % 8 * 4 + place % 2 * 2 + k / 8;
      const auto word =
          spa::ElementAt<std::uint32_t>(weight.indices, words + lane);
      return std::size_t{word >> (row / 8 * 16 + k % 8 * 2) & 3u};
    };
    ForFragment(block * kSide * kSide, [&](std::size_t value, std::size_t row,
                                           std::size_t k) {
      if (k % 2 == 1 && within(row, k - 1) >= within(row, k)) {
        Fail("columns of four that do not rise", value);
      }
      Read(weight, value,
           place * weight.block_columns + k / 2 * 4 + within(row, k));
    });
  }
}

void ReadMasks(const spa::Packed& weight) {
  std::size_t value = 0;
  for (std::size_t row = 0; row < weight.rows; ++row) {
    if (spa::StartAt(weight.starts, row) != value) Fail("a start", row);
    for (std::size_t k = 0; k < 16 * spa::MaskWords(weight); ++k) {
      const std::size_t word = row * spa::MaskWords(weight) + k / 16;
      const auto bits = spa::ElementAt<std::uint16_t>(weight.indices, word);
      if ((bits >> k % 16 & 1) != 0) Read(weight, value++, k);
    }
  }
}

}  // namespace

void ReadForCuda(const spa::Packed& weight) {
  switch (weight.kind) {
    case spa::Kind::kTiles:
      return ReadTiles(weight);
    case spa::Kind::kTwoOfFour:
      return ReadTwoOfFour(weight);
    default:
      return ReadMasks(weight);
  }
}
