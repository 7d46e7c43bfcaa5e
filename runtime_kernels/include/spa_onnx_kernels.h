// What the shared library spa_onnx_kernels exports: the registration function
// that ONNX Runtime looks up, and a list of the kernels inside for tests.

#ifndef SPA_ONNX_KERNELS_H_
#define SPA_ONNX_KERNELS_H_

#include <stddef.h>

#if defined(_WIN32)
#define SPA_EXPORT __declspec(dllexport)
#else
#define SPA_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct OrtSessionOptions;
struct OrtApiBase;
struct OrtStatus;

// Adds the domain "ai.spa" to the session options. Returns null, or a status
// that the caller releases; a runtime older than 1.17 gets a status too.
SPA_EXPORT struct OrtStatus* RegisterCustomOps(
    struct OrtSessionOptions* options, const struct OrtApiBase* api_base);

// One variant of one kernel.
struct SpaKernelEntry {
  const char* operation;        // "csr_linear_f32"
  const char* name;             // "csr_linear_f32_avx2"
  const char* instruction_set;  // "avx2_fma"
  int supported;                // 1 if this processor can run it
  const void* kernel;           // the operation's kernel struct, see its header
};

// Every variant of every kernel in this library, each operation fastest first.
// The array lives as long as the library.
SPA_EXPORT const struct SpaKernelEntry* SpaListKernels(size_t* count);

#ifdef __cplusplus
}
#endif

#endif  // SPA_ONNX_KERNELS_H_
