// The instruction sets that kernels.inc names.

#ifndef SPA_SUPPORT_INSTRUCTION_SETS_H_
#define SPA_SUPPORT_INSTRUCTION_SETS_H_

namespace spa {

// avx2_fma includes F16C; avx512 is F, BW, DQ and VL, as since Skylake's
// servers.
enum class InstructionSet { any, avx2_fma, avx512 };

// True if processor and operating system can run the instruction set.
bool Supports(InstructionSet set);

}  // namespace spa

#endif  // SPA_SUPPORT_INSTRUCTION_SETS_H_
