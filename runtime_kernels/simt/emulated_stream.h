// What Stream points to where the device is the CPU. Libraries that tests put
// in the place of NVIDIA's start their work through it, so that graphs record
// it as they do kernels.

#ifndef SPA_SIMT_EMULATED_STREAM_H_
#define SPA_SIMT_EMULATED_STREAM_H_

#include <functional>

namespace spa::gpu {

struct EmulatedStream {
  // Does the work, or records it.
  void (*start)(std::function<void()> work);
};

}  // namespace spa::gpu

#endif  // SPA_SIMT_EMULATED_STREAM_H_
