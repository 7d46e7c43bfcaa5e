// Random numbers for a device. Zeros would be multiplied with less power, and
// so at a higher clock, than what layers have.

#ifndef SPA_BENCH_RANDOM_NUMBERS_H_
#define SPA_BENCH_RANDOM_NUMBERS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/packed/packed.h"

namespace spa::cuda {

// Numbers uniform in (-1, 1), of 16 bits, the same in each run.
class RandomNumbers {
 public:
  explicit RandomNumbers(ValueType type);

  // So many to a device. They repeat, but not where rows of a matrix do.
  void CopyTo(void* to, std::size_t count);

 private:
  std::vector<std::uint16_t> numbers_;
  std::size_t next_ = 0;
};

}  // namespace spa::cuda

#endif  // SPA_BENCH_RANDOM_NUMBERS_H_
