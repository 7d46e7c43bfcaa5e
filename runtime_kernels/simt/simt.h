// What code for the threads of a GPU is written in. nvcc turns it into
// instructions (simt/nvcc.h). Compiled with SPA_EMULATED by any C++ compiler,
// it runs on the CPU, thread by thread (simt/emulated.h), so that kernels are
// tested on machines without a GPU.
//
// Both headers define SPA_DEVICE, in front of functions, SPA_UNROLL, in front
// of loops, and for the threads of one block:
//
//   ThreadX() BlockX() BlockSize() LaneOf(thread)   who is asking
//   SharedMemory()                  the block's own bytes, 128-byte aligned
//   SyncBlock() SyncWarp()          wait for all threads of the block, the warp
//   LoadShared(p) StoreShared(p, v) the only ways to touch the block's bytes
//   LoadOnce(p)                     16 bytes that nobody reads again
//   CopyAsync<bytes>(to, from, is_real)   4, 8 or 16 bytes into the block's
//                                   own, zeros unless real; nothing is read
//                                   then
//   CommitCopies() WaitForCopies(n) close a group of them; wait until at most n
//                                   groups, 0 to 2, are under way
//   LoadMatrices[Transposed](r, p)  four 8 x 8 matrices, ldmatrix.x4
//   Multiply<T>(d, a, b0, b1)       d += a b, mma.m16n8k16
//   MultiplySparse<T, S>(d, a, b, e)     2:4 a, mma.sp.m16n8k32, selector S
//   ShuffleUp ShuffleXor Broadcast  values of other lanes
//   ToFloat<T> FromFloat<T>         16-bit numbers of type T, Float16 or
//   Bfloat16 PopCount LowestBit Erf Exp Tanh

#ifndef SPA_SIMT_SIMT_H_
#define SPA_SIMT_SIMT_H_

#include <cstddef>
#include <cstdint>

namespace spa::simt {

// Types of 16-bit numbers, of which kernels hold the bits only.
struct Float16 {};
struct Bfloat16 {};

constexpr unsigned kLanes = 32;

struct alignas(16) Words4 {
  std::uint32_t word[4];
};

}  // namespace spa::simt

#ifdef SPA_EMULATED
#include "simt/emulated.h"
#else
#include "simt/nvcc.h"
#endif

namespace spa::simt {

// A kernel is a struct `Body` with
//   struct Params, trivially copyable
//   static constexpr unsigned kThreads, of a block
//   static constexpr unsigned kBlocks, that a multiprocessor should hold
//   static void Run(const Params&), done by every thread
// and FunctionOf<Body>() is what gpu::Launch takes.
#ifdef SPA_EMULATED
template <class Body>
void Entry(const void* params) {
  Body::Run(*static_cast<const typename Body::Params*>(params));
}
#else
template <class Body>
__global__ void __launch_bounds__(Body::kThreads, Body::kBlocks)
    Entry(const __grid_constant__ typename Body::Params params) {
  Body::Run(params);
}
#endif

template <class Body>
const void* FunctionOf() {
  return reinterpret_cast<const void*>(&Entry<Body>);
}

}  // namespace spa::simt

#endif  // SPA_SIMT_SIMT_H_
