#include "custom_ops/cuda/session_device.h"

#include "layers/cuda/memory.h"

namespace spa::cuda {

gpu::Properties DeviceBehind(const Memory& memory) {
  constexpr std::size_t kFew = 256;
  const DeviceBytes some(memory, kFew);
  return gpu::Describe(gpu::DeviceOf(some.get()));
}

}  // namespace spa::cuda
