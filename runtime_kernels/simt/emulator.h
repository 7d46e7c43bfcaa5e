// Runs the blocks of a kernel on the CPU: every thread is a coroutine that runs
// until it waits for others. The order in which they run changes from wait to
// wait. Every access to the block's shared memory is recorded, and two that no
// barrier keeps apart end the launch, as does a barrier that not all reach.

#ifndef SPA_SIMT_EMULATOR_H_
#define SPA_SIMT_EMULATOR_H_

#include <cstddef>
#include <cstdint>

namespace spa::simt {

// What `entry` does wrong is thrown: std::runtime_error.
void Emulate(void (*entry)(const void*), const void* params, unsigned blocks,
             unsigned threads, std::size_t shared_bytes);

// For code that an emulated thread runs.
unsigned ThreadX();
unsigned BlockX();
unsigned BlockSize();
unsigned char* SharedMemory();
void SyncBlock();
void SyncWarp();

// Offers `bytes`, at most 64, of this lane to its warp, waits for the others
// and returns theirs, lane after lane, each in a place of its own. They stay
// until this lane has done the same twice more.
const unsigned char* Exchange(const void* offered, std::size_t bytes);
constexpr std::size_t kPlace = 64;

// Say that this thread reads or writes shared memory now.
void NoteRead(const void* from, std::size_t bytes);
void NoteWrite(const void* to, std::size_t bytes);

// A copy that is done when its group is waited for; until then the place holds
// what looks like NaN.
void QueueCopy(void* to, const void* from, std::size_t bytes, bool is_real);
void CommitCopies();
void WaitForCopies(unsigned groups);

}  // namespace spa::simt

#endif  // SPA_SIMT_EMULATOR_H_
