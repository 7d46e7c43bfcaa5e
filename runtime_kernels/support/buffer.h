// Working memory of a layer: the runtime's, which it keeps from run to run, or
// the heap's. Fresh pages for each run would cost more than the layer.

#ifndef SPA_SUPPORT_BUFFER_H_
#define SPA_SUPPORT_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <utility>

namespace spa {

class Memory {
 public:
  virtual ~Memory() = default;

  // Throws std::bad_alloc.
  virtual void* Allocate(std::size_t bytes) const = 0;
  virtual void Free(void* bytes) const noexcept = 0;
};

class Heap final : public Memory {
 public:
  void* Allocate(std::size_t bytes) const override {
    return ::operator new(bytes);
  }
  void Free(void* bytes) const noexcept override { ::operator delete(bytes); }
};

// Floats at a 64-byte boundary, not initialised.
class Floats {
 public:
  Floats() = default;
  Floats(const Memory& memory, std::size_t count) : memory_(&memory) {
    constexpr std::size_t kMost =
        std::numeric_limits<std::ptrdiff_t>::max() / sizeof(float) - kAlignment;
    if (count > kMost) throw std::bad_alloc();
    std::size_t space = count * sizeof(float) + kAlignment;
    start_ = memory.Allocate(space);
    void* aligned = start_;
    floats_ = static_cast<float*>(
        std::align(kAlignment, count * sizeof(float), aligned, space));
  }
  Floats(Floats&& other) noexcept
      : memory_(other.memory_),
        start_(std::exchange(other.start_, nullptr)),
        floats_(other.floats_) {}
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;
  ~Floats() {
    if (start_ != nullptr) memory_->Free(start_);
  }

  float* get() const { return floats_; }

 private:
  static constexpr std::size_t kAlignment = 64;

  const Memory* memory_ = nullptr;
  void* start_ = nullptr;
  float* floats_ = nullptr;
};

}  // namespace spa

#endif  // SPA_SUPPORT_BUFFER_H_
