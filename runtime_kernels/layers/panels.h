// A sparse matrix times columns that a layer brings next to each other, tile of
// positions by tile.

#ifndef SPA_LAYERS_PANELS_H_
#define SPA_LAYERS_PANELS_H_

#include <cstddef>

#include "kernels/blocks_panel/blocks_panel.h"
#include "layers/offsets.h"
#include "support/parallel.h"

namespace spa {

// Sums that lie beside Y stay in the second-level cache.
constexpr std::size_t kFloatsOfSums = 128 * 1024;

// Positions of all images or tokens in tiles of whole vectors, as even as can
// be: with the fewest vectors left over, every loop runs at full width.
struct Tiles {
  Split vectors;      // of one image, in tiles
  std::size_t width;  // floats of a vector

  // `most`: vectors of a tile, or 0 for the kernel's own.
  static Tiles Of(std::size_t positions, const BlocksPanelKernel& kernel,
                  std::size_t block_rows, std::size_t most);

  // The tile's first position in its image.
  std::size_t Place(std::size_t tile) const {
    return vectors.Begin(tile % vectors.parts) * width;
  }
  std::size_t Lanes(std::size_t tile) const {
    return vectors.Size(tile % vectors.parts) * width;
  }
  // Floats between columns of a panel.
  std::size_t Stride() const { return vectors.Largest() * width; }
};

// The fewest ranges of row blocks by which all threads have about as much to
// do, if each range of each tile is a task.
Split RowRanges(const Packed& weight, std::size_t tiles, std::size_t threads);

// What a layer is to RunPanels.
class PanelLayer {
 public:
  virtual ~PanelLayer() = default;

  // Writes columns [first, first + count) of a tile, whole vectors each.
  virtual void Fill(std::size_t tile, std::size_t first, std::size_t count,
                    float* panel) const = 0;

  // The memory that Fill will read, if it should be fetched.
  virtual Fetch Source(std::size_t tile, std::size_t first,
                       std::size_t count) const = 0;

  // A call for some row blocks, all but panel and chunk. Sums that cannot lie
  // in Y lie at `sums`.
  virtual PanelCall Begin(std::size_t tile, std::size_t first_block,
                          std::size_t end_block, float* sums) const = 0;

  // The sums of these row blocks are whole.
  virtual void End(std::size_t tile, std::size_t first_block,
                   std::size_t end_block, const float* sums) const = 0;
};

struct PanelWork {
  const PanelLayer& layer;
  const Packed& weight;
  const BlocksPanelKernel& kernel;
  const OffsetTables& tables;
  std::size_t tiles;   // of all images
  std::size_t stride;  // floats between columns of a panel
  bool sums_in_y;      // else PanelLayer::Begin asks for room for them
};

// Throws InvalidInput if columns are too many for 32-bit offsets, and
// std::bad_alloc.
void RunPanels(const PanelWork& work, const Parallel& parallel);

}  // namespace spa

#endif  // SPA_LAYERS_PANELS_H_
