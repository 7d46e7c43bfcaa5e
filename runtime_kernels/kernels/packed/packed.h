// The packed form in which a model file stores a sparse matrix: one tensor of
// bytes, used where it lies.
//
//   offset size
//      0    4   magic "SPAW"
//      4    2   version, 2
//      6    2   kind: 1 blocks, 2 bitmask, 3 segments, 4 tiles, 5 two of four
//      8    4   rows, at least 1 as are columns
//     12    4   columns, below 2^31 so that signed vector gathers reach them
//     16    2   rows of a block R: of kind 1 1, 2, 4, 8, 16 or 32; of kind 4
//     16,
//               32 or 64; of kind 5 16; else 1
//     18    2   columns of a block: of kind 3 16; of kind 4 16, 32 or 64; of
//               kind 5 32; else 1
//     20    1   type of the values: 1 float32, 2 float16, 3 bfloat16; kinds 1
//               and 3 have no bfloat16, 4 and 5 no float32
//     21    1   bytes of an index: 2 or 4; 0 for kind 2, 4 for kind 5
//     22    2   zero
//     24    4   columns of a chunk, of kind 1; else all columns
//     28    4   zero
//     32    8   blocks that are stored (kind 2: values, kind 5: all blocks)
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
// The other two are for tensor cores. A fragment is a matrix A of 16 x 16 as
// the 32 lanes of a warp hold it, eight values each: with g = l / 4 and t = l %
// 4 lane l has A[g, 2t], A[g, 2t+1], A[g+8, 2t], A[g+8, 2t+1], A[g, 2t+8], A[g,
// 2t+9], A[g+8, 2t+8], A[g+8, 2t+9].
//
// Tiles of R x C.
//   starts   uint32 (B + 1)
//   indices  (blocks): block column c, columns C c to C c + C - 1, rising
//   within
//            a row block
//   values   (blocks, C / 16, R / 16, 32, 8): fragment (k, r) has rows 16 r and
//            columns 16 k of the block; zeros beyond the columns
// Two of four neighbouring columns, blocks of 16 x 32, S beside each other.
//   starts   nothing
//   indices  uint32 (B, P, 32) for P = ceil(S / 2) pairs of blocks, metadata:
//            with g = l / 4 and j = l % 4 word l is about block 2 p + j / 2, if
//            there is one, and 16 columns of it from 16 (j % 2) on. Its lower
//            half is about row g, its upper half about row g + 8; bits 4 i and
//            4 i + 1 of a half are the place 0 to 3 of the first stored value
//            of the i-th four columns, bits 4 i + 2 and 4 i + 3 that of the
//            second, which is greater. Where there is no block, a word is
//            0x44444444.
//   values   (B, S, 32, 8): fragments of the stored values of a block, 16 x 16;
//            zeros beyond the columns
//
// spa_onnx/runtime/packing.py writes this form.

#ifndef SPA_KERNELS_PACKED_PACKED_H_
#define SPA_KERNELS_PACKED_PACKED_H_

#include <cstddef>
#include <cstdint>

namespace spa {

enum class Kind : std::uint16_t {
  kBlocks = 1,
  kBitmask = 2,
  kSegments = 3,
  kTiles = 4,
  kTwoOfFour = 5,
};
enum class ValueType : std::uint8_t {
  kFloat32 = 1,
  kFloat16 = 2,
  kBfloat16 = 3,
};

constexpr std::size_t kSegmentColumns = 16;
constexpr std::size_t kMostBlockRows = 32;  // of kind blocks
constexpr std::size_t kFragmentSide = 16;   // rows and columns
constexpr std::size_t kFragmentLanes = 32;  // and words of metadata of a pair
constexpr std::size_t kFragmentValues = 8;  // of a lane

// Pointers into a packed tensor that ParsePacked has found to be sound. They
// may lie at any alignment.
struct Packed {
  Kind kind;
  ValueType value_type;
  std::size_t index_size;  // bytes
  std::size_t rows;
  std::size_t columns;
  std::size_t block_rows;
  std::size_t block_columns;
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

// Blocks beside each other, stored or not.
static inline std::size_t BlockPlaces(const Packed& weight) {
  return (weight.columns + weight.block_columns - 1) / weight.block_columns;
}

// Pairs of blocks beside each other, the last one perhaps of one block.
static inline std::size_t BlockPairs(const Packed& weight) {
  return (BlockPlaces(weight) + 1) / 2;
}

// Stored values of a block.
static inline std::size_t BlockValues(const Packed& weight) {
  return weight.block_rows * weight.block_columns /
         (weight.kind == Kind::kTwoOfFour ? 2 : 1);
}

// Values, with the zeros that blocks have.
static inline std::size_t StoredValues(const Packed& weight) {
  return weight.blocks * BlockValues(weight);
}

// Bytes of a value.
static inline std::size_t ValueSize(const Packed& weight) {
  return weight.value_type == ValueType::kFloat32 ? 4 : 2;
}

// Words of a row's bitmask.
static inline std::size_t MaskWords(const Packed& weight) {
  return 4 * ((weight.columns + 63) / 64);
}

// Checks everything a kernel relies on; the bytes may be hostile and lie at any
// alignment. Throws InvalidInput saying what is wrong, without naming the op.
Packed ParsePacked(const unsigned char* bytes, std::size_t size);

// The same for the kernels of one processor, which do not take every kind: the
// CPU's blocks, bitmask and segments of float32 or float16, the GPU's bitmask,
// tiles and two of four of float16 or bfloat16. Sound weights for the other one
// are InvalidInput, too.
Packed ParseForCpu(const unsigned char* bytes, std::size_t size);
Packed ParseForCuda(const unsigned char* bytes, std::size_t size);

}  // namespace spa

#endif  // SPA_KERNELS_PACKED_PACKED_H_
