// Device memory and device of the session that an op runs in.

#ifndef SPA_CUSTOM_OPS_CUDA_SESSION_DEVICE_H_
#define SPA_CUSTOM_OPS_CUDA_SESSION_DEVICE_H_

#include <string>

#include "abi/failure.h"
#include "abi/ort_api.h"
#include "simt/device.h"
#include "support/buffer.h"

namespace spa::cuda {

// What the provider's arena hands out.
class SessionDeviceMemory final : public Memory {
 public:
  SessionDeviceMemory(const OrtApi& api, const OrtKernelInfo* info)
      : api_(api) {
    Check(api.KernelInfoGetAllocator(info, OrtMemTypeDefault, &allocator_));
  }
  SessionDeviceMemory(const SessionDeviceMemory&) = delete;
  SessionDeviceMemory& operator=(const SessionDeviceMemory&) = delete;
  ~SessionDeviceMemory() override { api_.ReleaseAllocator(allocator_); }

  void* Allocate(std::size_t bytes) const override {
    void* found = nullptr;
    OrtStatus* status = api_.AllocatorAlloc(allocator_, bytes, &found);
    if (status == nullptr && found != nullptr) return found;
    if (status != nullptr) api_.ReleaseStatus(status);
    throw gpu::OutOfMemory("the session's device has no " +
                           std::to_string(bytes) + " bytes left");
  }

  void Free(void* bytes) const noexcept override {
    OrtStatus* status = api_.AllocatorFree(allocator_, bytes);
    if (status != nullptr) api_.ReleaseStatus(status);
  }

 private:
  const OrtApi& api_;
  OrtAllocator* allocator_ = nullptr;
};

// The device that the memory is of.
gpu::Properties DeviceBehind(const Memory& memory);

}  // namespace spa::cuda

#endif  // SPA_CUSTOM_OPS_CUDA_SESSION_DEVICE_H_
