#include <vector>

#include "abi/cuda_layer.h"
#include "abi/failure.h"
#include "bench/runner.h"

namespace spa::cuda {
namespace {

class Copies final : public SpaCudaRunner {
 public:
  Copies(int device, const SpaCudaLayer& given, std::size_t copies)
      : SpaCudaRunner(device, copies) {
    for (std::size_t i = 0; i < copies; ++i) {
      sets_.push_back(std::make_unique<Set>(device, given, memory_));
    }
  }

 protected:
  void Start(std::size_t copy, gpu::Stream stream) override {
    const Set& set = *sets_[copy];
    set.layer.Run(set.tensors, stream);
  }

 private:
  struct Set {
    Set(int device, const SpaCudaLayer& given, const Memory& memory)
        : layer(given, device, memory),
          x(memory, layer.x_bytes()),
          bias(memory, layer.bias_bytes()),
          residual(memory, layer.residual_bytes()),
          y(memory, layer.y_bytes()),
          tensors{x.get(), given.bias != nullptr ? bias.get() : nullptr,
                  given.residual != nullptr ? residual.get() : nullptr,
                  y.get()} {
      gpu::CopyToDevice(x.get(), given.x, layer.x_bytes());
      gpu::CopyToDevice(bias.get(), given.bias, layer.bias_bytes());
      gpu::CopyToDevice(residual.get(), given.residual, layer.residual_bytes());
    }

    const HostLayer layer;
    const DeviceBytes x, bias, residual, y;
    const Tensors tensors;
  };

  const DeviceMemory memory_;
  std::vector<std::unique_ptr<Set>> sets_;
};

}  // namespace

std::unique_ptr<SpaCudaRunner> LayerRunner(int device,
                                           const SpaCudaLayer& layer,
                                           std::size_t copies) {
  if (copies == 0) throw InvalidInput("at least one copy is needed");
  const gpu::Guard guard(device);
  return std::make_unique<Copies>(device, layer, copies);
}

}  // namespace spa::cuda
