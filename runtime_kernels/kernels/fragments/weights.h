// The two weights that lie in memory as tensor cores take them, in steps of 16
// columns that are stored: which columns a step has, and where its fragments
// are.

#ifndef SPA_KERNELS_FRAGMENTS_WEIGHTS_H_
#define SPA_KERNELS_FRAGMENTS_WEIGHTS_H_

#include "kernels/fragments/call.h"
#include "simt/simt.h"

namespace spa::cuda {

constexpr unsigned kStep = 16;                    // columns
constexpr unsigned kFragment = 16 * 16 * 2;       // bytes
constexpr unsigned kMetadata = simt::kLanes * 4;  // bytes, of two steps of 32

// A row of blocks: the steps of its blocks one behind the other.
class BlockSteps {
 public:
  SPA_DEVICE BlockSteps(const Weight& weight, std::uint32_t row_block)
      : weight_(weight),
        first_(weight.starts[row_block]),
        steps_((weight.starts[row_block + 1] - first_)
               << weight.block_steps_log2) {}

  SPA_DEVICE std::uint32_t steps() const { return steps_; }

  // The number of the block column that a step lies in.
  SPA_DEVICE std::uint32_t BlockColumn(std::uint32_t step) const {
    const std::uint32_t block = first_ + (step >> weight_.block_steps_log2);
    return weight_.index_size == 2
               ? reinterpret_cast<const std::uint16_t*>(weight_.indices)[block]
               : reinterpret_cast<const std::uint32_t*>(weight_.indices)[block];
  }

  // The first column of a step in that block column.
  SPA_DEVICE std::uint32_t ColumnIn(std::uint32_t block_column,
                                    std::uint32_t step) const {
    const std::uint32_t within = step & ((1u << weight_.block_steps_log2) - 1);
    return ((block_column << weight_.block_steps_log2) + within) * kStep;
  }

  SPA_DEVICE std::uint32_t Column(std::uint32_t step) const {
    return ColumnIn(BlockColumn(step), step);
  }

  // The fragments of a step, one for each tile of 16 rows.
  SPA_DEVICE const unsigned char* Fragments(std::uint32_t step) const {
    const std::uint64_t before =
        (std::uint64_t{first_} << weight_.block_steps_log2) + step;
    return weight_.values + before * weight_.block_row_tiles * kFragment;
  }

 private:
  const Weight& weight_;
  const std::uint32_t first_;
  const std::uint32_t steps_;
};

// A tile of 16 rows of a 2:4 weight; a step is 32 columns, 16 of them stored.
class SparseSteps {
 public:
  static constexpr unsigned kColumns = 32;

  SPA_DEVICE SparseSteps(const Weight& weight, std::uint32_t row_tile)
      : weight_(weight),
        steps_((weight.columns + kColumns - 1) / kColumns),
        row_tile_(row_tile) {}

  SPA_DEVICE std::uint32_t steps() const { return steps_; }
  SPA_DEVICE std::uint32_t pairs() const { return (steps_ + 1) / 2; }

  SPA_DEVICE const unsigned char* Fragment(std::uint32_t step) const {
    return weight_.values +
           (std::uint64_t{row_tile_} * steps_ + step) * kFragment;
  }

  // The positions of two steps, a word for each lane.
  SPA_DEVICE const unsigned char* Metadata(std::uint32_t pair) const {
    return weight_.indices +
           (std::uint64_t{row_tile_} * pairs() + pair) * kMetadata;
  }

 private:
  const Weight& weight_;
  const std::uint32_t steps_;
  const std::uint32_t row_tile_;
};

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FRAGMENTS_WEIGHTS_H_
