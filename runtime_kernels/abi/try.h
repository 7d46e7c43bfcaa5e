// C++ exceptions as texts, for callers in C.

#ifndef SPA_ABI_TRY_H_
#define SPA_ABI_TRY_H_

#include <cstddef>
#include <cstdio>
#include <exception>

namespace spa {

// Returns 0, or 1 with what `body` threw in `error`.
template <typename Body>
int Try(char* error, std::size_t error_size, const Body& body) noexcept {
  try {
    body();
    return 0;
  } catch (const std::exception& failure) {
    std::snprintf(error, error_size, "%s", failure.what());
    return 1;
  }
}

}  // namespace spa

#endif  // SPA_ABI_TRY_H_
