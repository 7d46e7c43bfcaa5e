#include "support/instruction_sets.h"

namespace spa {

bool Supports(InstructionSet set) {
  switch (set) {
    case InstructionSet::any:
      return true;
#ifdef SPA_X86
    case InstructionSet::avx2_fma:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case InstructionSet::avx512f:
      return __builtin_cpu_supports("avx512f");
#endif
    default:
      return false;
  }
}

}  // namespace spa
