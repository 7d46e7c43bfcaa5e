// What kernels for GPUs rely on in a packed weight, looked at value by value.

#ifndef SPA_FUZZ_READ_FOR_CUDA_H_
#define SPA_FUZZ_READ_FOR_CUDA_H_

#include "kernels/packed/packed.h"

// Reads everything that a kernel would, and aborts where it would multiply what
// is no zero with columns that do not exist.
void ReadForCuda(const spa::Packed& weight);

#endif  // SPA_FUZZ_READ_FOR_CUDA_H_
