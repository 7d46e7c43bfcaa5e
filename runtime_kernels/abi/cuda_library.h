// The library with the operators for the CUDA provider, which is loaded where
// the runtime has that provider, so that machines without CUDA need nothing of
// it.

#ifndef SPA_ABI_CUDA_LIBRARY_H_
#define SPA_ABI_CUDA_LIBRARY_H_

#include <cstdint>
#include <string>

#include "abi/ort_api.h"

namespace spa {

// The path of the library to load for these options, or "": what the entry
// "ai.spa.cuda_library" says, else libspa_onnx_cuda.so beside this library if
// it is there and the runtime is 1.18 or newer and has the provider. Throws
// InvalidInput if the entry asks for it in an older runtime.
std::string CudaLibraryFor(const OrtApi& api, const OrtSessionOptions* options,
                           std::uint32_t minor);

// Adds the operators of a library to a domain. Throws InvalidInput if it cannot
// be loaded or is of another version, and RuntimeFailure.
void AddCudaOps(const std::string& library, OrtCustomOpDomain* domain,
                const OrtApiBase& base);

}  // namespace spa

#endif  // SPA_ABI_CUDA_LIBRARY_H_
