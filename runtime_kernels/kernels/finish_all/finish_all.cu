#include "kernels/finish_all/finish_all.h"

namespace spa::cuda {

const void* FinishAllFunction(ValueType type) {
  return type == ValueType::kBfloat16
             ? simt::FunctionOf<FinishAll<simt::Bfloat16>>()
             : simt::FunctionOf<FinishAll<simt::Float16>>();
}

}  // namespace spa::cuda
