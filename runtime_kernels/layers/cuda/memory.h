// Device memory: the runtime's, or our own where there is none.

#ifndef SPA_LAYERS_CUDA_MEMORY_H_
#define SPA_LAYERS_CUDA_MEMORY_H_

#include <cstddef>
#include <utility>

#include "simt/device.h"
#include "support/buffer.h"

namespace spa::cuda {

class DeviceMemory final : public Memory {
 public:
  void* Allocate(std::size_t bytes) const override {
    return gpu::Allocate(bytes);
  }
  void Free(void* bytes) const noexcept override { gpu::Free(bytes); }
};

// Bytes of a device, not initialised, freed where they came from; null if none
// are wanted.
class DeviceBytes {
 public:
  DeviceBytes() = default;
  DeviceBytes(const Memory& memory, std::size_t bytes)
      : memory_(&memory),
        start_(bytes != 0 ? memory.Allocate(bytes) : nullptr) {}
  DeviceBytes(DeviceBytes&& other) noexcept
      : memory_(other.memory_), start_(std::exchange(other.start_, nullptr)) {}
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  ~DeviceBytes() {
    if (start_ != nullptr) memory_->Free(start_);
  }

  unsigned char* get() const { return static_cast<unsigned char*>(start_); }

 private:
  const Memory* memory_ = nullptr;
  void* start_ = nullptr;
};

}  // namespace spa::cuda

#endif  // SPA_LAYERS_CUDA_MEMORY_H_
