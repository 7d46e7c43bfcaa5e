#include "layers/depthwise_convolution.h"

#include <algorithm>
#include <vector>

#include "kernels/packed/view.h"

namespace spa {
namespace {

// Tasks of a thread, so that one that is held up leaves work to the others.
constexpr std::size_t kTasksOfThread = 4;

bool IsDirect(const ConvolutionLayer& layer, const ConvolutionCall& call) {
  const Axis &v = call.vertical, &h = call.horizontal;
  const Packed& weight = layer.weight;
  const bool fits = v.kernel == h.kernel && (h.kernel == 3 || h.kernel == 5) &&
                    v.stride == h.stride && v.dilation == 1 && h.dilation == 1;
  const bool keeps = h.stride == 2 || (h.stride == 1 && h.input == h.output);
  return layer.kernels.depthwise.multiply_direct != nullptr && fits && keeps &&
         weight.value_type == ValueType::kFloat32 &&
         IsDepthwise(weight, layer.parts) &&
         weight.blocks == weight.rows * v.kernel * h.kernel;
}

// All outputs of one channel of one image.
void RunChannel(const ConvolutionLayer& layer, const ConvolutionCall& call,
                const DirectShape& shape, const std::uint16_t* masks,
                std::size_t image, const Part& part) {
  const Packed& weight = layer.weight;
  const std::size_t inputs = shape.vertical.input * shape.horizontal.input;
  const std::size_t outputs = shape.vertical.output * shape.horizontal.output;
  for (std::size_t row = part.first_block; row < part.end_block; ++row) {
    const std::size_t place = (image * weight.rows + row) * outputs;
    layer.kernels.depthwise.multiply_direct(
        {&shape, masks,
         call.x + (image * call.channels + part.first_channel) * inputs,
         weight.values + StartAt(weight.starts, row) * sizeof(float),
         call.bias == nullptr ? 0.0f : call.bias[row],
         call.residual == nullptr ? nullptr : call.residual + place,
         call.y + place, &layer.epilogue});
  }
}

}  // namespace

bool RunDepthwise(const ConvolutionLayer& layer, const ConvolutionCall& call,
                  const Parallel& parallel) {
  if (!IsDirect(layer, call)) return false;
  const DirectShape shape{call.vertical, call.horizontal};
  const DepthwiseKernel& kernel = layer.kernels.depthwise;
  std::vector<std::uint16_t> masks(kernel.count_masks(shape));
  kernel.make_masks(shape, masks.data());
  const std::size_t channels = layer.parts.size() * call.images;
  const std::size_t threads = parallel.threads();
  const Split tasks{
      channels,
      threads == 1 ? 1 : std::min(channels, threads * kTasksOfThread)};
  ForEach(parallel, tasks.parts, [&](std::size_t task) {
    for (std::size_t i = tasks.Begin(task); i < tasks.End(task); ++i) {
      RunChannel(layer, call, shape, masks.data(), i / layer.parts.size(),
                 layer.parts[i % layer.parts.size()]);
    }
  });
  return true;
}

}  // namespace spa
