#include "custom_ops/sparse_conv.h"

#include <vector>

#include "custom_ops/attributes.h"
#include "custom_ops/inferred_shape.h"
#include "custom_ops/pool.h"
#include "custom_ops/weight.h"

namespace spa {
namespace {

constexpr char kOutChannels[] = "out_channels";
// Far beyond any model, and far from overflowing a product of two.
constexpr std::int64_t kMostOfWindow = 1 << 15;

using Ints = std::vector<std::int64_t>;

// `read` returns the ints of an attribute.
template <typename Read>
Windows ReadWindows(const Read& read) {
  const auto checked = [&](const char* name, std::size_t size,
                           std::int64_t least) {
    const Ints ints = read(name);
    bool fits = ints.size() == size;
    for (const std::int64_t number : ints) {
      fits = fits && number >= least && number <= kMostOfWindow;
    }
    if (fits) return ints;
    throw InvalidInput(std::string("attribute ") + name + " is " +
                       ToText(ints) + ", expected " + std::to_string(size) +
                       " numbers from " + std::to_string(least) + " to " +
                       std::to_string(kMostOfWindow));
  };
  const Ints kernel = checked("kernel_shape", 2, 1);
  const Ints strides = checked("strides", 2, 1);
  const Ints dilations = checked("dilations", 2, 1);
  const Ints pads = checked("pads", 4, 0);
  Windows windows{};
  for (std::size_t axis = 0; axis < 2; ++axis) {
    windows[axis] = {kernel[axis], strides[axis], dilations[axis], pads[axis],
                     pads[axis + 2]};
  }
  return windows;
}

std::size_t Taps(const Windows& windows) {
  return static_cast<std::size_t>(windows[0].kernel * windows[1].kernel);
}

std::size_t Channels(const Packed& weight, const Windows& windows) {
  const std::size_t taps = Taps(windows);
  CheckConvolution(weight, weight.columns / taps, taps);
  return weight.columns / taps;
}

}  // namespace

bool Window::KeepsLength() const {
  return stride == 1 && before + after == (kernel - 1) * dilation;
}

std::int64_t Window::Outputs(std::int64_t inputs) const {
  const std::int64_t span = (kernel - 1) * dilation + 1;
  std::int64_t padded = 0;
  // A model may declare any length.
  if (__builtin_add_overflow(inputs, before + after, &padded)) return 0;
  return padded < span ? 0 : (padded - span) / stride + 1;
}

void SparseConv::InferShape(const OrtApi& api, OrtShapeInferContext* context) {
  InferredShape shape = InputShape(api, context);
  if (shape.lengths.size() != 4) return;
  const Windows windows = ReadWindows(
      [&](const char* name) { return InferenceInts(api, context, name); });
  shape.Set(1, InferenceInt(api, context, kOutChannels));
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::int64_t inputs = shape.lengths[axis + 2];
    if (inputs < 0 && windows[axis].KeepsLength()) continue;  // and its name
    shape.Set(axis + 2, inputs < 0 ? -1 : windows[axis].Outputs(inputs));
  }
  SetOutputShape(api, context, shape);
}

SparseConv::SparseConv(const OrtApi& api, const OrtKernelInfo* info,
                       std::size_t threads)
    : api_(api),
      threads_(threads),
      windows_(ReadWindows(
          [&](const char* name) { return Attributes(api, info).Ints(name); })),
      weight_(ReadWeightInPlace(api, info, kOutChannels)),
      channels_(Channels(weight_, windows_)),
      layer_{ChooseKernels(),
             weight_,
             ReadEpilogue(Attributes(api, info)),
             ReadTile(Attributes(api, info)),
             PartsOf(weight_, Taps(windows_)),
             {}} {}

Axis SparseConv::AxisOf(std::size_t axis, const Shape& x,
                        const Shape& y) const {
  const Window& window = windows_[axis];
  return {static_cast<std::size_t>(x[axis + 2]),
          static_cast<std::size_t>(y[axis + 2]),
          static_cast<std::size_t>(window.kernel),
          static_cast<std::size_t>(window.stride),
          static_cast<std::size_t>(window.dilation),
          static_cast<std::size_t>(window.before)};
}

void SparseConv::Compute(OrtKernelContext* context) const {
  const OrtValue* x = InputOrNull(api_, context, kX);
  const Shape shape = ShapeOf(api_, x);
  if (shape.size() != 4 || shape[1] != static_cast<std::int64_t>(channels_)) {
    throw InvalidInput("X has shape " + ToText(shape) + ", expected (N, " +
                       std::to_string(channels_) + ", H, W)");
  }
  const auto rows = static_cast<std::int64_t>(weight_.rows);
  const Shape y_shape{shape[0], rows, windows_[0].Outputs(shape[2]),
                      windows_[1].Outputs(shape[3])};
  ConvolutionCall call{};
  call.images = static_cast<std::size_t>(shape[0]);
  call.channels = channels_;
  call.vertical = AxisOf(0, shape, y_shape);
  call.horizontal = AxisOf(1, shape, y_shape);
  call.x = static_cast<const float*>(DataOf(api_, x));
  call.bias = OptionalFloats(api_, context, kBias, "bias", {rows});
  call.residual = OptionalFloats(api_, context, kResidual, "residual", y_shape);
  OrtValue* y = nullptr;
  Check(api_.KernelContext_GetOutput(context, 0, y_shape.data(), y_shape.size(),
                                     &y));
  call.y = static_cast<float*>(MutableDataOf(api_, y));
  const std::size_t outputs = ElementCount(y_shape);
  if (outputs == 0) return;
  const std::size_t threads =
      PaysForThreads(weight_, outputs / weight_.rows) ? threads_ : 1;
  RunConvolution(layer_, call, SessionPool(api_, context, threads));
}

}  // namespace spa
