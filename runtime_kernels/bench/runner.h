// What can be timed on a GPU.

#ifndef SPA_BENCH_RUNNER_H_
#define SPA_BENCH_RUNNER_H_

#include <cstddef>
#include <memory>
#include <optional>

#include "simt/device.h"
#include "spa_onnx_cuda.h"

// Several copies of something on a device. Start is called for one after the
// other, so that none finds its data in a cache.
struct SpaCudaRunner {
 public:
  SpaCudaRunner(int device, std::size_t copies)
      : device_(device), copies_(copies) {}
  virtual ~SpaCudaRunner() = default;

  // Microseconds of so many runs, started as one graph.
  double Time(std::size_t runs);

 protected:
  virtual void Start(std::size_t copy, spa::gpu::Stream stream) = 0;

 private:
  const int device_;
  const std::size_t copies_;
  const spa::gpu::OwnStream stream_;
  std::optional<spa::gpu::Graph> graph_;
  std::size_t recorded_ = 0;  // runs of the graph
};

namespace spa::cuda {

// All throw InvalidInput and gpu::Failure.
std::unique_ptr<SpaCudaRunner> LayerRunner(int device,
                                           const SpaCudaLayer& layer,
                                           std::size_t copies);
std::unique_ptr<SpaCudaRunner> DenseRunner(int device,
                                           const SpaCudaDense& dense,
                                           std::size_t copies);
std::unique_ptr<SpaCudaRunner> ReadRunner(int device, std::size_t bytes);

}  // namespace spa::cuda

#endif  // SPA_BENCH_RUNNER_H_
