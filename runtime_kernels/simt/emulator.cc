#include "simt/emulator.h"

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "simt/shadow.h"
#include "simt/simt.h"

namespace spa::simt {
namespace {

constexpr std::size_t kStack = 128 << 10;
constexpr unsigned char kPoison = 0xFF;  // a NaN in all types

struct Gate {
  unsigned members = 0;
  unsigned arrived = 0;
  std::uint32_t passed = 0;
};

// What lanes offer each other. Three sets, since a slow lane may still read
// one while a fast one offers the next.
struct Warp {
  Gate gate;
  std::array<std::array<unsigned char, kLanes * kPlace>, 3> offers;
};

struct Copy {
  unsigned char* to;
  const unsigned char* from;
  std::size_t bytes;
  bool is_real;
};

struct Thread {
  unsigned index = 0;
  Warp* warp = nullptr;
  Gate* waits_at = nullptr;
  std::uint32_t waits_for = 0;
  bool is_done = false;
  std::uint32_t exchanges = 0;
  std::uint32_t warp_barriers =
      0;  // not those of Exchange, which order nothing
  std::deque<std::vector<Copy>> groups;
  std::vector<Copy> open;
  ucontext_t context;
  std::unique_ptr<unsigned char[]> stack;
};

class Block {
 public:
  Block(void (*entry)(const void*), const void* params, unsigned threads,
        std::size_t shared_bytes);
  void Run(unsigned index);

  void Wait(Gate& gate);
  Moment Now() const;

  Thread* running = nullptr;
  unsigned block = 0;
  const unsigned thread_count;
  Gate gate;
  std::unique_ptr<unsigned char[]> bytes;
  unsigned char* shared;
  const std::size_t shared_bytes;
  std::unique_ptr<Shadow> shadow;

 private:
  static void Start();
  void Prepare(Thread& thread);
  bool Turn(Thread& thread);

