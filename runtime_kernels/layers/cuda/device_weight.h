// A packed weight, checked on the host, in the memory of a device.

#ifndef SPA_LAYERS_CUDA_DEVICE_WEIGHT_H_
#define SPA_LAYERS_CUDA_DEVICE_WEIGHT_H_

#include "kernels/fragments/call.h"
#include "kernels/packed/packed.h"
#include "layers/cuda/memory.h"

namespace spa::cuda {

class DeviceWeight {
 public:
  // `packed` is what ParseForCuda found in the bytes. They are copied as they
  // are, and not needed afterwards. Throws gpu::Failure.
  DeviceWeight(const unsigned char* bytes, const Packed& packed,
               const Memory& memory);

  const Weight& view() const { return view_; }

 private:
  const DeviceBytes bytes_;
  const DeviceBytes order_;  // of kind tiles
  Weight view_;
};

}  // namespace spa::cuda

#endif  // SPA_LAYERS_CUDA_DEVICE_WEIGHT_H_
