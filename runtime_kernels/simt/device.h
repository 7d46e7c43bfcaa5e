// The host's side of a GPU: memory, launches, time. Two files define it, one by
// CUDA's runtime, one by the emulator, whose device is the CPU.

#ifndef SPA_SIMT_DEVICE_H_
#define SPA_SIMT_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace spa::gpu {

// What the device or its driver refused. The text says what was tried.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Too little device memory.
class OutOfMemory : public Failure {
 public:
  using Failure::Failure;
};

// cudaStream_t and cudaEvent_t.
using Stream = void*;
using Event = void*;

struct Properties {
  std::string name;
  int major;  // of the compute capability
  int minor;
  int multiprocessors;
  bool is_emulated;
  int driver_version;
  int runtime_version;
  std::uint64_t memory;
  std::uint64_t cache;          // of the second level
  std::uint64_t shared_memory;  // that a block may have
  int index;                    // by which the driver knows it
};

// All throw Failure.
Properties Describe(int device);
int DeviceOf(const void* memory);

// Makes a device the calling thread's, and the one before its again at the end.
class Guard {
 public:
  explicit Guard(int device);
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard();

 private:
  int before_;
};

void* Allocate(std::size_t bytes);  // also OutOfMemory
void Free(void* memory) noexcept;
void CopyToDevice(void* to, const void* from, std::size_t bytes);
void CopyToHost(void* to, const void* from, std::size_t bytes);

// Lets a kernel's blocks have so many bytes of shared memory; once before
// launches that need more than 48 KiB.
void AllowShared(const void* function, std::size_t bytes);

struct Grid {
  unsigned blocks;
  unsigned threads;
  std::size_t shared_bytes;
};

// Starts a kernel, of simt::FunctionOf, on a stream; returns at once. The
// parameters are copied.
void Launch(const void* function, const Grid& grid, const void* params,
            std::size_t params_size, Stream stream);

// Waits until a stream is done with what was started.
void Wait(Stream stream);

// Whether what is started on a stream is recorded in a graph.
bool IsRecording(Stream stream);

// What was started on a stream meanwhile, to be started again as one.
class Graph {
 public:
  template <class Body>
  static Graph Of(Stream stream, const Body& body) {
    Graph graph(stream);
    body();
    graph.Close();
    return graph;
  }
  Graph(Graph&& other) noexcept;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

  void Start() const;

 private:
  explicit Graph(Stream stream);
  void Close();

  Stream stream_;
  void* graph_ = nullptr;
  void* executable_ = nullptr;
};

class OwnStream {
 public:
  OwnStream();
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;
  ~OwnStream();

  Stream get() const { return stream_; }
  void Wait() const;

 private:
  Stream stream_ = nullptr;
};

// Microseconds between two points of a stream.
class Watch {
 public:
  explicit Watch(Stream stream);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch();

  void Begin();
  double End();  // waits

 private:
  Stream stream_;
  Event begin_ = nullptr;
  Event end_ = nullptr;
};

}  // namespace spa::gpu

#endif  // SPA_SIMT_DEVICE_H_
