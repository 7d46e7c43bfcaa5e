// What the shared library spa_onnx_cuda exports: the operators of "ai.spa" for
// ONNX Runtime's CUDA provider, and for tests and benchmarks the same layers
// without it. The library spa_onnx_kernels loads it where that provider is.

#ifndef SPA_ONNX_CUDA_H_
#define SPA_ONNX_CUDA_H_

#include <stddef.h>
#include <stdint.h>

#include "spa_onnx_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

struct OrtCustomOpDomain;

// Adds the operators to a domain that the caller owns, for a runtime of version
// 1.18 or newer. Returns null, or a status that the caller releases.
SPA_EXPORT struct OrtStatus* SpaCudaAddOps(struct OrtCustomOpDomain* domain,
                                           const struct OrtApiBase* api_base);

// The version of spa-onnx that the library belongs to.
SPA_EXPORT const char* SpaCudaVersion(void);

struct SpaCudaDevice {
  char name[256];
  int32_t major;  // of the compute capability
  int32_t minor;
  int32_t multiprocessors;
  int32_t emulated;  // 1 if there is no GPU and its threads run on the CPU
  int32_t driver_version;
  int32_t runtime_version;
  uint64_t memory;         // bytes
  uint64_t cache;          // bytes of the second level
  uint64_t shared_memory;  // bytes that a block may have
};

// All functions below return 0, or 1 with the reason in `error`.

SPA_EXPORT int SpaCudaDescribe(int device, struct SpaCudaDevice* out,
                               char* error, size_t error_size);

// A layer with a packed weight of float16 or bfloat16 values, which is also the
// type of the other tensors. Everything lies in host memory.
struct SpaCudaLayer {
  const uint8_t* packed;
  size_t packed_size;
  const void* x;         // (tokens, columns), or (images, columns, *input)
  const void* bias;      // (rows), or null
  const void* residual;  // shape of y, or null
  void* y;  // (tokens, rows), or (images, rows, *outputs); may be null to time
  const char* activation;
  float clip_min;
  float clip_max;
  size_t tokens;       // of a linear layer; else 0
  size_t images;       // of a convolution of 1 x 1; else 0
  size_t input[2];     // of a convolution: height, width
  size_t strides[2];   // likewise
  const char* kernel;  // name of a kernel, or null for the one that is chosen
};

// Copies a layer's tensors to the device, runs it once, copies y back.
SPA_EXPORT int SpaCudaRun(int device, const struct SpaCudaLayer* layer,
                          char* error, size_t error_size);

// The names of the kernels that can run a layer, the chosen one first, each
// followed by a newline.
SPA_EXPORT int SpaCudaKernels(int device, const struct SpaCudaLayer* layer,
                              char* names, size_t names_size, char* error,
                              size_t error_size);

// Something that can be timed, in several copies on the device, so that no run
// finds its data in a cache.
struct SpaCudaRunner;

SPA_EXPORT int SpaCudaPrepareLayer(int device, const struct SpaCudaLayer* layer,
                                   size_t copies, struct SpaCudaRunner** out,
                                   char* error, size_t error_size);

// Y = X W' of random numbers by cuBLASLt, with the fastest of the algorithms
// that it proposes.
struct SpaCudaDense {
  int32_t bfloat16;  // else float16
  size_t rows;       // of W
  size_t columns;    // of W
  size_t tokens;
};
SPA_EXPORT int SpaCudaPrepareDense(int device, const struct SpaCudaDense* dense,
                                   size_t copies, struct SpaCudaRunner** out,
                                   char* error, size_t error_size);

// Reads `bytes` of device memory and writes a few of them.
SPA_EXPORT int SpaCudaPrepareRead(int device, size_t bytes,
                                  struct SpaCudaRunner** out, char* error,
                                  size_t error_size);

// Runs it `runs` times, one copy after the other, as one CUDA graph, and tells
// the microseconds between events in front of and behind all of them.
SPA_EXPORT int SpaCudaTime(struct SpaCudaRunner* runner, size_t runs,
                           double* microseconds, char* error,
                           size_t error_size);

SPA_EXPORT void SpaCudaRelease(struct SpaCudaRunner* runner);

#ifdef __cplusplus
}
#endif

#endif  // SPA_ONNX_CUDA_H_
