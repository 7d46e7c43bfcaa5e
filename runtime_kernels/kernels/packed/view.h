// Reads from packed bytes, which may lie at any alignment.
//
// `static`, as everything that files with different compiler flags share: one
// merged copy could use instructions that the portable kernel must not.

#ifndef SPA_KERNELS_PACKED_VIEW_H_
#define SPA_KERNELS_PACKED_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "packed weights are little-endian and used in place");

namespace spa {

template <typename Element>
static inline __attribute__((always_inline)) Element
ElementAt(const unsigned char* section, std::size_t index) {
  Element element;
  std::memcpy(&element, section + index * sizeof(Element), sizeof(Element));
  return element;
}

static inline std::size_t StartAt(const unsigned char* starts,
                                  std::size_t index) {
  return ElementAt<std::uint32_t>(starts, index);
}

static inline std::size_t IndexAt(const unsigned char* indices,
                                  std::size_t index_size, std::size_t index) {
  return index_size == sizeof(std::uint16_t)
             ? ElementAt<std::uint16_t>(indices, index)
             : ElementAt<std::uint32_t>(indices, index);
}

}  // namespace spa

#endif  // SPA_KERNELS_PACKED_VIEW_H_
