// RegisterCustomOps: puts every op of custom_ops/ into the domain "ai.spa".

#include <forward_list>
#include <mutex>
#include <string>

#include "abi/failure.h"
#include "abi/ort_api.h"
#include "custom_ops/sparse_conv.h"
#include "custom_ops/sparse_linear.h"
#include "spa_onnx_kernels.h"

namespace spa {
namespace {

constexpr char kDomain[] = "ai.spa";
constexpr uint32_t kApiVersion = 17;

// The ops of one ONNX Runtime in this process. Sessions keep pointers to them
// and nothing says when the last one ends, so they are never freed or changed.
struct Registration {
  explicit Registration(const OrtApi& runtime)
      : api(&runtime), sparse_conv(runtime), sparse_linear(runtime) {
    Check(runtime.CreateCustomOpDomain(kDomain, &domain));
    Check(runtime.CustomOpDomain_Add(domain, &sparse_conv));
    Check(runtime.CustomOpDomain_Add(domain, &sparse_linear));
  }

  const OrtApi* api;
  Op<SparseConv> sparse_conv;
  Op<SparseLinear> sparse_linear;
  OrtCustomOpDomain* domain = nullptr;
};

const Registration& RegistrationFor(const OrtApi& api) {
  static std::mutex guard;
  static auto& known = *new std::forward_list<Registration>;
  const std::lock_guard<std::mutex> lock(guard);
  for (const Registration& registration : known) {
    if (registration.api == &api) return registration;
  }
  return known.emplace_front(api);
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
    spa::Check(
        api->AddCustomOpDomain(options, spa::RegistrationFor(*api).domain));
  });
}
