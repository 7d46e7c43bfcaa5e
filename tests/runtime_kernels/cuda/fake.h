// What libraries that tests put in the place of NVIDIA's have in common: they
// count what is alive and how often each function was called, and return the
// status that they are told to.

#ifndef SPA_TESTS_RUNTIME_KERNELS_CUDA_FAKE_H_
#define SPA_TESTS_RUNTIME_KERNELS_CUDA_FAKE_H_

#include <cstdint>
#include <map>
#include <string>

#include "simt/emulated_stream.h"
#include "simt/halves.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace fake {

constexpr int kHalf = 2;     // CUDA_R_16F
constexpr int kBfloat = 14;  // CUDA_R_16BF

struct Record {
  std::map<std::string, int> refused;  // status of a function
  std::map<std::string, int> calls;
};

inline Record& TheRecord() {
  static Record record;
  return record;
}

inline int& Alive() {
  static int alive = 0;
  return alive;
}

inline int StatusOf(const char* function) {
  Record& record = TheRecord();
  ++record.calls[function];
  const auto found = record.refused.find(function);
  return found == record.refused.end() ? 0 : found->second;
}

inline float Load(int type, const void* from, std::uint64_t at) {
  const std::uint16_t bits = static_cast<const std::uint16_t*>(from)[at];
  return type == kHalf ? spa::simt::HalfToFloat(bits)
                       : spa::simt::Bfloat16ToFloat(bits);
}

inline void Store(int type, void* to, std::uint64_t at, float number) {
  static_cast<std::uint16_t*>(to)[at] =
      type == kHalf ? spa::simt::FloatToHalf(number)
                    : spa::simt::FloatToBfloat16(number);
}

// At once where there is no stream, as in sessions on the CPU.
inline void Start(void* stream, const std::function<void()>& work) {
  if (stream == nullptr) {
    work();
  } else {
    static_cast<spa::gpu::EmulatedStream*>(stream)->start(work);
  }
}

}  // namespace fake

EXPORT void FakeRefuse(const char* function, int status) {
  fake::TheRecord().refused[function] = status;
}
EXPORT int FakeCalls(const char* function) {
  return fake::TheRecord().calls[function];
}
EXPORT int FakeAlive() { return fake::Alive(); }

#endif  // SPA_TESTS_RUNTIME_KERNELS_CUDA_FAKE_H_
