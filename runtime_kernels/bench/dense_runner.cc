#include "bench/runner.h"

namespace spa::cuda {

std::unique_ptr<SpaCudaRunner> DenseRunner(int, const SpaCudaDense&,
                                           std::size_t) {
  throw gpu::Failure("cuBLASLt is not there");
}

}  // namespace spa::cuda
