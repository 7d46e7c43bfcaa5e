// Memory at a 64-byte boundary that goes with its owner.

#ifndef SPA_SUPPORT_BUFFER_H_
#define SPA_SUPPORT_BUFFER_H_

#include <cstddef>
#include <memory>
#include <new>

namespace spa {

struct FreeFloats {
  void operator()(float* floats) const noexcept {
    ::operator delete(floats, std::align_val_t{64});
  }
};
using Floats = std::unique_ptr<float, FreeFloats>;

// Not initialised. Throws std::bad_alloc.
inline Floats AllocateFloats(std::size_t count) {
  return Floats(static_cast<float*>(
      ::operator new(count * sizeof(float), std::align_val_t{64})));
}

}  // namespace spa

#endif  // SPA_SUPPORT_BUFFER_H_
