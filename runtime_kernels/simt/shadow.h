// Who touched which bytes of a block's shared memory since when.

#ifndef SPA_SIMT_SHADOW_H_
#define SPA_SIMT_SHADOW_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace spa::simt {

// When a thread did something: how many barriers of its block and of its warp
// it had passed.
struct Moment {
  std::uint32_t thread;
  std::uint32_t block_barriers;
  std::uint32_t warp_barriers;
};

class Shadow {
 public:
  Shadow(const unsigned char* start, std::size_t bytes);

  // Throw std::runtime_error if the bytes lie outside, or if another thread
  // wrote them (or, for a write, read them) with no barrier in between.
  void Read(const void* from, std::size_t bytes, const Moment& now);
  void Write(const void* to, std::size_t bytes, const Moment& now);

 private:
  static constexpr std::size_t kUnit = 2;  // bytes that are told apart
  static constexpr std::uint32_t kNobody = 0xFFFFFFFF;

  struct Unit {
    Moment writer{kNobody, 0, 0};
    Moment reader{kNobody, 0, 0};  // the last one
    bool read_by_warps = false;    // of several warps, since a barrier
  };

  Unit* UnitsOf(const void* at, std::size_t bytes);

  const unsigned char* const start_;
  std::vector<Unit> units_;
};

}  // namespace spa::simt

#endif  // SPA_SIMT_SHADOW_H_
