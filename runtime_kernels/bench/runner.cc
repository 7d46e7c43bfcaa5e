#include "bench/runner.h"

#include <algorithm>

double SpaCudaRunner::Time(std::size_t runs) {
  const spa::gpu::Guard guard(device_);
  if (recorded_ != runs) {
    graph_.reset();
    recorded_ = 0;  // should what follows throw
    // Libraries load code and make plans at first, which cannot be recorded.
    for (std::size_t i = 0; i < std::min(runs, copies_); ++i) {
      Start(i, stream_.get());
    }
    stream_.Wait();
    graph_.emplace(spa::gpu::Graph::Of(stream_.get(), [&] {
      for (std::size_t i = 0; i < runs; ++i) {
        Start(i % copies_, stream_.get());
      }
    }));
    recorded_ = runs;
  }
  spa::gpu::Watch watch(stream_.get());
  watch.Begin();
  graph_->Start();
  return watch.End();
}
