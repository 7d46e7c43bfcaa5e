// C++ exceptions on our side of the ABI, OrtStatus on the runtime's side.

#ifndef SPA_ABI_FAILURE_H_
#define SPA_ABI_FAILURE_H_

#include <exception>
#include <stdexcept>
#include <utility>

#include "abi/ort_api.h"

namespace spa {

// A model or an input that an op cannot accept. The text names op and problem.
class InvalidInput : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A status that the runtime returned to us, on its way back to the runtime.
struct RuntimeFailure {
  OrtStatus* status;
};

inline void Check(OrtStatus* status) {
  if (status != nullptr) throw RuntimeFailure{status};
}

// Runs `body` and turns whatever it throws into a status for the runtime.
template <typename Body>
OrtStatus* StatusOf(const OrtApi& api, Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return nullptr;
  } catch (const RuntimeFailure& failure) {
    return failure.status;
  } catch (const InvalidInput& error) {
    return api.CreateStatus(ORT_INVALID_ARGUMENT, error.what());
  } catch (const std::exception& error) {
    return api.CreateStatus(ORT_FAIL, error.what());
  } catch (...) {
    return api.CreateStatus(ORT_FAIL, "ai.spa: unknown C++ exception");
  }
}

}  // namespace spa

#endif  // SPA_ABI_FAILURE_H_
