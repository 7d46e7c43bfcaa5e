#include <cstdlib>

#include "kernels/csr_linear/csr_linear.h"
#include "support/instruction_sets.h"

namespace spa {

const CsrLinearKernel& ChooseCsrLinear() {
#define SPA_KERNEL(isa, name) \
  if (Supports(InstructionSet::isa)) return name;
#include "kernels/csr_linear/kernels.inc"
#undef SPA_KERNEL
  std::abort();  // unreachable: the last line of kernels.inc supports `any`
}

}  // namespace spa
