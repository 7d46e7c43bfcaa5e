// RegisterCustomOps: puts every op of custom_ops/ into the domain "ai.spa".

#include <algorithm>
#include <charconv>
#include <forward_list>
#include <mutex>
#include <string>
#include <thread>

#include "abi/failure.h"
#include "abi/ort_api.h"
#include "custom_ops/sparse_conv.h"
#include "custom_ops/sparse_linear.h"
#include "spa_onnx_kernels.h"

namespace spa {
namespace {

constexpr char kDomain[] = "ai.spa";
constexpr uint32_t kApiVersion = 17;
// What newer runtimes read more of an op: which input it may overwrite.
constexpr uint32_t kInPlaceVersion = 18;

// The runtime tells an op nothing of its pool's size, by which layers are cut
// into tasks; the options may. A wrong number costs time, nothing else.
constexpr char kThreadsEntry[] = "ai.spa.intra_op_num_threads";
constexpr std::size_t kMostThreads = 256;

// The ops of one ONNX Runtime in this process, for pools of one size. Sessions
// keep pointers to them and nothing says when the last one ends, so they are
// never freed or changed.
struct Registration {
  Registration(const OrtApi& runtime, uint32_t version, std::size_t pool)
      : api(&runtime),
        threads(pool),
        sparse_conv(runtime, version, pool),
        sparse_linear(runtime, version, pool) {
    Check(runtime.CreateCustomOpDomain(kDomain, &domain));
    Check(runtime.CustomOpDomain_Add(domain, &sparse_conv));
    Check(runtime.CustomOpDomain_Add(domain, &sparse_linear));
  }

  const OrtApi* api;
  const std::size_t threads;
  Op<SparseConv> sparse_conv;
  Op<SparseLinear> sparse_linear;
  OrtCustomOpDomain* domain = nullptr;
};

// What the options say, else as many as this process may use, which is the
// runtime's own choice but for cores that have two threads each.
std::size_t ThreadsOf(const OrtApi& api, const OrtSessionOptions* options) {
  int is_told = 0;
  Check(api.HasSessionConfigEntry(options, kThreadsEntry, &is_told));
  std::size_t threads = 0;
  if (is_told != 0) {
    char text[16] = "";
    std::size_t size = sizeof(text);
    OrtStatus* status =
        api.GetSessionConfigEntry(options, kThreadsEntry, text, &size);
    if (status != nullptr) api.ReleaseStatus(status);  // too long for a number
    const char* end = std::find(text, text + sizeof(text), '\0');
    const auto parsed = std::from_chars(text, end, threads);
    if (status != nullptr || parsed.ec != std::errc() || parsed.ptr != end) {
      throw InvalidInput(std::string("the session's entry ") + kThreadsEntry +
                         " must be a number of threads");
    }
  }
  if (threads == 0) threads = std::thread::hardware_concurrency();
  return std::clamp<std::size_t>(threads, 1, kMostThreads);
}

const Registration& RegistrationFor(const OrtApi& api, uint32_t version,
                                    std::size_t threads) {
  static std::mutex guard;
  static auto& known = *new std::forward_list<Registration>;
  const std::lock_guard<std::mutex> lock(guard);
  for (const Registration& registration : known) {
    if (registration.api == &api && registration.threads == threads) {
      return registration;
    }
  }
  return known.emplace_front(api, version, threads);
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
  const bool is_newer = api_base->GetApi(spa::kInPlaceVersion) != nullptr;
  return spa::StatusOf(*api, [&] {
    const std::size_t threads = spa::ThreadsOf(*api, options);
    spa::Check(api->AddCustomOpDomain(
        options,
        spa::RegistrationFor(
            *api, is_newer ? spa::kInPlaceVersion : spa::kApiVersion, threads)
            .domain));
  });
}