  void (*const entry_)(const void*);
  const void* const params_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned> order_;
  std::mt19937 random_;
  ucontext_t scheduler_;
  std::exception_ptr failure_;
};

thread_local Block* here = nullptr;

Block::Block(void (*entry)(const void*), const void* params, unsigned threads,
             std::size_t shared_bytes_)
    : thread_count(threads),
      bytes(new unsigned char[shared_bytes_ + 128]),
      shared_bytes(shared_bytes_),
      entry_(entry),
      params_(params),
      threads_(threads),
      warps_((threads + kLanes - 1) / kLanes),
      order_(threads) {
  void* aligned = bytes.get();
  std::size_t space = shared_bytes_ + 128;
  shared = static_cast<unsigned char*>(
      std::align(128, shared_bytes_, aligned, space));
  for (unsigned i = 0; i < threads; ++i) {
    order_[i] = i;
    threads_[i].stack.reset(new unsigned char[kStack]);
  }
}

void Block::Prepare(Thread& thread) {
  thread.waits_at = nullptr;
  thread.is_done = false;
  thread.exchanges = 0;
  thread.warp_barriers = 0;
  thread.groups.clear();
  thread.open.clear();
  getcontext(&thread.context);
  thread.context.uc_stack.ss_sp = thread.stack.get();
  thread.context.uc_stack.ss_size = kStack;
  thread.context.uc_link = &scheduler_;
  makecontext(&thread.context, &Block::Start, 0);
}

void Block::Start() {
  Block& block = *here;
  Thread& self = *block.running;
  try {
    block.entry_(block.params_);
  } catch (...) {
    if (!block.failure_) block.failure_ = std::current_exception();
  }
  self.is_done = true;
}

void Block::Run(unsigned index) {
  block = index;
  random_.seed(index);
  gate = {thread_count, 0, 0};
  std::memset(shared, kPoison, shared_bytes);
  shadow = std::make_unique<Shadow>(shared, shared_bytes);
  for (Warp& warp : warps_) warp.gate = {kLanes, 0, 0};
  for (unsigned i = 0; i < thread_count; ++i) {
    threads_[i].index = i;
    threads_[i].warp = &warps_[i / kLanes];
    Prepare(threads_[i]);
  }
  bool any_ran = true;
  while (any_ran && !failure_) {
    std::shuffle(order_.begin(), order_.end(), random_);
    any_ran = false;
    for (const unsigned i : order_) any_ran = Turn(threads_[i]) || any_ran;
  }
  if (failure_) std::rethrow_exception(failure_);
  for (const Thread& thread : threads_) {
    if (!thread.is_done) {
      throw std::runtime_error("thread " + std::to_string(thread.index) +
                               " waits at a barrier that others never reach");
    }
  }
}

// Lets a thread run until it waits; returns whether it could.
bool Block::Turn(Thread& thread) {
  if (thread.is_done || failure_) return false;
  if (thread.waits_at != nullptr) {
    if (thread.waits_at->passed == thread.waits_for) return false;
    thread.waits_at = nullptr;
  }
  running = &thread;
  swapcontext(&scheduler_, &thread.context);
  return true;
}

void Block::Wait(Gate& at) {
  Thread& self = *running;
  if (++at.arrived == at.members) {
    at.arrived = 0;
    ++at.passed;
    return;
  }
  self.waits_at = &at;
  self.waits_for = at.passed;
  swapcontext(&self.context, &scheduler_);
}

Moment Block::Now() const {
  return {running->index, gate.passed, running->warp_barriers};
}

}  // namespace

void Emulate(void (*entry)(const void*), const void* params, unsigned blocks,
             unsigned threads, std::size_t shared_bytes) {
  if (threads == 0 || threads % kLanes != 0) {
    throw std::runtime_error("blocks of " + std::to_string(threads) +
                             " threads are not whole warps");
  }
  Block block(entry, params, threads, shared_bytes);
  here = &block;
  try {
    for (unsigned i = 0; i < blocks; ++i) block.Run(i);
  } catch (...) {
    here = nullptr;
    throw;
  }
  here = nullptr;
}

unsigned ThreadX() { return here->running->index; }
unsigned BlockX() { return here->block; }
unsigned BlockSize() { return here->thread_count; }
unsigned char* SharedMemory() { return here->shared; }
void SyncBlock() { here->Wait(here->gate); }
void SyncWarp() {
  Thread& self = *here->running;
  here->Wait(self.warp->gate);
  ++self.warp_barriers;
}

const unsigned char* Exchange(const void* offered, std::size_t bytes) {
  Thread& self = *here->running;
  auto& offers = self.warp->offers[self.exchanges++ % 3];
  std::memcpy(offers.data() + self.index % kLanes * kPlace, offered, bytes);
  here->Wait(self.warp->gate);
  return offers.data();
}

void NoteRead(const void* from, std::size_t bytes) {
  here->shadow->Read(from, bytes, here->Now());
}

void NoteWrite(const void* to, std::size_t bytes) {
  here->shadow->Write(to, bytes, here->Now());
}

void QueueCopy(void* to, const void* from, std::size_t bytes, bool is_real) {
  NoteWrite(to, bytes);
  std::memset(to, kPoison, bytes);
  here->running->open.push_back({static_cast<unsigned char*>(to),
                                 static_cast<const unsigned char*>(from), bytes,
                                 is_real});
}

void CommitCopies() {
  Thread& self = *here->running;
  self.groups.push_back(std::move(self.open));
  self.open.clear();
}

void WaitForCopies(unsigned groups) {
  Thread& self = *here->running;
  while (self.groups.size() > groups) {
    for (const Copy& copy : self.groups.front()) {
      NoteWrite(copy.to, copy.bytes);
      std::memset(copy.to, 0, copy.bytes);
      if (copy.is_real) std::memcpy(copy.to, copy.from, copy.bytes);
    }
    self.groups.pop_front();
  }
}

}  // namespace spa::simt
