#include "layers/cuda/choice.h"

#include <algorithm>

#include "abi/failure.h"

namespace spa::cuda {
namespace {

// Tokens up to which reading the weight takes longer than multiplying.
constexpr std::uint64_t kFewTokens = 32;

// Stages beyond which more only take room.
constexpr unsigned kMostStages = 4;
constexpr unsigned kFewestStages = 2;

// What a multiprocessor keeps of its shared memory for each block.
constexpr std::size_t kReserved = 1024;

std::vector<CudaKernel> AllKernels() {
  std::vector<CudaKernel> all;
  for (const auto list :
       {GemmFloat16Tokens, GemmFloat16Planes, GemmBfloat16Tokens,
        GemmBfloat16Planes, GemvFloat16, GemvBfloat16}) {
    const std::vector<CudaKernel> part = list();
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

bool Fits(const CudaKernel& kernel, const Wanted& wanted) {
  return kernel.kind == wanted.kind && kernel.value_type == wanted.value_type &&
         kernel.layout == wanted.layout &&
         (kernel.block_rows == 0 || kernel.block_rows == wanted.block_rows);
}

std::uint64_t Quotient(std::uint64_t number, std::uint64_t by) {
  return number / by + (number % by != 0 ? 1 : 0);
}

// Smaller is better. Kernels for few tokens do them all at once or come last;
// of the others the largest tile wins that still leaves few multiprocessors
// without work and is not wider than all positions.
struct Rank {
  bool is_unsuited;
  bool leaves_idle;
  std::uint64_t size;

  bool operator<(const Rank& other) const {
    if (is_unsuited != other.is_unsuited) return other.is_unsuited;
    if (leaves_idle != other.leaves_idle) return other.leaves_idle;
    return size < other.size;
  }
};

// Rows of blocks differ in length, so that each multiprocessor should have some
// tiles; those of 2:4 weights are all alike.
bool LeavesIdle(const CudaKernel& kernel, const Wanted& wanted,
                const gpu::Properties& device) {
  const double each = wanted.kind == Kind::kTiles ? 1.5 : 0.75;
  return static_cast<double>(TilesOf(kernel, wanted).all()) <
         each * device.multiprocessors;
}

// Whether a narrower tile would do all positions of an image, too.
bool IsTooWide(const CudaKernel& kernel, const Wanted& wanted) {
  constexpr std::uint64_t kNarrowest = 64;
  return kernel.positions > kNarrowest * Quotient(wanted.positions, kNarrowest);
}

Rank RankOf(const CudaKernel& kernel, const Wanted& wanted,
            const gpu::Properties& device) {
  const bool is_few =
      wanted.layout == Layout::kTokens && wanted.positions <= kFewTokens;
  const std::uint64_t area = std::uint64_t{kernel.rows} * kernel.positions;
  if (!kernel.has_stages) {
    const bool in_one = wanted.positions <= kernel.positions;
    // The smallest that takes all tokens, else the largest.
    return {!is_few && wanted.kind != Kind::kBitmask, !in_one,
            in_one ? area : ~area};
  }
  const bool idle =
      LeavesIdle(kernel, wanted, device) || IsTooWide(kernel, wanted);
  return {is_few, idle, idle ? area : ~area};
}

}  // namespace

Engine EngineOf(const std::string& name) {
  if (name == "own") return Engine::kOwn;
  if (name == "cusparselt") return Engine::kCusparselt;
  throw InvalidInput("engine '" + name +
                     "' is unknown, expected own or cusparselt");
}

TileCount TilesOf(const CudaKernel& kernel, const Wanted& wanted) {
  return {Quotient(wanted.rows, kernel.rows),
          Quotient(wanted.positions, kernel.positions), wanted.images};
}

unsigned StagesOf(const CudaKernel& kernel, const gpu::Properties& device) {
  const std::size_t whole = device.shared_memory;
  if (!kernel.has_stages) return kernel.shared_bytes(1) <= whole ? 1 : 0;
  // Several blocks together if that leaves each a pipeline, else one.
  const std::size_t shared = (whole + kReserved) / kernel.blocks - kReserved;
  for (const std::size_t room : {shared, whole}) {
    for (unsigned stages = kMostStages; stages >= kFewestStages; --stages) {
      if (kernel.shared_bytes(stages) <= room) return stages;
    }
  }
  return 0;
}

std::vector<CudaKernel> RankedKernels(const Wanted& wanted,
                                      const gpu::Properties& device) {
  static const std::vector<CudaKernel> all = AllKernels();
  std::vector<CudaKernel> found;
  for (const CudaKernel& kernel : all) {
    if (Fits(kernel, wanted) && StagesOf(kernel, device) > 0) {
      found.push_back(kernel);
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [&](const CudaKernel& one, const CudaKernel& other) {
                     return RankOf(one, wanted, device) <
                            RankOf(other, wanted, device);
                   });
  return found;
}

}  // namespace spa::cuda
