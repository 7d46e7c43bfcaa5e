#include <algorithm>
#include <limits>
#include <vector>

#include "abi/failure.h"
#include "bench/random_numbers.h"
#include "bench/runner.h"
#include "layers/cuda/extent.h"
#include "layers/cuda/memory.h"
#include "libraries/cublaslt.h"

namespace spa::cuda {
namespace {

using cublaslt::Algorithm;
using cublaslt::Product;
using cublaslt::Sizes;

constexpr std::size_t kNumber = sizeof(std::uint16_t);
constexpr std::size_t kWorkspace = 32 << 20;  // bytes
constexpr int kMostAlgorithms = 8;
constexpr std::size_t kTrialRuns = 10;
constexpr int kTrials = 3;

Sizes SizesOf(const SpaCudaDense& dense) {
  if (dense.rows == 0 || dense.columns == 0 || dense.tokens == 0) {
    throw InvalidInput("rows, columns and tokens must be at least 1");
  }
  CheckedProduct(dense.rows, dense.columns, "W");
  CheckedProduct(dense.tokens, dense.columns, "X");
  CheckedProduct(dense.tokens, dense.rows, "Y");
  return {dense.bfloat16 != 0 ? ValueType::kBfloat16 : ValueType::kFloat16,
          dense.rows, dense.columns, dense.tokens};
}

// What the library would do with the CPU's memory, where there is a GPU.
const cublaslt::Library& ForDevice(const cublaslt::Library& library,
                                   int device) {
  if (!gpu::Describe(device).is_emulated || library.is_chosen()) return library;
  throw gpu::Failure("cuBLASLt needs a GPU, the device is emulated");
}

class Dense final : public SpaCudaRunner {
 public:
  Dense(int device, const Sizes& sizes, std::size_t copies)
      : SpaCudaRunner(device, copies),
        workspace_(memory_, kWorkspace),
        product_(ForDevice(library_, device), sizes, workspace_.get(),
                 kWorkspace) {
    RandomNumbers numbers(sizes.type);
    for (std::size_t i = 0; i < copies; ++i) {
      sets_.push_back(std::make_unique<Set>(sizes, memory_, numbers));
    }
    algorithm_ = Fastest(product_.Propose(kMostAlgorithms));
  }

 protected:
  void Start(std::size_t copy, gpu::Stream stream) override {
    StartWith(algorithm_, copy, stream);
  }

 private:
  struct Set {
    Set(const Sizes& sizes, const Memory& memory, RandomNumbers& numbers)
        : x(memory, kNumber * sizes.tokens * sizes.columns),
          w(memory, kNumber * sizes.rows * sizes.columns),
          y(memory, kNumber * sizes.tokens * sizes.rows) {
      numbers.CopyTo(x.get(), sizes.tokens * sizes.columns);
      numbers.CopyTo(w.get(), sizes.rows * sizes.columns);
    }

    const DeviceBytes x, w, y;
  };

  void StartWith(const Algorithm& algorithm, std::size_t copy,
                 gpu::Stream stream) const {
    const Set& set = *sets_[copy];
    product_.Start(algorithm, {set.x.get(), set.w.get(), set.y.get()}, stream);
  }

  // Microseconds of some runs.
  double TimeOf(const Algorithm& algorithm, gpu::Stream stream) const {
    // Not recorded, since what loads code when first used must not be.
    StartWith(algorithm, 0, stream);
    // One graph, so that it is not the host that is timed.
    const gpu::Graph graph = gpu::Graph::Of(stream, [&] {
      for (std::size_t i = 0; i < kTrialRuns; ++i) {
        StartWith(algorithm, i % sets_.size(), stream);
      }
    });
    gpu::Watch watch(stream);
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < kTrials; ++i) {
      watch.Begin();
      graph.Start();
      least = std::min(least, watch.End());
    }
    return least;
  }

  // An algorithm that fails is not the fastest; that all do is a failure.
  Algorithm Fastest(const std::vector<Algorithm>& algorithms) const {
    const gpu::OwnStream stream;
    const Algorithm* fastest = nullptr;
    double least = 0;
    for (const Algorithm& algorithm : algorithms) {
      try {
        const double time = TimeOf(algorithm, stream.get());
        if (fastest != nullptr && time >= least) continue;
        fastest = &algorithm;
        least = time;
      } catch (const gpu::Failure&) {
        if (fastest == nullptr && &algorithm == &algorithms.back()) throw;
      }
    }
    return *fastest;
  }

  const cublaslt::Library library_;
  const DeviceMemory memory_;
  const DeviceBytes workspace_;
  const Product product_;
  std::vector<std::unique_ptr<Set>> sets_;
  Algorithm algorithm_{};
};

}  // namespace

std::unique_ptr<SpaCudaRunner> DenseRunner(int device,
                                           const SpaCudaDense& dense,
                                           std::size_t copies) {
  if (copies == 0) throw InvalidInput("at least one copy is needed");
  const Sizes sizes = SizesOf(dense);
  const gpu::Guard guard(device);
  return std::make_unique<Dense>(device, sizes, copies);
}

}  // namespace spa::cuda
