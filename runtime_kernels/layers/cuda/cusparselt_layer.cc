#include "layers/cuda/cusparselt_layer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/finish_all/call.h"
#include "layers/cuda/unpack_two_of_four.h"

namespace spa::cuda {
namespace {

using cusparselt::Library;

constexpr std::size_t kVector = 16;          // bytes
constexpr std::uint64_t kNumbers = 8;        // of a vector
constexpr std::size_t kRowsAndColumns = 16;  // multiples of it

// Plans are never thrown away, since graphs may contain their workspace. More
// are of no use: where nearly each run has another number of tokens, none pays.
constexpr std::size_t kMostPlans = 64;

constexpr std::uint64_t kBlocksEach = 8;  // of a multiprocessor

// Emulated devices have what memory the CPU has: only a library that was named
// for the purpose knows what to do with that.
bool CanUse(const Library& library, const gpu::Properties& device) {
  return !device.is_emulated || library.is_chosen();
}

Library LibraryFor(const gpu::Properties& device) {
  Library library;
  if (CanUse(library, device)) return library;
  throw gpu::Failure("cuSPARSELt needs a GPU, the device is emulated");
}

int DeviceOf(const Memory& memory) {
  constexpr std::size_t kFew = 256;
  return gpu::DeviceOf(DeviceBytes(memory, kFew).get());
}

bool IsAligned(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % kVector == 0;  // null too
}

bool AreAligned(const Tensors& tensors) {
  return IsAligned(tensors.x) && IsAligned(tensors.bias) &&
         IsAligned(tensors.residual) && IsAligned(tensors.y);
}

}  // namespace

bool CusparseltLayer::IsThere(const gpu::Properties& device) {
  try {
    return CanUse(Library(), device);
  } catch (const gpu::Failure&) {
    return false;
  }
}

bool CusparseltLayer::Takes(const Packed& packed) {
  return packed.kind == Kind::kTwoOfFour &&
         packed.rows % kRowsAndColumns == 0 &&
         packed.columns % kRowsAndColumns == 0;
}

bool CusparseltLayer::Takes(std::uint64_t tokens) {
  return tokens % kNumbers == 0;
}

CusparseltLayer::CusparseltLayer(const Packed& packed, const Memory& memory,
                                 const gpu::Properties& device,
                                 const Epilogue& epilogue)
    : memory_(memory),
      device_(DeviceOf(memory)),
      most_blocks_(kBlocksEach *
                   static_cast<std::uint64_t>(device.multiprocessors)),
      epilogue_(epilogue),
      sizes_{packed.value_type, packed.rows, packed.columns, 0},
      library_(LibraryFor(device)),
      session_([&] {
        const gpu::Guard guard(device_);
        return cusparselt::Session(library_);
      }()),
      weight_(
          session_.TwoOfFour(packed.value_type, packed.rows, packed.columns)),
      compressed_(Compress(packed)) {}

DeviceBytes CusparseltLayer::Compress(const Packed& packed) const {
  const gpu::Guard guard(device_);
  std::size_t size = 0, buffer_size = 0;
  library_.Check(library_.call().compressed_size(
                     session_.handle(), weight_.get(), &size, &buffer_size),
                 "asking for the size of a weight");
  DeviceBytes compressed(memory_, size);
  const DeviceBytes buffer(memory_, buffer_size);
  const DeviceBytes dense = UnpackTwoOfFour(packed, memory_);
  const gpu::OwnStream stream;
  library_.Check(library_.call().compress(session_.handle(), weight_.get(), 1,
                                          0, dense.get(), compressed.get(),
                                          buffer.get(), stream.get()),
                 "compressing a weight");
  stream.Wait();
  return compressed;
}

std::unique_ptr<const CusparseltPlan> CusparseltLayer::NewPlan(
    std::uint64_t tokens, const Tensors& tensors, gpu::Stream stream) const {
  const gpu::Guard guard(device_);
  CusparseltSizes sizes = sizes_;
  sizes.tokens = tokens;
  auto plan = std::make_unique<CusparseltPlan>(session_, weight_.get(), sizes,
                                               tensors.bias, has_relu());
  plan->Search(compressed_.get(), tensors, memory_, stream);
  return plan;
}

// Null if there is none, and there will be none.
const CusparseltPlan* CusparseltLayer::PlanFor(std::uint64_t tokens,
                                               const Tensors& tensors,
                                               gpu::Stream stream,
                                               bool must_plan) const {
  const Key key{tokens, tensors.bias, stream};
  const auto found = plans_.find(key);
  if (found != plans_.end()) return found->second.get();
  if (plans_.size() >= kMostPlans) return nullptr;
  if (gpu::IsRecording(stream)) {
    throw gpu::Failure("cuSPARSELt: the first run of " +
                       std::to_string(tokens) +
                       " tokens cannot be recorded in a CUDA graph, do one "
                       "before that on the same stream");
  }
  std::unique_ptr<const CusparseltPlan> plan;
  try {
    plan = NewPlan(tokens, tensors, stream);
  } catch (const gpu::Failure&) {
    if (must_plan) throw;
  }
  return plans_.emplace(key, std::move(plan)).first->second.get();
}

void CusparseltLayer::Activate(std::uint64_t tokens, void* y,
                               gpu::Stream stream) const {
  const std::uint64_t vectors = tokens * sizes_.rows / kNumbers;
  const std::uint64_t needed = (vectors - 1) / kFinishThreads + 1;
  const FinishAllCall call{static_cast<std::uint16_t*>(y), vectors,
                           std::min(needed, most_blocks_), epilogue_};
  const gpu::Grid grid{static_cast<unsigned>(call.blocks), kFinishThreads, 0};
  gpu::Launch(FinishAllFunction(sizes_.type), grid, &call, sizeof(call),
              stream);
}

bool CusparseltLayer::Run(std::uint64_t tokens, const Tensors& tensors,
                          gpu::Stream stream, bool must_plan) const {
  if (!AreAligned(tensors)) return false;
  const std::lock_guard<std::mutex> lock(guard_);
  const CusparseltPlan* const plan =
      PlanFor(tokens, tensors, stream, must_plan);
  if (plan == nullptr) return false;
  plan->Start(compressed_.get(), tensors, stream);
  if (epilogue_.activation != Activation::kNone && !has_relu()) {
    Activate(tokens, tensors.y, stream);
  }
  return true;
}

}  // namespace spa::cuda
