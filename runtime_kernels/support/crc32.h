// CRC-32 with the polynomial of IEEE 802.3, as zlib's crc32 computes it.

#ifndef SPA_SUPPORT_CRC32_H_
#define SPA_SUPPORT_CRC32_H_

#include <cstddef>
#include <cstdint>

namespace spa {

// Continues `crc` (0 to start) over `size` bytes at any alignment.
std::uint32_t Crc32(std::uint32_t crc, const unsigned char* data,
                    std::size_t size);

}  // namespace spa

#endif  // SPA_SUPPORT_CRC32_H_
