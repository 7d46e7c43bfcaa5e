// The library without ONNX Runtime: SpaVersion, SpaListKernels, SpaRunLinear
// and SpaRunConvolution.

#include <string>

#include "abi/failure.h"
#include "abi/try.h"
#include "kernels/kernels.h"
#include "layers/activation.h"
#include "layers/convolution.h"
#include "layers/linear.h"
#include "spa_onnx_kernels.h"
#include "support/instruction_sets.h"

namespace spa {
namespace {

const Kernels& KernelsOf(const SpaLayer& layer) {
  if (layer.kernels == nullptr) return ChooseKernels();
  const Kernels* found = FindKernels(layer.kernels);
  if (found == nullptr) {
    throw InvalidInput(std::string("no kernels ") + layer.kernels);
  }
  return *found;
}

Epilogue EpilogueOf(const SpaLayer& layer) {
  return {ActivationOf(layer.activation), layer.clip_min, layer.clip_max};
}

Axis AxisOf(const SpaConvolution& c, std::size_t axis) {
  return {c.input[axis],   c.output[axis],    c.kernel[axis],
          c.strides[axis], c.dilations[axis], c.pads[axis]};
}

// An op's own checks, for callers that have none.
void CheckAxes(const SpaConvolution& c) {
  for (std::size_t axis = 0; axis < 2; ++axis) {
    if (c.kernel[axis] == 0 || c.strides[axis] == 0 || c.dilations[axis] == 0 ||
        c.output[axis] == 0) {
      throw InvalidInput(
          "kernel, strides, dilations and output must be at least 1");
    }
  }
}

}  // namespace
}  // namespace spa

const char* SpaVersion() { return SPA_VERSION; }

const SpaKernelEntry* SpaListKernels(size_t* count) {
#define SPA_KERNELS(id, isa)                        \
  {spa::kernels_##id.name, #isa,                    \
   spa::Supports(spa::InstructionSet::isa) ? 1 : 0, \
   &spa::kernels_##id == &spa::ChooseKernels() ? 1 : 0},
  static const SpaKernelEntry entries[] = {
#include "kernels/kernels.inc"
  };
#undef SPA_KERNELS
  *count = sizeof(entries) / sizeof(entries[0]);
  return entries;
}

int SpaRunLinear(const SpaLinear* linear, size_t repeats, char* error,
                 size_t error_size) {
  return spa::Try(error, error_size, [&] {
    const SpaLayer& with = linear->layer;
    const spa::LinearLayer layer{
        spa::KernelsOf(with),
        spa::ParseForCpu(with.packed, with.packed_size),
        spa::EpilogueOf(with),
        with.tile,
        {}};
    for (size_t i = 0; i < repeats; ++i) {
      spa::RunLinear(layer,
                     {linear->tokens, with.x, with.bias, with.residual, with.y},
                     spa::Serial());
    }
  });
}

int SpaRunConvolution(const SpaConvolution* c, size_t repeats, char* error,
                      size_t error_size) {
  return spa::Try(error, error_size, [&] {
    const SpaLayer& with = c->layer;
    const spa::Packed weight = spa::ParseForCpu(with.packed, with.packed_size);
    spa::CheckAxes(*c);
    const size_t taps = c->kernel[0] * c->kernel[1];
    spa::CheckConvolution(weight, c->channels, taps);
    const spa::ConvolutionLayer layer{spa::KernelsOf(with),       weight,
                                      spa::EpilogueOf(with),      with.tile,
                                      spa::PartsOf(weight, taps), {}};
    for (size_t i = 0; i < repeats; ++i) {
      spa::RunConvolution(
          layer,
          {c->images, c->channels, spa::AxisOf(*c, 0), spa::AxisOf(*c, 1),
           with.x, with.bias, with.residual, with.y},
          spa::Serial());
    }
  });
}
