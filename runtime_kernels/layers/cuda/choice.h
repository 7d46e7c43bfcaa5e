// Which kernel does a run, and in which grid.

#ifndef SPA_LAYERS_CUDA_CHOICE_H_
#define SPA_LAYERS_CUDA_CHOICE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda_kernels.h"
#include "simt/device.h"

namespace spa::cuda {

// Whose kernels do a run if they can.
enum class Engine { kOwn, kCusparselt };

// Of its name: own, cusparselt. Throws InvalidInput if there is none.
Engine EngineOf(const std::string& name);

// What tells kernels apart that can do a run.
struct Wanted {
  Kind kind;
  ValueType value_type;
  Layout layout;
  std::size_t block_rows;
  std::uint64_t rows;
  std::uint64_t images;
  std::uint64_t positions;
};

// The tiles of Y.
struct TileCount {
  std::uint64_t row_blocks;
  std::uint64_t position_tiles;  // of an image
  std::uint64_t images;

  std::uint64_t all() const { return row_blocks * position_tiles * images; }
};

TileCount TilesOf(const CudaKernel& kernel, const Wanted& wanted);

// Stages that a device has shared memory for; 0 if it has too little.
unsigned StagesOf(const CudaKernel& kernel, const gpu::Properties& device);

// The kernels that can, the best guess first.
std::vector<CudaKernel> RankedKernels(const Wanted& wanted,
                                      const gpu::Properties& device);

}  // namespace spa::cuda

#endif  // SPA_LAYERS_CUDA_CHOICE_H_
