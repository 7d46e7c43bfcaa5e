// Fuzz target: bytes that claim to be a packed weight.
//
// What ParseForCpu accepts is multiplied by every set of kernels, as a linear
// layer and as a convolution, in buffers that end where their contents do, so
// that AddressSanitizer sees any read or write outside. All sets must agree.
// What ParseForCuda accepts is read as a kernel for GPUs would.
// Inputs are tried as they are and with the checksum put right, as an attacker
// would.
//
// The interface is libFuzzer's: with clang, build this file with
// -fsanitize=fuzzer and leave driver.cc out.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "abi/failure.h"
#include "fuzz/read_for_cuda.h"
#include "kernels/kernels.h"
#include "kernels/packed/packed.h"
#include "kernels/packed/view.h"
#include "layers/convolution.h"
#include "layers/linear.h"
#include "support/crc32.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size);

// How many inputs were sound.
std::size_t fuzz_accepted = 0;

namespace {

constexpr std::size_t kChecked = 72;           // bytes before the checksum
constexpr std::size_t kCheckedAgain = 80;      // where its field ends
constexpr std::size_t kMostNumbers = 1 << 16;  // in an input or output
constexpr std::size_t kMostProducts = 1 << 22;
constexpr std::size_t kMisalignments = 8;
constexpr float kLargestInput = 5;

// Numbers that stand at the end of their own allocation, filled with NaN.
class Numbers {
 public:
  explicit Numbers(std::size_t count)
      : values_(new float[count]), count_(count) {
    std::fill_n(values_.get(), count, std::numeric_limits<float>::quiet_NaN());
  }

  float* data() { return values_.get(); }
  std::size_t size() const { return count_; }

  // Small whole numbers: sums of few of them are exact.
  void Count() {
    for (std::size_t i = 0; i < count_; ++i) {
      values_[i] = static_cast<float>(static_cast<int>(i * 7 % 11) - 5);
    }
  }

 private:
  std::unique_ptr<float[]> values_;
  std::size_t count_;
};

// A copy of the input whose last byte is the last of its allocation, at an
// alignment that follows from the input.
class Copy {
 public:
  Copy(const std::uint8_t* data, std::size_t size)
      : shift_(size ? data[size / 2] % kMisalignments : 0),
        size_(size),
        bytes_(new unsigned char[shift_ + size]) {
    if (size) std::memcpy(begin(), data, size);
  }

  unsigned char* begin() { return bytes_.get() + shift_; }
  std::size_t size() const { return size_; }

  void Seal() {
    if (size_ < kCheckedAgain) return;
    std::uint32_t crc = spa::Crc32(0, begin(), kChecked);
    crc = spa::Crc32(crc, begin() + kCheckedAgain, size_ - kCheckedAgain);
    std::memcpy(begin() + kChecked, &crc, sizeof(crc));
  }

 private:
  std::size_t shift_;
  std::size_t size_;
  std::unique_ptr<unsigned char[]> bytes_;
};

std::vector<const spa::Kernels*> SupportedKernels() {
  std::vector<const spa::Kernels*> found;
#define SPA_KERNELS(name, isa)                             \
  if (const spa::Kernels* set = spa::FindKernels(#name)) { \
    found.push_back(set);                                  \
  }
#include "kernels/kernels.inc"
#undef SPA_KERNELS
  return found;
}

// The largest magnitude that is stored; NaN if a value is none or so large that
// the order of a sum decides whether it overflows.
float LargestValue(const spa::Packed& weight) {
  constexpr float kMost = 1e15f;
  constexpr float kMostHalf = 65504;
  constexpr std::uint16_t kHalfExponent = 0x7c00;
  const std::size_t count = spa::StoredValues(weight);
  float largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (weight.value_type == spa::ValueType::kFloat16) {
      const auto half = spa::ElementAt<std::uint16_t>(weight.values, i);
      if ((half & kHalfExponent) == kHalfExponent) return std::nanf("");
      largest = kMostHalf;
    } else {
      const float value = std::fabs(spa::ElementAt<float>(weight.values, i));
      if (!(value < kMost)) return std::nanf("");
      largest = std::max(largest, value);
    }
  }
  return largest;
}

// Aborts where two sets of kernels differ by more than sums of `columns`
// products of at most `largest` can be rounded, or an output was left as it
// was.
void ExpectAlike(Numbers& expected, Numbers& found, float largest,
                 std::size_t columns, const char* name) {
  constexpr float kRounding = 1.0f / (1 << 22);
  const float terms = static_cast<float>(columns) + 1;
  const float bound =
      kRounding * terms * (terms * kLargestInput) * (largest + 1);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const float a = expected.data()[i];
    const float b = found.data()[i];
    if (std::fabs(a - b) <= bound) continue;
    std::fprintf(stderr, "fuzz: kernels %s: y[%zu] is %g, not %g\n", name, i,
                 static_cast<double>(b), static_cast<double>(a));
    std::abort();
  }
}

