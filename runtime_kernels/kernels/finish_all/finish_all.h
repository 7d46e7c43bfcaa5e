// An activation, of numbers that are in memory already.

#ifndef SPA_KERNELS_FINISH_ALL_FINISH_ALL_H_
#define SPA_KERNELS_FINISH_ALL_FINISH_ALL_H_

#include "kernels/finish_all/call.h"
#include "kernels/fragments/finish.h"
#include "simt/simt.h"

namespace spa::cuda {

template <class T>
struct FinishAll {
  using Params = FinishAllCall;
  static constexpr unsigned kThreads = kFinishThreads;
  static constexpr unsigned kBlocks = 4;

  SPA_DEVICE static void Run(const Params& p) {
    Call call{};
    call.y = p.y;
    call.epilogue = p.epilogue;
    const std::uint64_t step = p.blocks * kThreads;
    for (std::uint64_t i =
             std::uint64_t{simt::BlockX()} * kThreads + simt::ThreadX();
         i < p.vectors; i += step) {
      float numbers[kEight] = {};
      AddPairs<T>(numbers, p.y + kEight * i);
      FinishEight<T, false>(call, numbers, 0, kEight * i);
    }
  }
};

}  // namespace spa::cuda

#endif  // SPA_KERNELS_FINISH_ALL_FINISH_ALL_H_
