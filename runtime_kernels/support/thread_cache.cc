#include "support/thread_cache.h"

#include <algorithm>
#include <array>
#include <limits>
#include <new>
#include <utility>

namespace spa {
namespace {

constexpr std::size_t kMostBlocks = 4;
constexpr std::size_t kMostBytes = std::size_t{1} << 20;  // of a block

// In front of what is handed out.
struct alignas(std::max_align_t) Header {
  std::size_t bytes;
  bool is_large;
};

// Blocks that nobody uses, the one given back last in front.
class Blocks {
 public:
  Blocks() = default;
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;
  ~Blocks() {
    for (Header* block : blocks_) ::operator delete(block);
  }

  // The smallest that is large enough, or null.
  Header* Take(std::size_t bytes) noexcept {
    Header** found = nullptr;
    for (Header*& block : blocks_) {
      if (block == nullptr || block->bytes < bytes) continue;
      if (found == nullptr || block->bytes < (*found)->bytes) found = &block;
    }
    return found == nullptr ? nullptr : std::exchange(*found, nullptr);
  }

  // Takes the place of the block that was given back longest ago.
  void Give(Header* block) noexcept {
    ::operator delete(blocks_.back());
    std::move_backward(blocks_.begin(), blocks_.end() - 1, blocks_.end());
    blocks_.front() = block;
  }

 private:
  std::array<Header*, kMostBlocks> blocks_{};
};

thread_local Blocks unused;

}  // namespace

void* ThreadCache::Allocate(std::size_t bytes) const {
  if (bytes > std::numeric_limits<std::size_t>::max() - sizeof(Header)) {
    throw std::bad_alloc();
  }
  const std::size_t size = bytes + sizeof(Header);
  Header* block = nullptr;
  if (bytes > kMostBytes) {
    block = new (other_.Allocate(size)) Header{bytes, true};
  } else {
    block = unused.Take(bytes);
    if (block == nullptr) {
      block = new (::operator new(size)) Header{bytes, false};
    }
  }
  return block + 1;
}

void ThreadCache::Free(void* bytes) const noexcept {
  Header* block = static_cast<Header*>(bytes) - 1;
  block->is_large ? other_.Free(block) : unused.Give(block);
}

}  // namespace spa
