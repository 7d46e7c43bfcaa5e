// A device that is the CPU. Tests choose what it says of itself.

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "simt/device.h"
#include "simt/emulated_stream.h"
#include "simt/emulator.h"
#include "spa_onnx_kernels.h"

namespace spa::gpu {
namespace {

using Clock = std::chrono::steady_clock;
using Recorded = std::vector<std::function<void()>>;

struct Emulated {
  int major = 9;
  int minor = 0;
  std::uint64_t shared_memory = 227 << 10;
  std::uint64_t memory = std::uint64_t{1} << 30;
};

Emulated& TheDevice() {
  static Emulated device;
  return device;
}

std::atomic<std::uint64_t> used{0};

// What the calling thread records, if anything.
thread_local Recorded* recording = nullptr;

// Sizes lie in front of what was allocated, so that Free knows them, and the
// end of what was asked for is the allocation's, so that sanitizers see it.
constexpr std::size_t kFront = 256;

void RefuseWhileRecording(const char* what) {
  if (recording == nullptr) return;
  throw Failure(std::string("emulated device: ") + what +
                " while a graph is recorded");
}

void StartOrRecord(std::function<void()> work) {
  if (recording != nullptr) {
    recording->push_back(std::move(work));
  } else {
    work();
  }
}

EmulatedStream the_stream{&StartOrRecord};

double Microseconds(Clock::duration taken) {
  return std::chrono::duration<double, std::micro>(taken).count();
}

}  // namespace

Properties Describe(int device) {
  if (device != 0) {
    throw Failure("there is no emulated device " + std::to_string(device));
  }
  const Emulated& e = TheDevice();
  constexpr int kMultiprocessors = 4;
  constexpr std::uint64_t kCache = 1 << 20;
  return {"emulated", e.major,  e.minor, kMultiprocessors, true,  0,
          0,          e.memory, kCache,  e.shared_memory,  device};
}

int DeviceOf(const void*) { return 0; }

Guard::Guard(int device) : before_(device) { Describe(device); }
Guard::~Guard() = default;

void* Allocate(std::size_t bytes) {
  RefuseWhileRecording("memory is asked for");
  void* raw = nullptr;
  if (bytes > TheDevice().memory - used ||
      posix_memalign(&raw, kFront, kFront + bytes) != 0) {
    throw OutOfMemory("emulated device: out of memory");
  }
  used += bytes;
  std::memcpy(raw, &bytes, sizeof(bytes));
  auto* start = static_cast<unsigned char*>(raw) + kFront;
  std::memset(start, 0xFF, bytes);
  return start;
}

void Free(void* memory) noexcept {
  if (memory == nullptr) return;
  unsigned char* raw = static_cast<unsigned char*>(memory) - kFront;
  std::size_t bytes = 0;
  std::memcpy(&bytes, raw, sizeof(bytes));
  used -= bytes;
  std::free(raw);
}

void CopyToDevice(void* to, const void* from, std::size_t bytes) {
  RefuseWhileRecording("memory is copied");
  if (bytes != 0) std::memcpy(to, from, bytes);
}

void CopyToHost(void* to, const void* from, std::size_t bytes) {
  CopyToDevice(to, from, bytes);
}

void AllowShared(const void*, std::size_t bytes) {
  if (bytes > TheDevice().shared_memory) {
    throw Failure("emulated device: no block has " + std::to_string(bytes) +
                  " bytes of shared memory");
  }
}

void Launch(const void* function, const Grid& grid, const void* params,
            std::size_t params_size, Stream /*stream*/) {
  AllowShared(function, grid.shared_bytes);
  if (grid.blocks == 0 || grid.blocks > 0x7FFFFFFFu) {
    throw Failure("emulated device: a grid of " + std::to_string(grid.blocks) +
                  " blocks");
  }
  const auto entry =
      reinterpret_cast<void (*)(const void*)>(const_cast<void*>(function));
  const auto* bytes = static_cast<const unsigned char*>(params);
  std::vector<unsigned char> copied(bytes, bytes + params_size);
  StartOrRecord([entry, grid, copied = std::move(copied)] {
    simt::Emulate(entry, copied.data(), grid.blocks, grid.threads,
                  grid.shared_bytes);
  });
}

void Wait(Stream) { RefuseWhileRecording("a stream is waited for"); }

bool IsRecording(Stream) { return recording != nullptr; }

Graph::Graph(Stream stream) : stream_(stream), graph_(new Recorded) {
  RefuseWhileRecording("another is begun");
  recording = static_cast<Recorded*>(graph_);
}

void Graph::Close() { recording = nullptr; }

Graph::Graph(Graph&& other) noexcept
    : stream_(other.stream_), graph_(std::exchange(other.graph_, nullptr)) {}

Graph::~Graph() {
  if (graph_ != nullptr && recording == graph_) recording = nullptr;
  delete static_cast<Recorded*>(graph_);
}

void Graph::Start() const {
  for (const auto& run : *static_cast<const Recorded*>(graph_)) run();
}

OwnStream::OwnStream() : stream_(&the_stream) {}
OwnStream::~OwnStream() = default;
void OwnStream::Wait() const { gpu::Wait(stream_); }

Watch::Watch(Stream stream) : stream_(stream), begin_(new Clock::time_point) {}
Watch::~Watch() { delete static_cast<Clock::time_point*>(begin_); }

void Watch::Begin() { *static_cast<Clock::time_point*>(begin_) = Clock::now(); }

double Watch::End() {
  return Microseconds(Clock::now() -
                      *static_cast<const Clock::time_point*>(begin_));
}

}  // namespace spa::gpu

// For tests: what the device says of itself from now on, how many bytes of it
// are allocated, and whether what the calling thread starts is recorded, to be
// forgotten.
extern "C" {

SPA_EXPORT void SpaEmulateDevice(int major, int minor, std::uint64_t shared,
                                 std::uint64_t memory) {
  spa::gpu::TheDevice() = {major, minor, shared, memory};
}

SPA_EXPORT std::uint64_t SpaEmulatedBytes() { return spa::gpu::used; }

SPA_EXPORT void SpaEmulateRecording(int on) {
  thread_local spa::gpu::Recorded forgotten;
  forgotten.clear();
  spa::gpu::recording = on != 0 ? &forgotten : nullptr;
}
}
