// What the kernel takes that reads memory and does next to nothing with it.

#ifndef SPA_KERNELS_READ_BYTES_CALL_H_
#define SPA_KERNELS_READ_BYTES_CALL_H_

#include <cstdint>

namespace spa::cuda {

struct ReadBytesCall {
  const unsigned char* from;  // 16-byte aligned
  std::uint64_t vectors;      // of 16 bytes
  std::uint64_t blocks;       // of kReadThreads threads
  std::uint32_t* out;         // written if all bits that a thread read are 1
};

constexpr unsigned kReadThreads = 512;

// Of simt::FunctionOf.
const void* ReadBytesFunction();

}  // namespace spa::cuda

#endif  // SPA_KERNELS_READ_BYTES_CALL_H_
