// The CUDA library without ONNX Runtime: layers with tensors in host memory.

#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <string>

#include "abi/cuda_layer.h"
#include "abi/failure.h"
#include "abi/try.h"
#include "bench/runner.h"
#include "layers/cuda/layer.h"
#include "simt/device.h"
#include "spa_onnx_cuda.h"

namespace spa::cuda {
namespace {

void WriteNames(const std::vector<CudaKernel>& kernels, char* names,
                std::size_t size) {
  std::string text;
  for (const CudaKernel& kernel : kernels) {
    text += kernel.name;
    text += '\n';
  }
  if (text.size() + 1 > size) {
    throw InvalidInput("the names need " + std::to_string(text.size() + 1) +
                       " bytes");
  }
  std::memcpy(names, text.c_str(), text.size() + 1);
}

void RunOnce(int device, const SpaCudaLayer& given) {
  const gpu::Guard guard(device);
  const DeviceMemory memory;
  const HostLayer layer(given, device, memory);
  const DeviceBytes x(memory, layer.x_bytes());
  const DeviceBytes bias(memory, layer.bias_bytes());
  const DeviceBytes y(memory, layer.y_bytes());
  const DeviceBytes residual(memory, layer.residual_bytes());
  gpu::CopyToDevice(x.get(), given.x, layer.x_bytes());
  gpu::CopyToDevice(bias.get(), given.bias, layer.bias_bytes());
  gpu::CopyToDevice(residual.get(), given.residual, layer.residual_bytes());
  const gpu::OwnStream stream;
  layer.Run({x.get(), given.bias != nullptr ? bias.get() : nullptr,
             given.residual != nullptr ? residual.get() : nullptr, y.get()},
            stream.get());
  stream.Wait();
  gpu::CopyToHost(given.y, y.get(), layer.y_bytes());
}

}  // namespace
}  // namespace spa::cuda

const char* SpaCudaVersion() { return SPA_VERSION; }

int SpaCudaDescribe(int device, SpaCudaDevice* out, char* error,
                    size_t error_size) {
  return spa::Try(error, error_size, [&] {
    const spa::gpu::Properties p = spa::gpu::Describe(device);
    std::snprintf(out->name, sizeof(out->name), "%s", p.name.c_str());
    out->major = p.major;
    out->minor = p.minor;
    out->multiprocessors = p.multiprocessors;
    out->emulated = p.is_emulated ? 1 : 0;
    out->driver_version = p.driver_version;
    out->runtime_version = p.runtime_version;
    out->memory = p.memory;
    out->cache = p.cache;
    out->shared_memory = p.shared_memory;
  });
}

int SpaCudaRun(int device, const SpaCudaLayer* layer, char* error,
               size_t error_size) {
  return spa::Try(error, error_size,
                  [&] { spa::cuda::RunOnce(device, *layer); });
}

int SpaCudaKernels(int device, const SpaCudaLayer* layer, char* names,
                   size_t names_size, char* error, size_t error_size) {
  return spa::Try(error, error_size, [&] {
    const spa::gpu::Guard guard(device);
    const spa::cuda::DeviceMemory memory;
    const spa::cuda::HostLayer host(*layer, device, memory);
    spa::cuda::WriteNames(host.KernelsFor(), names, names_size);
  });
}

int SpaCudaPrepareLayer(int device, const SpaCudaLayer* layer, size_t copies,
                        SpaCudaRunner** out, char* error, size_t error_size) {
  return spa::Try(error, error_size, [&] {
    *out = spa::cuda::LayerRunner(device, *layer, copies).release();
  });
}

int SpaCudaPrepareDense(int device, const SpaCudaDense* dense, size_t copies,
                        SpaCudaRunner** out, char* error, size_t error_size) {
  return spa::Try(error, error_size, [&] {
    *out = spa::cuda::DenseRunner(device, *dense, copies).release();
  });
}

int SpaCudaPrepareRead(int device, size_t bytes, SpaCudaRunner** out,
                       char* error, size_t error_size) {
  return spa::Try(error, error_size, [&] {
    *out = spa::cuda::ReadRunner(device, bytes).release();
  });
}

int SpaCudaTime(SpaCudaRunner* runner, size_t runs, double* microseconds,
                char* error, size_t error_size) {
  return spa::Try(error, error_size,
                  [&] { *microseconds = runner->Time(runs); });
}

void SpaCudaRelease(SpaCudaRunner* runner) { delete runner; }
