// What the shared library spa_onnx_kernels exports: the registration function
// that ONNX Runtime looks up, and for tests and benchmarks the kernels without
// it.

#ifndef SPA_ONNX_KERNELS_H_
#define SPA_ONNX_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

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

// The version of spa-onnx that the library belongs to.
SPA_EXPORT const char* SpaVersion(void);

// One instruction set that the kernels were compiled for.
struct SpaKernelEntry {
  const char* name;             // "avx2"
  const char* instruction_set;  // "avx2_fma"
  int supported;                // 1 if this processor can run it
  int chosen;                   // 1 if the ops run it
};

// Every instruction set, fastest first. The array lives as long as the library.
SPA_EXPORT const struct SpaKernelEntry* SpaListKernels(size_t* count);

// What all layers have; see custom_ops/ for the meaning.
struct SpaLayer {
  const char* kernels;    // name of an entry, or null for the chosen one
  const uint8_t* packed;  // weight, any alignment
  size_t packed_size;
  const float* x;
  const float* bias;      // or null
  const float* residual;  // or null
  float* y;
  const char* activation;
  float clip_min;
  float clip_max;
  size_t tile;
};

struct SpaLinear {
  struct SpaLayer layer;
  size_t tokens;
};

// Axes are vertical, horizontal; `pads` are those before the first input.
struct SpaConvolution {
  struct SpaLayer layer;
  size_t images;
  size_t channels;
  size_t input[2];
  size_t output[2];
  size_t kernel[2];
  size_t strides[2];
  size_t dilations[2];
  size_t pads[2];
};

// Run a layer `repeats` times on the calling thread. Return 0, or 1 with the
// reason in `error`.
SPA_EXPORT int SpaRunLinear(const struct SpaLinear* linear, size_t repeats,
                            char* error, size_t error_size);
SPA_EXPORT int SpaRunConvolution(const struct SpaConvolution* convolution,
                                 size_t repeats, char* error,
                                 size_t error_size);

#ifdef __cplusplus
}
#endif

#endif  // SPA_ONNX_KERNELS_H_
