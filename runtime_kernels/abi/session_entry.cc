#include "abi/session_entry.h"

#include "abi/failure.h"

namespace spa {

std::optional<std::string> SessionEntry(const OrtApi& api,
                                        const OrtSessionOptions* options,
                                        const char* key) {
  int is_told = 0;
  Check(api.HasSessionConfigEntry(options, key, &is_told));
  if (is_told == 0) return std::nullopt;
  std::size_t size = 0;
  Check(api.GetSessionConfigEntry(options, key, nullptr, &size));
  std::string text(size, '\0');
  Check(api.GetSessionConfigEntry(options, key, text.data(), &size));
  text.resize(size == 0 ? 0 : size - 1);  // the terminating zero is counted
  return text;
}

}  // namespace spa
