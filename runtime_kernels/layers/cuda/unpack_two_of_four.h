// A 2:4 weight with its zeros, on a device.

#ifndef SPA_LAYERS_CUDA_UNPACK_TWO_OF_FOUR_H_
#define SPA_LAYERS_CUDA_UNPACK_TWO_OF_FOUR_H_

#include "kernels/packed/packed.h"
#include "layers/cuda/memory.h"

namespace spa::cuda {

// Returns (rows, columns) numbers of 16 bits. Throws gpu::Failure.
DeviceBytes UnpackTwoOfFour(const Packed& packed, const Memory& memory);

}  // namespace spa::cuda

#endif  // SPA_LAYERS_CUDA_UNPACK_TWO_OF_FOUR_H_
