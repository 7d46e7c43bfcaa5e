// Large constant arrays that are read from end to end.

#ifndef SPA_SUPPORT_HUGE_PAGES_H_
#define SPA_SUPPORT_HUGE_PAGES_H_

#include <cstddef>

namespace spa {

// Asks the system to put the whole huge pages among these bytes, which must
// have been read or written already, onto such: what the processor fetches
// ahead on its own ends where a page does. Only speed depends on it, so a
// refusal is not reported.
void PreferHugePages(const void* bytes, std::size_t size) noexcept;

}  // namespace spa

#endif  // SPA_SUPPORT_HUGE_PAGES_H_
