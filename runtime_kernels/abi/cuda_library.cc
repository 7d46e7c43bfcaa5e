#include "abi/cuda_library.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <cstring>

#include "abi/failure.h"
#include "abi/session_entry.h"
#include "spa_onnx_cuda.h"

namespace spa {
namespace {

constexpr char kEntry[] = "ai.spa.cuda_library";
constexpr char kProvider[] = "CUDAExecutionProvider";
constexpr char kFile[] = "libspa_onnx_cuda.so";
constexpr std::uint32_t kFirstVersion = 18;  // with KernelInfoGetAllocator

bool HasProvider(const OrtApi& api) {
  char** names = nullptr;
  int count = 0;
  Check(api.GetAvailableProviders(&names, &count));
  bool found = false;
  for (int i = 0; i < count; ++i) {
    found = found || std::strcmp(names[i], kProvider) == 0;
  }
  Check(api.ReleaseAvailableProviders(names, count));
  return found;
}

// Of the file beside the one that this code is in, if there is one.
std::string Neighbour() {
  Dl_info self{};
  if (dladdr(reinterpret_cast<const void*>(&Neighbour), &self) == 0) return "";
  std::string path = self.dli_fname;
  const std::size_t slash = path.rfind('/');
  path =
      (slash == std::string::npos ? "./" : path.substr(0, slash + 1)) + kFile;
  struct stat file{};
  return stat(path.c_str(), &file) == 0 ? path : "";
}

template <typename Function>
Function* FunctionOf(void* library, const std::string& path, const char* name) {
  void* found = dlsym(library, name);
  if (found != nullptr) return reinterpret_cast<Function*>(found);
  throw InvalidInput("ai.spa: " + path + " exports no " + name);
}

}  // namespace

std::string CudaLibraryFor(const OrtApi& api, const OrtSessionOptions* options,
                           std::uint32_t minor) {
  const auto told = SessionEntry(api, options, kEntry);
  if (told.has_value() && minor < kFirstVersion) {
    throw InvalidInput("ai.spa: operators for CUDA need ONNX Runtime 1.18");
  }
  if (told.has_value()) return *told;
  return minor >= kFirstVersion && HasProvider(api) ? Neighbour() : "";
}

void AddCudaOps(const std::string& path, OrtCustomOpDomain* domain,
                const OrtApiBase& base) {
  // Never closed: sessions keep pointers into it.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw InvalidInput("ai.spa: the library for CUDA cannot be loaded: " +
                       std::string(dlerror()));
  }
  auto* version =
      FunctionOf<decltype(SpaCudaVersion)>(library, path, "SpaCudaVersion");
  if (std::strcmp(version(), SpaVersion()) != 0) {
    throw InvalidInput("ai.spa: " + path + " is of spa-onnx " + version() +
                       ", not " + SpaVersion());
  }
  auto* add =
      FunctionOf<decltype(SpaCudaAddOps)>(library, path, "SpaCudaAddOps");
  Check(add(domain, &base));
}

}  // namespace spa
