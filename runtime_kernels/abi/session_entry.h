// What the session's configuration says.

#ifndef SPA_ABI_SESSION_ENTRY_H_
#define SPA_ABI_SESSION_ENTRY_H_

#include <optional>
#include <string>

#include "abi/ort_api.h"

namespace spa {

// The text of an entry, if there is one. Throws RuntimeFailure.
std::optional<std::string> SessionEntry(const OrtApi& api,
                                        const OrtSessionOptions* options,
                                        const char* key);

}  // namespace spa

#endif  // SPA_ABI_SESSION_ENTRY_H_
