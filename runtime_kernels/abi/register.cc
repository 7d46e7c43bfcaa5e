// RegisterCustomOps: puts every op of custom_ops/ into the domain "ai.spa".

#include <algorithm>
#include <charconv>
#include <cstring>
#include <forward_list>
#include <limits>
#include <mutex>
#include <string>
#include <thread>

#include "abi/cuda_library.h"
#include "abi/failure.h"
#include "abi/ort_api.h"
#include "abi/session_entry.h"
#include "custom_ops/sparse_conv.h"
#include "custom_ops/sparse_linear.h"
#include "spa_onnx_kernels.h"

namespace spa {
namespace {

constexpr char kDomain[] = "ai.spa";
constexpr uint32_t kApiVersion = 17;
// What newer runtimes read more of an op: which input it may overwrite.
constexpr uint32_t kInPlaceVersion = 18;
// Before this one, runtimes end the process when a node with an empty input
// name asks to infer shapes (seen from 1.17.3 to 1.23.2); without being asked
// they leave shapes open until a run.
constexpr uint32_t kInferenceVersion = 24;

// The runtime tells an op nothing of its pool's size, by which layers are cut
// into tasks; the options may. A wrong number costs time, nothing else.
constexpr char kThreadsEntry[] = "ai.spa.intra_op_num_threads";
constexpr std::size_t kMostThreads = 256;

// The ops of one ONNX Runtime in this process, for pools of one size, with
// those of one library for CUDA or none. Sessions keep pointers to them and
// nothing says when the last one ends, so they are never freed or changed.
struct Registration {
  Registration(const Runtime& runtime, std::size_t pool, std::string cuda)
      : api(&runtime.api),
        threads(pool),
        cuda_library(std::move(cuda)),
        sparse_conv(runtime, pool),
        sparse_linear(runtime, pool) {
    Check(api->CreateCustomOpDomain(kDomain, &domain));
    Check(api->CustomOpDomain_Add(domain, &sparse_conv));
    Check(api->CustomOpDomain_Add(domain, &sparse_linear));
  }

  const OrtApi* api;
  const std::size_t threads;
  const std::string cuda_library;  // or ""
  Op<SparseConv> sparse_conv;
  Op<SparseLinear> sparse_linear;
  OrtCustomOpDomain* domain = nullptr;
};

// What the options say, else as many as this process may use, which is the
// runtime's own choice but for cores that have two threads each.
std::size_t ThreadsOf(const OrtApi& api, const OrtSessionOptions* options) {
  std::size_t threads = 0;
  if (const auto text = SessionEntry(api, options, kThreadsEntry)) {
    const char* end = text->data() + text->size();
    const auto parsed = std::from_chars(text->data(), end, threads);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      throw InvalidInput(std::string("the session's entry ") + kThreadsEntry +
                         " must be a number of threads");
    }
  }
  if (threads == 0) threads = std::thread::hardware_concurrency();
  return std::clamp<std::size_t>(threads, 1, kMostThreads);
}

// The runtime of "1.24.0" is 24. GetApi would tell as well, but complains to
// the user's terminal about versions that it does not have.
uint32_t MinorVersion(const OrtApiBase& base) {
  const char* text = base.GetVersionString();
  const char* end = text + std::strlen(text);
  uint32_t major = 0, minor = 0;
  const auto first = std::from_chars(text, end, major);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.') {
    return kApiVersion;
  }
  const auto second = std::from_chars(first.ptr + 1, end, minor);
  if (second.ec != std::errc()) return kApiVersion;
  return major > 1 ? std::numeric_limits<uint32_t>::max() : minor;
}

Runtime RuntimeOf(const OrtApi& api, const OrtApiBase& base) {
  const uint32_t minor = MinorVersion(base);
  return {api, std::clamp(minor, kApiVersion, kInPlaceVersion),
          minor >= kInferenceVersion};
}

const Registration& RegistrationFor(const Runtime& runtime, std::size_t threads,
                                    const std::string& cuda_library,
                                    const OrtApiBase& base) {
  static std::mutex guard;
  static auto& known = *new std::forward_list<Registration>;
  const std::lock_guard<std::mutex> lock(guard);
  for (const Registration& registration : known) {
    if (registration.api == &runtime.api && registration.threads == threads &&
        registration.cuda_library == cuda_library) {
      return registration;
    }
  }
  Registration& made = known.emplace_front(runtime, threads, cuda_library);
  try {
    if (!cuda_library.empty()) {
      AddCudaOps(cuda_library, made.domain, base);
    }
  } catch (...) {
    known.pop_front();  // no session has seen it
    throw;
  }
  return made;
}

OrtStatus* RefuseOldRuntime(const OrtApiBase& base) noexcept {
  const OrtApi* oldest = base.GetApi(1);
  return StatusOf(*oldest, [&] {
    throw InvalidInput(
        std::string("ai.spa needs ONNX Runtime 1.17 or newer, this is ") +
        base.GetVersionString());
  });
}

}  // namespace
}  // namespace spa

OrtStatus* RegisterCustomOps(OrtSessionOptions* options,
                             const OrtApiBase* api_base) {
  const OrtApi* api = api_base->GetApi(spa::kApiVersion);
  if (api == nullptr) return spa::RefuseOldRuntime(*api_base);
  return spa::StatusOf(*api, [&] {
    const spa::Runtime runtime = spa::RuntimeOf(*api, *api_base);
    const std::size_t threads = spa::ThreadsOf(*api, options);
    const std::string cuda =
        spa::CudaLibraryFor(*api, options, spa::MinorVersion(*api_base));
    spa::Check(api->AddCustomOpDomain(
        options,
        spa::RegistrationFor(runtime, threads, cuda, *api_base).domain));
  });
}
