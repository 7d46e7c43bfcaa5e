// Reads device memory and does next to nothing with it: what bandwidth there
// is.

#ifndef SPA_KERNELS_READ_BYTES_READ_BYTES_H_
#define SPA_KERNELS_READ_BYTES_READ_BYTES_H_

#include "kernels/read_bytes/call.h"
#include "simt/simt.h"

namespace spa::cuda {

struct ReadBytes {
  using Params = ReadBytesCall;
  static constexpr unsigned kThreads = kReadThreads;
  static constexpr unsigned kBlocks = 2;

  SPA_DEVICE static void Run(const Params& p) {
    const std::uint64_t step = p.blocks * kThreads;
    std::uint32_t seen = 0xFFFFFFFFu;
    std::uint64_t i =
        std::uint64_t{simt::BlockX()} * kThreads + simt::ThreadX();
    for (; i + 3 * step < p.vectors; i += 4 * step) {
      simt::Words4 words[4];
      SPA_UNROLL
      for (unsigned k = 0; k < 4; ++k) {
        words[k] = simt::LoadOnce(p.from + 16 * (i + k * step));
      }
      SPA_UNROLL
      for (unsigned k = 0; k < 4; ++k) seen &= And(words[k]);
    }
    for (; i < p.vectors; i += step) {
      seen &= And(simt::LoadOnce(p.from + 16 * i));
    }
    if (seen == 0xFFFFFFFFu) *p.out = seen;
  }

 private:
  SPA_DEVICE static std::uint32_t And(const simt::Words4& words) {
    return words.word[0] & words.word[1] & words.word[2] & words.word[3];
  }
};

}  // namespace spa::cuda

#endif  // SPA_KERNELS_READ_BYTES_READ_BYTES_H_
