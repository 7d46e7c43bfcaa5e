// A linear layer with a 2:4 weight by cuSPARSELt, NVIDIA's library, where it
// is.
//
// What is not ReLU follows in a kernel of ours, from outputs that were rounded
// to 16 bits. What is NaN may be anything after ReLU.

#ifndef SPA_LAYERS_CUDA_CUSPARSELT_LAYER_H_
#define SPA_LAYERS_CUDA_CUSPARSELT_LAYER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "kernels/activation.h"
#include "kernels/packed/packed.h"
#include "layers/cuda/cusparselt_plan.h"
#include "layers/cuda/memory.h"
#include "layers/cuda/tensors.h"
#include "libraries/cusparselt.h"
#include "simt/device.h"

namespace spa::cuda {

class CusparseltLayer {
 public:
  // What the kernel is called, among our own ones.
  static constexpr const char* kName = "cusparselt";

  // Whether the library can be loaded and used with a device.
  static bool IsThere(const gpu::Properties& device);

  // Whether the library takes a weight of this kind and size, and so many
  // tokens: it wants rows and columns in sixteens and tokens in eights.
  static bool Takes(const Packed& packed);
  static bool Takes(std::uint64_t tokens);

  // Gives the library a weight, `packed` being what ParseForCuda found, in the
  // memory of a device. Throws gpu::Failure if the library is not there, or
  // refuses it.
  CusparseltLayer(const Packed& packed, const Memory& memory,
                  const gpu::Properties& device, const Epilogue& epilogue);

  // Starts a run on a stream and returns true. The first one of a number of
  // tokens, a bias and a stream makes a plan, for which it waits, and cannot be
  // recorded in a graph. Returns false, having done nothing, if it has enough
  // plans already, a tensor is not 16-byte aligned, or the library makes no
  // plan and need not (`must_plan`). Throws gpu::Failure.
  bool Run(std::uint64_t tokens, const Tensors& tensors, gpu::Stream stream,
           bool must_plan) const;

 private:
  // Plans contain the address of the bias, and own a workspace.
  using Key = std::tuple<std::uint64_t, const void*, gpu::Stream>;

  DeviceBytes Compress(const Packed& packed) const;
  const CusparseltPlan* PlanFor(std::uint64_t tokens, const Tensors& tensors,
                                gpu::Stream stream, bool must_plan) const;
  std::unique_ptr<const CusparseltPlan> NewPlan(std::uint64_t tokens,
                                                const Tensors& tensors,
                                                gpu::Stream stream) const;
  void Activate(std::uint64_t tokens, void* y, gpu::Stream stream) const;
  bool has_relu() const { return epilogue_.activation == Activation::kRelu; }

  const Memory& memory_;
  const int device_;
  const std::uint64_t most_blocks_;  // of threads
  const Epilogue epilogue_;
  const CusparseltSizes sizes_;  // without tokens
  const cusparselt::Library library_;
  const cusparselt::Session session_;
  const cusparselt::Owned weight_;
  const DeviceBytes compressed_;
  mutable std::mutex guard_;
  mutable std::map<Key, std::unique_ptr<const CusparseltPlan>> plans_;
};

}  // namespace spa::cuda

#endif  // SPA_LAYERS_CUDA_CUSPARSELT_LAYER_H_
