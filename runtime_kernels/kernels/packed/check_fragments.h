// Checks of what blocks of several columns store, as ParsePacked makes them.

#ifndef SPA_KERNELS_PACKED_CHECK_FRAGMENTS_H_
#define SPA_KERNELS_PACKED_CHECK_FRAGMENTS_H_

#include "kernels/packed/packed.h"

namespace spa {

// Refuses a value beyond the columns that is not 0, where the indices of blocks
// are sound: segments and tiles at the end of a row may pass the matrix.
void CheckTails(const Packed& weight);

// Refuses metadata that does not name two columns of four in rising order, and
// a value whose column is beyond the matrix and that is not 0.
void CheckTwoOfFour(const Packed& weight);

}  // namespace spa

#endif  // SPA_KERNELS_PACKED_CHECK_FRAGMENTS_H_
