#include <cuda_runtime_api.h>

#include <utility>

#include "simt/device.h"

namespace spa::gpu {
namespace {

void Check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // or the next call would report it again
  const std::string text =
      std::string("CUDA: ") + what + ": " + cudaGetErrorString(code);
  if (code == cudaErrorMemoryAllocation) throw OutOfMemory(text);
  throw Failure(text);
}

cudaStream_t StreamOf(Stream stream) {
  return static_cast<cudaStream_t>(stream);
}
cudaEvent_t EventOf(Event event) { return static_cast<cudaEvent_t>(event); }

int Attribute(cudaDeviceAttr attribute, int device) {
  int value = 0;
  Check(cudaDeviceGetAttribute(&value, attribute, device),
        "asking for a device's attributes");
  return value;
}

}  // namespace

Properties Describe(int device) {
  int count = 0;
  const cudaError_t looked = cudaGetDeviceCount(&count);
  int driver = 0;
  if (looked == cudaErrorInsufficientDriver &&
      cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) {
    cudaGetLastError();
    throw Failure("CUDA: there is no NVIDIA driver");
  }
  Check(looked, "looking for devices");
  if (device < 0 || device >= count) {
    throw Failure("CUDA: there is no device " + std::to_string(device) +
                  " among " + std::to_string(count));
  }
  cudaDeviceProp found;
  Check(cudaGetDeviceProperties(&found, device), "asking for a device");
  Properties p{};
  p.name = found.name;
  p.index = device;
  p.major = found.major;
  p.minor = found.minor;
  p.multiprocessors = found.multiProcessorCount;
  p.memory = found.totalGlobalMem;
  p.cache = static_cast<std::uint64_t>(found.l2CacheSize);
  p.shared_memory = static_cast<std::uint64_t>(
      Attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  Check(cudaDriverGetVersion(&p.driver_version), "asking for its driver");
  Check(cudaRuntimeGetVersion(&p.runtime_version), "asking for the runtime");
  return p;
}

int DeviceOf(const void* memory) {
  cudaPointerAttributes found;
  Check(cudaPointerGetAttributes(&found, memory), "asking where memory lies");
  if (found.type != cudaMemoryTypeDevice) {
    throw Failure("CUDA: memory that should be a device's is not");
  }
  return found.device;
}

Guard::Guard(int device) : before_(0) {
  Check(cudaGetDevice(&before_), "asking for the current device");
  Check(cudaSetDevice(device), "choosing a device");
}

Guard::~Guard() { cudaSetDevice(before_); }

void* Allocate(std::size_t bytes) {
  void* found = nullptr;
  Check(cudaMalloc(&found, bytes == 0 ? 1 : bytes), "allocating memory");
  return found;
}

void Free(void* memory) noexcept { cudaFree(memory); }

void CopyToDevice(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  Check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice),
        "copying to a device");
  // It returns when it has read what it copies, and streams of our own do not
  // wait for the rest.
  Check(cudaStreamSynchronize(nullptr), "copying to a device");
}

void CopyToHost(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  Check(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost),
        "copying from a device");
}

void AllowShared(const void* function, std::size_t bytes) {
  Check(cudaFuncSetAttribute(function,
                             cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(bytes)),
        "asking for shared memory");
}

void Launch(const void* function, const Grid& grid, const void* params,
            std::size_t /*params_size*/, Stream stream) {
  void* arguments[] = {const_cast<void*>(params)};
  Check(cudaLaunchKernel(function, dim3(grid.blocks), dim3(grid.threads),
                         arguments, grid.shared_bytes, StreamOf(stream)),
        "starting a kernel");
}

void Wait(Stream stream) {
  Check(cudaStreamSynchronize(StreamOf(stream)), "waiting for a stream");
}

bool IsRecording(Stream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  Check(cudaStreamIsCapturing(StreamOf(stream), &status),
        "asking what a stream does");
  return status != cudaStreamCaptureStatusNone;
}

Graph::Graph(Stream stream) : stream_(stream) {
  Check(cudaStreamBeginCapture(StreamOf(stream),
                               cudaStreamCaptureModeThreadLocal),
        "recording a graph");
}

void Graph::Close() {
  cudaGraph_t graph = nullptr;
  const cudaError_t code = cudaStreamEndCapture(StreamOf(stream_), &graph);
  graph_ = graph;
  Check(code, "recording a graph");
  cudaGraphExec_t executable = nullptr;
  Check(cudaGraphInstantiate(&executable, graph, 0), "preparing a graph");
  executable_ = executable;
}

Graph::Graph(Graph&& other) noexcept
    : stream_(other.stream_),
      graph_(std::exchange(other.graph_, nullptr)),
      executable_(std::exchange(other.executable_, nullptr)) {}

Graph::~Graph() {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaStreamIsCapturing(StreamOf(stream_), &status);
  if (status != cudaStreamCaptureStatusNone) {  // the body threw
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(StreamOf(stream_), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
  }
  if (executable_ != nullptr) {
    cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable_));
  }
  if (graph_ != nullptr) cudaGraphDestroy(static_cast<cudaGraph_t>(graph_));
}

void Graph::Start() const {
  Check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_),
                        StreamOf(stream_)),
        "starting a graph");
}

OwnStream::OwnStream() {
  cudaStream_t stream = nullptr;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
        "making a stream");
  stream_ = stream;
}

OwnStream::~OwnStream() { cudaStreamDestroy(StreamOf(stream_)); }

void OwnStream::Wait() const { gpu::Wait(stream_); }

Watch::Watch(Stream stream) : stream_(stream) {
  cudaEvent_t begin = nullptr, end = nullptr;
  Check(cudaEventCreate(&begin), "making an event");
  begin_ = begin;
  const cudaError_t code = cudaEventCreate(&end);
  if (code != cudaSuccess) cudaEventDestroy(begin);
  Check(code, "making an event");
  end_ = end;
}

Watch::~Watch() {
  cudaEventDestroy(EventOf(begin_));
  cudaEventDestroy(EventOf(end_));
}

void Watch::Begin() {
  Check(cudaEventRecord(EventOf(begin_), StreamOf(stream_)),
        "recording an event");
}

double Watch::End() {
  Check(cudaEventRecord(EventOf(end_), StreamOf(stream_)),
        "recording an event");
  Check(cudaEventSynchronize(EventOf(end_)), "waiting for an event");
  float milliseconds = 0;
  Check(cudaEventElapsedTime(&milliseconds, EventOf(begin_), EventOf(end_)),
        "reading the time");
  return 1e3 * static_cast<double>(milliseconds);
}

}  // namespace spa::gpu
