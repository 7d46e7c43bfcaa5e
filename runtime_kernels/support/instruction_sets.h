// The instruction sets that kernels.inc files name.

#ifndef SPA_SUPPORT_INSTRUCTION_SETS_H_
#define SPA_SUPPORT_INSTRUCTION_SETS_H_

namespace spa {

enum class InstructionSet { any, avx2_fma, avx512f };

// True if processor and operating system can run the instruction set.
bool Supports(InstructionSet set);

}  // namespace spa

#endif  // SPA_SUPPORT_INSTRUCTION_SETS_H_
