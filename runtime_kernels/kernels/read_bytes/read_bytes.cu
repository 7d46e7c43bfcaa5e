#include "kernels/read_bytes/read_bytes.h"

namespace spa::cuda {

const void* ReadBytesFunction() { return simt::FunctionOf<ReadBytes>(); }

}  // namespace spa::cuda
