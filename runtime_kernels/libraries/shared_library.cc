#include "libraries/shared_library.h"

#include <dlfcn.h>

#include <cstdlib>

#include "simt/device.h"

namespace spa {
namespace {

// Never closed: libraries for CUDA leave code with the driver.
constexpr int kMode = RTLD_NOW | RTLD_LOCAL;

void* FirstOf(const std::vector<const char*>& files) {
  for (const int mode : {kMode | RTLD_NOLOAD, kMode}) {
    for (const char* file : files) {
      void* const found = dlopen(file, mode);
      if (found != nullptr) return found;
    }
  }
  return nullptr;
}

std::string Missing(const LibraryNames& names) {
  std::string text = std::string(names.name) + " cannot be loaded (";
  const char* between = "";
  for (const char* file : names.files) {
    text += between;
    text += file;
    between = ", ";
  }
  return text + "): install it, or name its file in " + names.variable;
}

std::string Reason() {
  const char* const reason = dlerror();
  return reason != nullptr ? reason : "for an unknown reason";
}

}  // namespace

SharedLibrary::SharedLibrary(const LibraryNames& names) : name_(names.name) {
  const char* const chosen = std::getenv(names.variable);
  is_chosen_ = chosen != nullptr && *chosen != '\0';
  if (is_chosen_) {
    handle_ = dlopen(chosen, kMode);
    if (handle_ != nullptr) return;
    throw gpu::Failure(name_ + " cannot be loaded from where " +
                       names.variable + " says it is: " + Reason());
  }
  handle_ = FirstOf(names.files);
  if (handle_ == nullptr) throw gpu::Failure(Missing(names));
}

void* SharedLibrary::Symbol(const char* name, bool must_be_there) const {
  void* const found = dlsym(handle_, name);
  if (found == nullptr && must_be_there) {
    throw gpu::Failure(name_ +
                       " is of a version that cannot be used: " + Reason());
  }
  return found;
}

}  // namespace spa
