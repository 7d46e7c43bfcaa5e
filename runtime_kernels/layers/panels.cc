// Columns of a tile are copied next to each other into a panel: in their place
// they lie far apart, often near a power of two, and would drive each other out
// of the caches. A chunk of columns fits the first-level cache; all rows pass
// over it, then it gives way to the next one, which was fetched meanwhile. So
// only sums travel between the caches.
//
// Where tiles are too few for the threads, tasks are tiles by ranges of rows.
// Each makes panels of its own: that takes no longer than to fetch them from
// the cache of another core, and nobody waits.

#include "layers/panels.h"

#include <algorithm>
#include <string>

#include "abi/failure.h"
#include "support/buffer.h"

namespace spa {
namespace {

// Tasks of a thread, so that one that is held up leaves work to the others.
constexpr std::size_t kTasksOfThread = 2;
// With fewer rows, fetching the panel costs more than multiplying it.
constexpr std::size_t kFewestRowsOfPart = 32;
// So far ahead that a line arrives in time from beyond the second-level cache.
constexpr std::size_t kRowsAhead = 8;

struct Task {
  std::size_t first_tile, end_tile, first_block, end_block;
};

struct Chunk {
  std::size_t index, first, count;
};

Chunk ChunkOf(const Packed& weight, std::size_t index) {
  const std::size_t first = index * weight.chunk_columns;
  return {index, first, std::min(weight.chunk_columns, weight.columns - first)};
}

// Ranges of row blocks whose sums are kept together.
Split SumGroups(const PanelWork& work, std::size_t blocks) {
  if (work.sums_in_y) return {blocks, 1};
  const std::size_t floats = work.weight.block_rows * work.stride;
  return SplitByMost(blocks, std::max<std::size_t>(1, kFloatsOfSums / floats));
}

Floats RoomForSums(const PanelWork& work, const Split& groups,
                   const Memory& memory) {
  if (work.sums_in_y) return {};
  return {memory, groups.Largest() * work.weight.block_rows * work.stride};
}

void Multiply(const PanelWork& work, PanelCall& call, const Chunk& chunk,
              const float* panel) {
  call.chunk = chunk.index;
  call.is_first = chunk.index == 0;
  call.is_last = chunk.index + 1 == Chunks(work.weight);
  call.panel = reinterpret_cast<const char*>(panel);
  work.kernel.multiply(call);
}

// Rows as those of Y some way ahead of the call's.
Fetch OwnRows(const PanelCall& call, const float* rows) {
  const std::size_t count =
      (call.end_block - call.first_block) * call.weight->block_rows;
  if (rows == nullptr || count <= kRowsAhead) return {};
  return {rows + kRowsAhead * call.y_stride, call.y_stride * sizeof(float),
          count - kRowsAhead};
}

// The positions behind those of the call, which are the next tile's.
Fetch RowsBehind(const PanelCall& call, const float* rows) {
  if (rows == nullptr) return {};
  return {rows + call.positions, call.y_stride * sizeof(float),
          (call.end_block - call.first_block) * call.weight->block_rows};
}

// Sums that lie in Y, and what they start at: those of a task's first tile are
// fetched shortly before they are needed, the others while the tile before is
// multiplied.
void FetchSums(PanelCall& call, std::size_t tile, const Task& task,
               std::size_t chunk, std::size_t chunks) {
  const bool begins = tile == task.first_tile && chunk == 0;
  const bool has_next = tile + 1 < task.end_tile && chunk + 1 == chunks;
  const float* residual = call.residual == call.y ? nullptr : call.residual;
  call.written[0] = begins ? OwnRows(call, call.y) : Fetch{};
  call.written[1] = has_next ? RowsBehind(call, call.y) : Fetch{};
  call.residuals[0] = begins ? OwnRows(call, residual) : Fetch{};
  call.residuals[1] = has_next ? RowsBehind(call, residual) : Fetch{};
}

// What comes after a chunk in a run of tiles that ends before `end_tile`.
Fetch After(const PanelWork& work, std::size_t tile, std::size_t end_tile,
            const Chunk& chunk) {
  if (chunk.index + 1 < Chunks(work.weight)) {
    const Chunk next = ChunkOf(work.weight, chunk.index + 1);
    return work.layer.Source(tile, next.first, next.count);
  }
  if (tile + 1 == end_tile) return {};
  const Chunk next = ChunkOf(work.weight, 0);
  return work.layer.Source(tile + 1, next.first, next.count);
}

// With one group of rows, all chunks take turns in one place; else the panel is
// kept for the other groups.
void Run(const PanelWork& work, const Offsets& offsets, const Task& task,
         const Memory& memory) {
  const Packed& weight = work.weight;
  const Split groups = SumGroups(work, task.end_block - task.first_block);
  const bool keeps = groups.parts > 1;
  const Floats panel(
      memory, (keeps ? weight.columns : weight.chunk_columns) * work.stride);
  const Floats sums = RoomForSums(work, groups, memory);
  for (std::size_t tile = task.first_tile; tile < task.end_tile; ++tile) {
    for (std::size_t g = 0; g < groups.parts; ++g) {
      const std::size_t first = task.first_block + groups.Begin(g);
      const std::size_t end = task.first_block + groups.End(g);
      PanelCall call = work.layer.Begin(tile, first, end, sums.get());
      call.offsets = offsets.data();
      for (std::size_t c = 0; c < Chunks(weight); ++c) {
        const Chunk chunk = ChunkOf(weight, c);
        float* columns = panel.get() + (keeps ? chunk.first * work.stride : 0);
        call.copied = {};
        if (g == 0) {
          work.layer.Fill(tile, chunk.first, chunk.count, columns);
          call.copied = After(work, tile, task.end_tile, chunk);
        }
        if (work.sums_in_y) FetchSums(call, tile, task, c, Chunks(weight));
        Multiply(work, call, chunk, columns);
      }
      work.layer.End(tile, first, end, sums.get());
    }
  }
}

}  // namespace

Tiles Tiles::Of(std::size_t positions, const BlocksPanelKernel& kernel,
                std::size_t block_rows, std::size_t most) {
  const std::size_t own = kernel.most_vectors[BlockRowsPlace(block_rows)];
  return {SplitByMost((positions + kernel.width - 1) / kernel.width,
                      most == 0 ? own : std::min(own, most)),
          kernel.width};
}

Split RowRanges(const Packed& weight, std::size_t tiles, std::size_t threads) {
  const std::size_t blocks = RowBlocks(weight);
  const std::size_t most = std::min(
      blocks, std::max<std::size_t>(1, weight.rows / kFewestRowsOfPart));
  std::size_t parts = 1;
  for (; parts < most && threads > 1; ++parts) {
    const std::size_t tasks = tiles * parts;
    const std::size_t rounds = (tasks + threads - 1) / threads;
    const bool is_even = tasks * 10 >= rounds * threads * 9;
    if (is_even) break;
  }
  return {blocks, parts};
}

void RunPanels(const PanelWork& work, const Parallel& parallel) {
  const Packed& weight = work.weight;
  const std::size_t column_bytes = work.stride * sizeof(float);
  if (weight.columns > 0x7FFFFFFF / column_bytes) {
    throw InvalidInput(std::to_string(weight.columns) +
                       " columns are too many for 32-bit offsets");
  }
  const auto offsets =
      work.tables.Get(weight, {work.stride}, [&](std::size_t column) {
        return column % weight.chunk_columns * column_bytes;
      });
  const std::size_t threads = parallel.threads();
  const Split parts = RowRanges(weight, work.tiles, threads);
  const std::size_t most_runs = threads == 1 ? 1 : threads * kTasksOfThread;
  const Split runs{work.tiles, parts.parts > 1
                                   ? work.tiles
                                   : std::min(work.tiles, most_runs)};
  ForEach(parallel, runs.parts * parts.parts, [&](std::size_t task) {
    const std::size_t run = task % runs.parts, part = task / runs.parts;
    Run(work, *offsets,
        {runs.Begin(run), runs.End(run), parts.Begin(part), parts.End(part)},
        parallel.memory());
  });
}

}  // namespace spa
