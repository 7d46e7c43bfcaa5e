// Vectors of 4 floats: what every processor of the family has, or plain loops.

#ifndef SPA_KERNELS_ISA_PORTABLE_H_
#define SPA_KERNELS_ISA_PORTABLE_H_

#include "kernels/packed/view.h"
#include "support/halves.h"

namespace spa {
namespace {

struct Portable {
  static constexpr std::size_t kWidth = 4;
  static constexpr std::size_t kMostPanelRows = 8;
  static constexpr std::size_t PanelVectors(std::size_t rows) {
    return rows == 1 ? 4 : rows == 2 ? 4 : rows == 4 ? 2 : 1;
  }
  static constexpr std::size_t kMostLanesParts = 4;
  static constexpr std::size_t LanesTokens(std::size_t parts) {
    return parts == 1 ? 6 : 2;
  }

  template <typename Index>
  static Vector<kWidth> Gather(const float* x, const unsigned char* indices,
                               std::size_t count) {
    Vector<kWidth> lanes{};
    for (std::size_t k = 0; k < count; ++k) {
      lanes[k] = x[ElementAt<Index>(indices, k)];
    }
    return lanes;
  }

  template <typename Values>
  static Vector<kWidth> Expand(const unsigned char* values,
                               std::uint32_t bits) {
    Vector<kWidth> lanes{};
    for (std::size_t k = 0; k < kWidth; ++k) {
      if ((bits >> k & 1) == 0) continue;
      lanes[k] = Values::At(values);
      values += Values::kSize;
    }
    return lanes;
  }
};

}  // namespace
}  // namespace spa

#endif  // SPA_KERNELS_ISA_PORTABLE_H_
