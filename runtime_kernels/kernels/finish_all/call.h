// What the kernel takes that follows a library's product, where the library
// lacks the activation: Y = act(Y).

#ifndef SPA_KERNELS_FINISH_ALL_CALL_H_
#define SPA_KERNELS_FINISH_ALL_CALL_H_

#include <cstdint>

#include "kernels/activation.h"
#include "kernels/packed/packed.h"

namespace spa::cuda {

struct FinishAllCall {
  std::uint16_t* y;       // 16-byte aligned
  std::uint64_t vectors;  // of 8 numbers
  std::uint64_t blocks;   // of kFinishThreads threads
  Epilogue epilogue;
};

constexpr unsigned kFinishThreads = 256;

// Of simt::FunctionOf, for float16 or bfloat16.
const void* FinishAllFunction(ValueType type);

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FINISH_ALL_CALL_H_
