#include "support/instruction_sets.h"

namespace spa {

bool Supports(InstructionSet set) {
  switch (set) {
    case InstructionSet::any:
      return true;
#ifdef SPA_X86
    case InstructionSet::avx2_fma:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
    case InstructionSet::avx512:
      return __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
#endif
    default:
      return false;
  }
}

}  // namespace spa
