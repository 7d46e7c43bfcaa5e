// The packed form in which a model file stores a sparse matrix: one tensor of
// bytes, used where it lies.
//
//   offset size
//      0    4   magic "SPAW"
//      4    2   version, 1
//      6    2   format, 1: CSR with uint32 indices and float32 values
//      8    4   rows, at least 1 as are columns
//     12    4   columns, below 2^31 so that signed vector gathers reach them
//     16    8   nonzeros
//     24    8   offset of row starts,     uint32 (rows + 1)
//     32    8   offset of column indices, uint32 (nonzeros), rising in each row
//     40    8   offset of values,         float32 (nonzeros)
//     48    8   total size
//     56    4   CRC-32 of all bytes but these and the next four
//     60    4   zero
//
// Everything is little-endian. Offsets count from byte 0 and are multiples of
// 64; sections follow the header in this order without overlap, and the values
// end at the total size. spa_onnx/runtime/packing.py writes this form.

#ifndef SPA_KERNELS_CSR_LINEAR_PACKED_CSR_H_
#define SPA_KERNELS_CSR_LINEAR_PACKED_CSR_H_

#include <cstddef>
#include <cstdint>

namespace spa {

// Pointers into a packed tensor that ParsePackedCsr has found to be sound.
struct PackedCsr {
  std::uint32_t rows;
  std::uint32_t columns;
  const unsigned char* row_starts;
  const unsigned char* column_indices;
  const unsigned char* values;
};

// Checks everything a kernel relies on; the bytes may be hostile and lie at any
// alignment. Throws InvalidInput saying what is wrong, without naming the op.
PackedCsr ParsePackedCsr(const unsigned char* bytes, std::size_t size);

}  // namespace spa

#endif  // SPA_KERNELS_CSR_LINEAR_PACKED_CSR_H_
