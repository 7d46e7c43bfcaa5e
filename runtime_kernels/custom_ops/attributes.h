// What a node's attributes say.

#ifndef SPA_CUSTOM_OPS_ATTRIBUTES_H_
#define SPA_CUSTOM_OPS_ATTRIBUTES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "abi/ort_api.h"
#include "kernels/epilogue.h"

namespace spa {

class Attributes {
 public:
  Attributes(const OrtApi& api, const OrtKernelInfo* info)
      : api_(api), info_(info) {}

  // Throw InvalidInput if the node has no such attribute.
  std::int64_t Int(const char* name) const;
  std::vector<std::int64_t> Ints(const char* name) const;

  // Throw InvalidInput if the attribute has another type.
  std::int64_t IntOr(const char* name, std::int64_t otherwise) const;
  float FloatOr(const char* name, float otherwise) const;
  std::string TextOr(const char* name, const char* otherwise) const;

 private:
  bool Has(OrtStatus* status) const;
  void RefuseIfThere(const char* name) const;

  const OrtApi& api_;
  const OrtKernelInfo* info_;
};

// Attributes activation, clip_min, clip_max. Throws InvalidInput.
Epilogue ReadEpilogue(const Attributes& attributes);

// Attribute tile. Throws InvalidInput.
std::size_t ReadTile(const Attributes& attributes);

}  // namespace spa

#endif  // SPA_CUSTOM_OPS_ATTRIBUTES_H_
