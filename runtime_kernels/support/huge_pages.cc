#include "support/huge_pages.h"

#ifdef __linux__

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace spa {
namespace {

// Where they are larger, the requests below do nothing or less.
constexpr std::uintptr_t kHugePage = std::uintptr_t{2} << 20;
// Of Linux 6.1; headers of the time before do not name it.
constexpr int kCollapse = 25;

// Collapsing would pass over an administrator's "never".
bool AreAllowed() noexcept {
  std::FILE* file =
      std::fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
  if (file == nullptr) return false;
  char text[64] = "";
  const bool is_read = std::fgets(text, sizeof(text), file) != nullptr;
  std::fclose(file);
  return is_read && std::strstr(text, "[never]") == nullptr;
}

}  // namespace

void PreferHugePages(const void* bytes, std::size_t size) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(bytes);
  const std::uintptr_t first = (start + kHugePage - 1) & ~(kHugePage - 1);
  const std::uintptr_t end = (start + size) & ~(kHugePage - 1);
  if (first >= end) return;
  static const bool are_allowed = AreAllowed();
  if (!are_allowed) return;
  void* pages = reinterpret_cast<void*>(first);
  madvise(pages, end - first, MADV_HUGEPAGE);
  madvise(pages, end - first, kCollapse);
}

}  // namespace spa

#else

namespace spa {
void PreferHugePages(const void*, std::size_t) noexcept {}
}  // namespace spa

#endif
