// The vocabulary of simt.h in CUDA and PTX.
// Source: PTX ISA 8.7, chapters on cp.async, ldmatrix, mma and mma.sp.

#ifndef SPA_SIMT_NVCC_H_
#define SPA_SIMT_NVCC_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#define SPA_DEVICE __device__ __forceinline__
#define SPA_DEVICE_CALL static __device__ __noinline__
#define SPA_UNROLL _Pragma("unroll")
#define SPA_ROLLED _Pragma("unroll 1")

namespace spa::simt {

SPA_DEVICE unsigned ThreadX() { return threadIdx.x; }
SPA_DEVICE unsigned BlockX() { return blockIdx.x; }
SPA_DEVICE unsigned BlockSize() { return blockDim.x; }
SPA_DEVICE unsigned LaneOf(unsigned thread) { return thread % kLanes; }

SPA_DEVICE unsigned char* SharedMemory() {
  extern __shared__ __align__(128) unsigned char bytes[];
  return bytes;
}

SPA_DEVICE void SyncBlock() { __syncthreads(); }
SPA_DEVICE void SyncWarp() { __syncwarp(); }

template <class V>
SPA_DEVICE V LoadShared(const V* from) {
  return *from;
}

template <class V>
SPA_DEVICE void StoreShared(V* to, V value) {
  *to = value;
}

SPA_DEVICE Words4 LoadOnce(const void* from) {
  Words4 r;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(r.word[0]), "=r"(r.word[1]), "=r"(r.word[2]),
                 "=r"(r.word[3])
               : "l"(from));
  return r;
}

SPA_DEVICE std::uint32_t SharedAddress(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

template <unsigned kBytes>
SPA_DEVICE void CopyAsync(void* to, const void* from, bool is_real) {
  const unsigned real = is_real ? kBytes : 0;
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     SharedAddress(to)),
                 "l"(from), "r"(real)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(
                     SharedAddress(to)),
                 "l"(from), "n"(kBytes), "r"(real)
                 : "memory");
  }
}

SPA_DEVICE void CommitCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

SPA_DEVICE void WaitForCopies(unsigned groups) {
  switch (groups) {  // the instruction takes constants only
    case 0:
      asm volatile("cp.async.wait_group 0;" ::: "memory");
      break;
    case 1:
      asm volatile("cp.async.wait_group 1;" ::: "memory");
      break;
    default:
      asm volatile("cp.async.wait_group 2;" ::: "memory");
  }
}

SPA_DEVICE void LoadMatrices(std::uint32_t (&r)[4], const void* row) {
  asm volatile(
      "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
      : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
      : "r"(SharedAddress(row))
      : "memory");
}

SPA_DEVICE void LoadMatricesTransposed(std::uint32_t (&r)[4], const void* row) {
  asm volatile(
      "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
      : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
      : "r"(SharedAddress(row))
      : "memory");
}

#define SPA_MMA(type)                                                 \
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type \
               ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "  \
               "{%0, %1, %2, %3};"                                    \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])       \
               : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]),      \
                 "r"(a.word[3]), "r"(b0), "r"(b1))

template <class T>
SPA_DEVICE void Multiply(float (&d)[4], const Words4& a, std::uint32_t b0,
                         std::uint32_t b1) {
  if constexpr (std::is_same_v<T, Float16>) {
    SPA_MMA("f16");
  } else {
    SPA_MMA("bf16");
  }
}
#undef SPA_MMA

// Positions rise in every pair of metadata, which ParseForCuda has checked: the
// ordered form is the fast one from sm_90 on.
#define SPA_MMA_SP(type)                                                 \
  asm volatile(                                                          \
      "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32." type \
      "." type                                                           \
      ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9, %10, %11}, "    \
      "{%0, %1, %2, %3}, %12, %13;"                                      \
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                   \
      : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]),  \
        "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(metadata),       \
        "n"(kSelector))

template <class T, unsigned kSelector>
SPA_DEVICE void MultiplySparse(float (&d)[4], const Words4& a,
                               const std::uint32_t (&b)[4],
                               std::uint32_t metadata) {
  if constexpr (std::is_same_v<T, Float16>) {
    SPA_MMA_SP("f16");
  } else {
    SPA_MMA_SP("bf16");
  }
}
#undef SPA_MMA_SP

SPA_DEVICE std::uint32_t ShuffleUp(std::uint32_t value, unsigned lanes) {
  return __shfl_up_sync(0xFFFFFFFFu, value, lanes);
}
SPA_DEVICE float ShuffleXor(float value, unsigned mask) {
  return __shfl_xor_sync(0xFFFFFFFFu, value, static_cast<int>(mask));
}
SPA_DEVICE std::uint32_t Broadcast(std::uint32_t value, unsigned lane) {
  return __shfl_sync(0xFFFFFFFFu, value, static_cast<int>(lane));
}

template <class T>
SPA_DEVICE float ToFloat(std::uint16_t bits) {
  if constexpr (std::is_same_v<T, Float16>) {
    return __half2float(__ushort_as_half(bits));
  } else {
    return __bfloat162float(__ushort_as_bfloat16(bits));
  }
}

// Rounds to nearest even.
template <class T>
SPA_DEVICE std::uint16_t FromFloat(float number) {
  if constexpr (std::is_same_v<T, Float16>) {
    return __half_as_ushort(__float2half_rn(number));
  } else {
    return __bfloat16_as_ushort(__float2bfloat16_rn(number));
  }
}

SPA_DEVICE unsigned PopCount(std::uint32_t bits) {
  return static_cast<unsigned>(__popc(bits));
}
SPA_DEVICE unsigned LowestBit(std::uint32_t bits) {
  return static_cast<unsigned>(__ffs(static_cast<int>(bits)) - 1);
}
SPA_DEVICE float Erf(float x) { return erff(x); }
SPA_DEVICE float Exp(float x) { return __expf(x); }
SPA_DEVICE float Tanh(float x) { return tanhf(x); }

}  // namespace spa::simt

#endif  // SPA_SIMT_NVCC_H_
