// Times every csr_linear kernel on one thread, weights warm in the cache.
// bench_onnxruntime.py beside this file puts the op next to the runtime's own
// dense product, which is the baseline that counts.

#include "support/bench.h"

#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "kernels/csr_linear/csr_linear.h"
#include "support/instruction_sets.h"

namespace spa {
namespace {

struct Layer {
  const char* model;
  size_t tokens, columns, rows;
};
constexpr Layer kLayers[] = {
    {"ResNet-50 fc", 1, 2048, 1000},
    {"MiniLM attention", 128, 384, 384},
    {"MiniLM feed-forward", 128, 384, 1536},
    {"BERT-base feed-forward", 16, 768, 3072},
    {"BERT-base feed-forward", 128, 768, 3072},
    {"ViT-B/16 feed-forward", 197, 768, 3072},
};
constexpr double kDensities[] = {0.5, 0.2, 0.1};

// Nonzeros at random places, as magnitude pruning leaves them.
struct RandomMatrix {
  RandomMatrix(const Layer& layer, double density) {
    std::mt19937 random(0);
    std::bernoulli_distribution is_kept(density);
    starts.push_back(0);
    for (size_t row = 0; row < layer.rows; ++row) {
      for (std::uint32_t column = 0; column < layer.columns; ++column) {
        if (is_kept(random)) columns.push_back(column);
      }
      starts.push_back(static_cast<std::uint32_t>(columns.size()));
    }
    values.assign(columns.size(), 0.5f);
  }

  std::vector<std::uint32_t> starts, columns;
  std::vector<float> values;
};

template <typename Element>
const unsigned char* Bytes(const std::vector<Element>& elements) {
  return reinterpret_cast<const unsigned char*>(elements.data());
}

void Measure(const Layer& layer, double density, const char* name,
             const CsrLinearKernel& kernel) {
  const RandomMatrix weight(layer, density);
  const std::vector<float> x(layer.tokens * layer.columns, 1.0f);
  std::vector<float> y(layer.tokens * layer.rows);
  CsrLinear problem{};
  problem.rows = layer.rows;
  problem.columns = layer.columns;
  problem.tokens = layer.tokens;
  problem.row_starts = Bytes(weight.starts);
  problem.column_indices = Bytes(weight.columns);
  problem.values = Bytes(weight.values);
  problem.x = x.data();
  problem.y = y.data();
  const double seconds =
      MedianSeconds([&] { RunCsrLinear(kernel, problem, Serial()); });
  const double giga = 2e-9 * static_cast<double>(layer.tokens) / seconds;
  std::printf("%-24s %4zu x %4zu -> %4zu  %3.0f %%  %-24s %9.1f %8.1f %8.1f\n",
              layer.model, layer.tokens, layer.columns, layer.rows,
              100 * density, name, 1e6 * seconds,
              giga * static_cast<double>(weight.values.size()),
              giga * static_cast<double>(layer.rows * layer.columns));
}

}  // namespace
}  // namespace spa

int main() {
  std::printf("%-24s %-20s  kept   %-24s %9s %8s %8s\n", "layer", "shape",
              "kernel", "us", "GF/s", "dense GF/s");
  for (const spa::Layer& layer : spa::kLayers) {
    for (const double density : spa::kDensities) {
#define SPA_KERNEL(isa, name)                       \
  if (spa::Supports(spa::InstructionSet::isa)) {    \
    spa::Measure(layer, density, #name, spa::name); \
  }
#include "kernels/csr_linear/kernels.inc"
#undef SPA_KERNEL
    }
  }
}
