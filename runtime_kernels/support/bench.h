// Timing for the benchmarks beside the kernels.

#ifndef SPA_SUPPORT_BENCH_H_
#define SPA_SUPPORT_BENCH_H_

#include <algorithm>
#include <chrono>
#include <vector>

namespace spa {

// Median wall-clock seconds of one call. Each of 21 samples repeats the call
// for about 2 ms, so that the clock's own cost does not show.
template <typename Call>
double MedianSeconds(const Call& call) {
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  const auto time = [&](int repeats) {
    const auto start = Clock::now();
    for (int i = 0; i < repeats; ++i) call();
    return Seconds(Clock::now() - start).count() / repeats;
  };
  constexpr double kSampleSeconds = 0.002;
  call();
  const int repeats = std::max(1, static_cast<int>(kSampleSeconds / time(1)));
  std::vector<double> samples(21);
  for (double& sample : samples) sample = time(repeats);
  std::nth_element(samples.begin(), samples.begin() + 10, samples.end());
  return samples[10];
}

}  // namespace spa

#endif  // SPA_SUPPORT_BENCH_H_
