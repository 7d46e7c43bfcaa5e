// The packed form in which a model file stores a sparse matrix: one tensor of
// bytes, used where it lies.
//
//   offset size
//      0    4   magic "SPAW"
//      4    2   version, 2
//      6    2   kind: 1 blocks, 2 bitmask, 3 segments
//      8    4   rows, at least 1 as are columns
//     12    4   columns, below 2^31 so that signed vector gathers reach them
//     16    2   rows of a block R: 1, 2, 4, 8, 16 or 32; 1 but for kind 1
//     18    2   columns of a block: 16 for kind 3, else 1
//     20    1   type of the values: 1 float32, 2 float16
//     21    1   bytes of an index: 2 or 4; 0 for kind 2
//     22    2   zero
//     24    4   columns of a chunk, of kind 1; else all columns
//     28    4   zero
//     32    8   blocks that are stored (kind 2: values)
//     40    8   offset of starts
//     48    8   offset of indices
//     56    8   offset of values
//     64    8   total size
//     72    4   CRC-32 of all bytes but these and the next four
//     76   52   zeros
//
// Everything is little-endian. Offsets count from byte 0 and are multiples of
// 64; sections follow the header in this order without overlap, and after the
// values come 64 zeros, which kernels may read but do not use.
//
// Blocks. Row block b holds rows R*b to R*b+R-1; rows beyond the matrix are
// stored as zeros. Columns are cut into C chunks, so that the inputs of one
// chunk stay in the first-level cache while all row blocks pass over them.
//   starts   uint32 (C, B + 1): the blocks of row block b in chunk c
//   indices  (blocks): the block's column, rising within (c, b), in chunk c
//   values   (blocks, R)
// Bitmask. G = 4 * ceil(columns / 64) words a row.
//   starts   uint32 (rows + 1): the row's first value
//   indices  uint16 (rows, G): bit k of word g: column 16 g + k is stored
//   values   (values), row after row
// Segments of one row and 16 neighbouring columns.
//   starts   uint32 (rows + 1)
//   indices  (blocks): group g, columns 16 g to 16 g + 15, rising within a row
//   values   (blocks, 16), zeros beyond the columns
//
// spa_onnx/runtime/packing.py writes this form.

#ifndef SPA_KERNELS_PACKED_PACKED_H_
#define SPA_KERNELS_PACKED_PACKED_H_

#include <cstddef>
#include <cstdint>

namespace spa {

enum class Kind : std::uint16_t { kBlocks = 1, kBitmask = 2, kSegments = 3 };
enum class ValueType : std::uint8_t { kFloat32 = 1, kFloat16 = 2 };

constexpr std::size_t kSegmentColumns = 16;
constexpr std::size_t kMostBlockRows = 32;

// Pointers into a packed tensor that ParsePacked has found to be sound. They
// may lie at any alignment.
struct Packed {
  Kind kind;
  ValueType value_type;
  std::size_t index_size;  // bytes
  std::size_t rows;
  std::size_t columns;
  std::size_t block_rows;
  std::size_t chunk_columns;
  std::size_t blocks;
  const unsigned char* starts;
  const unsigned char* indices;
  const unsigned char* values;
};

static inline std::size_t RowBlocks(const Packed& weight) {
  return (weight.rows + weight.block_rows - 1) / weight.block_rows;
}

static inline std::size_t Chunks(const Packed& weight) {
  return (weight.columns + weight.chunk_columns - 1) / weight.chunk_columns;
}

// Values, with the zeros that blocks and segments have.
static inline std::size_t StoredValues(const Packed& weight) {
  return weight.blocks *
         (weight.kind == Kind::kSegments ? kSegmentColumns : weight.block_rows);
}

// Words of a row's bitmask.
static inline std::size_t MaskWords(const Packed& weight) {
  return 4 * ((weight.columns + 63) / 64);
}

// Checks everything a kernel relies on; the bytes may be hostile and lie at any
// alignment. Throws InvalidInput saying what is wrong, without naming the op.
Packed ParsePacked(const unsigned char* bytes, std::size_t size);

}  // namespace spa

#endif  // SPA_KERNELS_PACKED_PACKED_H_
