#include "kernels/kernels.h"

#include <cstdlib>
#include <cstring>

#include "support/instruction_sets.h"

namespace spa {

const Kernels* FindKernels(const char* wanted) {
#define SPA_KERNELS(id, isa)                       \
  if (Supports(InstructionSet::isa) &&             \
      std::strcmp(kernels_##id.name, wanted) == 0) \
    return &kernels_##id;
#include "kernels/kernels.inc"
#undef SPA_KERNELS
  return nullptr;
}

const Kernels& ChooseKernels() {
  const char* wanted = std::getenv("SPA_ONNX_INSTRUCTION_SET");
  const Kernels* found = wanted == nullptr ? nullptr : FindKernels(wanted);
  if (found != nullptr) return *found;
#define SPA_KERNELS(id, isa) \
  if (Supports(InstructionSet::isa)) return kernels_##id;
#include "kernels/kernels.inc"
#undef SPA_KERNELS
  std::abort();  // unreachable: the last line of kernels.inc supports `any`
}

}  // namespace spa
