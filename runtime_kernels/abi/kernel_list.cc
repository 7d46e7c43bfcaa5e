// SpaListKernels: all kernels.inc files as one table, for tests and reports.

#include "kernels/csr_linear/csr_linear.h"
#include "spa_onnx_kernels.h"
#include "support/instruction_sets.h"

const SpaKernelEntry* SpaListKernels(size_t* count) {
#define SPA_KERNEL(isa, name)     \
  {"csr_linear_f32", #name, #isa, \
   spa::Supports(spa::InstructionSet::isa) ? 1 : 0, &spa::name},
  static const SpaKernelEntry entries[] = {
#include "kernels/csr_linear/kernels.inc"
  };
#undef SPA_KERNEL
  *count = sizeof(entries) / sizeof(entries[0]);
  return entries;
}
