#include "custom_ops/attributes.h"

#include <limits>

#include "abi/failure.h"
#include "layers/activation.h"

namespace spa {
namespace {

// A longer name of an activation, or a longer list, is nothing we know.
constexpr std::size_t kMostText = 64;
constexpr std::size_t kMostInts = 16;
constexpr std::int64_t kMostTile = 1024;

[[noreturn]] void RefuseMissing(const char* name) {
  throw InvalidInput(std::string("the attribute ") + name +
                     " is missing or of another type");
}

}  // namespace

bool Attributes::Has(OrtStatus* status) const {
  if (status == nullptr) return true;
  api_.ReleaseStatus(status);
  return false;
}

// The runtime says only that there is no attribute of that name and type.
void Attributes::RefuseIfThere(const char* name) const {
  std::int64_t whole = 0;
  float number = 0;
  std::size_t size = 0;
  if (Has(api_.KernelInfoGetAttribute_int64(info_, name, &whole)) ||
      Has(api_.KernelInfoGetAttribute_float(info_, name, &number)) ||
      Has(api_.KernelInfoGetAttribute_string(info_, name, nullptr, &size)) ||
      Has(api_.KernelInfoGetAttributeArray_int64(info_, name, nullptr,
                                                 &size))) {
    throw InvalidInput(std::string("attribute ") + name +
                       " is of another type than expected");
  }
}

std::int64_t Attributes::Int(const char* name) const {
  std::int64_t number = 0;
  if (!Has(api_.KernelInfoGetAttribute_int64(info_, name, &number))) {
    RefuseMissing(name);
  }
  return number;
}

std::vector<std::int64_t> Attributes::Ints(const char* name) const {
  std::vector<std::int64_t> numbers(kMostInts);
  std::size_t size = numbers.size();
  if (!Has(api_.KernelInfoGetAttributeArray_int64(info_, name, numbers.data(),
                                                  &size))) {
    RefuseMissing(name);
  }
  numbers.resize(size);
  return numbers;
}

std::int64_t Attributes::IntOr(const char* name, std::int64_t otherwise) const {
  std::int64_t number = 0;
  if (Has(api_.KernelInfoGetAttribute_int64(info_, name, &number))) {
    return number;
  }
  RefuseIfThere(name);
  return otherwise;
}

float Attributes::FloatOr(const char* name, float otherwise) const {
  float number = 0;
  if (Has(api_.KernelInfoGetAttribute_float(info_, name, &number))) {
    return number;
  }
  RefuseIfThere(name);
  return otherwise;
}

std::string Attributes::TextOr(const char* name, const char* otherwise) const {
  std::size_t size = 0;
  if (!Has(api_.KernelInfoGetAttribute_string(info_, name, nullptr, &size))) {
    RefuseIfThere(name);
    return otherwise;
  }
  char text[kMostText] = {};
  if (size > sizeof(text)) {
    throw InvalidInput(std::string("attribute ") + name + " has " +
                       std::to_string(size - 1) + " characters, expected less");
  }
  Check(api_.KernelInfoGetAttribute_string(info_, name, text, &size));
  return text;
}

Epilogue ReadEpilogue(const Attributes& attributes) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return {ActivationOf(attributes.TextOr("activation", "none")),
          attributes.FloatOr("clip_min", -kInfinity),
          attributes.FloatOr("clip_max", kInfinity)};
}

std::size_t ReadTile(const Attributes& attributes) {
  const std::int64_t tile = attributes.IntOr("tile", 0);
  if (tile < 0 || tile > kMostTile) {
    throw InvalidInput("attribute tile is " + std::to_string(tile) +
                       ", expected 0 to " + std::to_string(kMostTile));
  }
  return static_cast<std::size_t>(tile);
}

}  // namespace spa
