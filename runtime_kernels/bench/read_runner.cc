#include "abi/failure.h"
#include "bench/runner.h"
#include "kernels/read_bytes/call.h"
#include "layers/cuda/memory.h"

namespace spa::cuda {

namespace {

constexpr std::size_t kVector = 16;
constexpr unsigned kBlocksEach = 4;  // of a multiprocessor

class Read final : public SpaCudaRunner {
 public:
  Read(int device, std::size_t bytes)
      : SpaCudaRunner(device, 1),
        from_(memory_, bytes),
        out_(memory_, sizeof(std::uint32_t)),
        call_{from_.get(), bytes / kVector,
              kBlocksEach * static_cast<std::uint64_t>(
                                gpu::Describe(device).multiprocessors),
              reinterpret_cast<std::uint32_t*>(out_.get())} {}

 protected:
  void Start(std::size_t, gpu::Stream stream) override {
    const gpu::Grid grid{static_cast<unsigned>(call_.blocks), kReadThreads, 0};
    gpu::Launch(ReadBytesFunction(), grid, &call_, sizeof(call_), stream);
  }

 private:
  const DeviceMemory memory_;
  const DeviceBytes from_;
  const DeviceBytes out_;
  const ReadBytesCall call_;
};

}  // namespace

std::unique_ptr<SpaCudaRunner> ReadRunner(int device, std::size_t bytes) {
  if (bytes < kVector) throw InvalidInput("too few bytes to read");
  const gpu::Guard guard(device);
  return std::make_unique<Read>(device, bytes);
}

}  // namespace spa::cuda