template <typename Run>
void RunEverySet(const spa::Packed& weight, std::size_t outputs,
                 const Run& run) {
  static const std::vector<const spa::Kernels*> sets = SupportedKernels();
  const float largest = LargestValue(weight);
  std::unique_ptr<Numbers> expected;
  for (const spa::Kernels* set : sets) {
    auto y = std::make_unique<Numbers>(outputs);
    try {
      run(*set, y->data());
    } catch (const spa::InvalidInput&) {
      return;  // too large for so many tokens or positions
    }
    if (std::isnan(largest)) continue;
    if (expected == nullptr) expected = std::move(y);
    ExpectAlike(*expected, y == nullptr ? *expected : *y, largest,
                weight.columns, set->name);
  }
}

void TryLinear(const spa::Packed& weight, std::size_t tokens) {
  if (weight.columns > kMostNumbers / tokens ||
      weight.rows > kMostNumbers / tokens ||
      weight.rows * weight.columns > kMostProducts) {
    return;
  }
  Numbers x(tokens * weight.columns);
  Numbers bias(weight.rows);
  x.Count();
  bias.Count();
  RunEverySet(
      weight, tokens * weight.rows, [&](const spa::Kernels& set, float* y) {
        const spa::LinearLayer layer{set, weight, {}, 0, {}};
        spa::RunLinear(layer, {tokens, x.data(), bias.data(), nullptr, y},
                       spa::Serial());
      });
}

void TryConvolution(const spa::Packed& weight, std::size_t kernel,
                    std::size_t stride) {
  constexpr std::size_t kImage = 5;
  const std::size_t taps = kernel * kernel;
  if (weight.kind != spa::Kind::kBlocks || weight.columns % taps != 0) return;
  const std::size_t pad = kernel / 2;
  const std::size_t output = (kImage + 2 * pad - kernel) / stride + 1;
  const std::size_t channels = weight.columns / taps;
  if (channels > kMostNumbers / (kImage * kImage) ||
      weight.rows > kMostNumbers / (output * output) ||
      weight.rows * weight.columns > kMostProducts) {
    return;
  }
  Numbers x(channels * kImage * kImage);
  Numbers bias(weight.rows);
  x.Count();
  bias.Count();
  const spa::Axis axis{kImage, output, kernel, stride, 1, pad};
  RunEverySet(
      weight, weight.rows * output * output,
      [&](const spa::Kernels& set, float* y) {
        spa::CheckConvolution(weight, channels, taps);
        const spa::ConvolutionLayer layer{
            set, weight, {}, 0, spa::PartsOf(weight, taps), {}};
        spa::RunConvolution(
            layer, {1, channels, axis, axis, x.data(), bias.data(), nullptr, y},
            spa::Serial());
      });
}

// What a parser makes of the input; blocks of 0 rows if it refuses.
spa::Packed Parsed(decltype(spa::ParsePacked) parse, Copy& copy) {
  try {
    return parse(copy.begin(), copy.size());
  } catch (const spa::InvalidInput&) {
    return {};
  }
}

void TryBytes(Copy& copy) {
  if (Parsed(spa::ParsePacked, copy).block_rows == 0) return;
  ++fuzz_accepted;
  const spa::Packed weight = Parsed(spa::ParseForCpu, copy);
  const spa::Packed for_cuda = Parsed(spa::ParseForCuda, copy);
  if (weight.block_rows == 0 && for_cuda.block_rows == 0) {
    std::fprintf(stderr, "fuzz: a sound weight for nothing\n");
    std::abort();
  }
  if (for_cuda.block_rows != 0) ReadForCuda(for_cuda);
  if (weight.block_rows == 0) return;
  for (std::size_t tokens : {1, 5, 70}) TryLinear(weight, tokens);
  TryConvolution(weight, 1, 1);
  TryConvolution(weight, 1, 2);
  TryConvolution(weight, 3, 1);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Copy copy(data, size);
  TryBytes(copy);
  copy.Seal();
  TryBytes(copy);
  return 0;
}
