// Columns of a tile are copied next to each other into a panel: in their place
// they lie far apart, often near a power of two, and would drive each other out
// of the caches. A chunk of columns fits the first-level cache; all rows pass
// over it, then it gives way to the next one, which was fetched meanwhile. So
// only sums travel between the caches.
//
// Where tiles are too few for the threads, panels of all columns are made first
// and tasks are tiles by ranges of rows.

#include "layers/panels.h"

#include <algorithm>
#include <string>

#include "abi/failure.h"
#include "support/buffer.h"

namespace spa {
namespace {

// Tasks of a thread, so that one that is held up leaves work to the others.
constexpr std::size_t kTasksOfThread = 4;
constexpr std::size_t kFewestTasksOfThread = 2;
// With fewer rows, fetching the panel costs more than multiplying it.
constexpr std::size_t kFewestRowsOfPart = 32;
// Sums that lie beside Y stay in the second-level cache.
constexpr std::size_t kFloatsOfSums = 128 * 1024;
constexpr std::size_t kColumnsOfTask = 128;
// So far ahead that a line arrives in time from beyond the second-level cache.
constexpr std::size_t kRowsAhead = 8;

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

// Rows of Y some way ahead of those that the call is about to write.
Fetch OwnRows(const PanelCall& call) {
  const std::size_t rows =
      (call.end_block - call.first_block) * call.weight->block_rows;
  if (rows <= kRowsAhead) return {};
  return {call.y + kRowsAhead * call.y_stride, call.y_stride * sizeof(float),
          rows - kRowsAhead};
}

// The positions behind those of the call, which are the next tile's.
Fetch RowsBehind(const PanelCall& call) {
  return {call.y + call.positions, call.y_stride * sizeof(float),
          (call.end_block - call.first_block) * call.weight->block_rows};
}

// ---- A thread has whole tiles.

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

// Tiles [first, end). With one group of rows, all chunks take turns in one
// place; else the panel is kept for the other groups.
void RunTiles(const PanelWork& work, const Offsets& offsets, std::size_t first,
              std::size_t end, const Memory& memory) {
  const Packed& weight = work.weight;
  const Split groups = SumGroups(work, RowBlocks(weight));
  const bool keeps = groups.parts > 1;
  const Floats panel(
      memory, (keeps ? weight.columns : weight.chunk_columns) * work.stride);
  const Floats sums = RoomForSums(work, groups, memory);
  for (std::size_t tile = first; tile < end; ++tile) {
    for (std::size_t g = 0; g < groups.parts; ++g) {
      PanelCall call =
          work.layer.Begin(tile, groups.Begin(g), groups.End(g), sums.get());
      call.offsets = offsets.data();
      for (std::size_t c = 0; c < Chunks(weight); ++c) {
        const Chunk chunk = ChunkOf(weight, c);
        float* columns = panel.get() + (keeps ? chunk.first * work.stride : 0);
        if (g == 0) {
          work.layer.Fill(tile, chunk.first, chunk.count, columns);
          call.read = After(work, tile, end, chunk);
        }
        call.written[0] = {};
        call.written[1] = {};
        if (work.sums_in_y && tile == first && c == 0) {
          call.written[0] = OwnRows(call);
        }
        if (work.sums_in_y && tile + 1 < end && c + 1 == Chunks(weight)) {
          call.written[1] = RowsBehind(call);
        }
        Multiply(work, call, chunk, columns);
      }
      work.layer.End(tile, groups.Begin(g), groups.End(g), sums.get());
    }
  }
}

// ---- Threads share panels.

void FillAll(const PanelWork& work, float* panels, const Parallel& parallel) {
  const Split columns = SplitByMost(work.weight.columns, kColumnsOfTask);
  ForEach(parallel, work.tiles * columns.parts, [&](std::size_t task) {
    const std::size_t tile = task / columns.parts, part = task % columns.parts;
    const std::size_t first = columns.Begin(part);
    work.layer.Fill(
        tile, first, columns.Size(part),
        panels + (tile * work.weight.columns + first) * work.stride);
  });
}

void RunShared(const PanelWork& work, const Offsets& offsets,
               const Split& parts, const Parallel& parallel) {
  const Packed& weight = work.weight;
  const Memory& memory = parallel.memory();
  const std::size_t size = weight.columns * work.stride;
  const Floats panels(memory, work.tiles * size);
  FillAll(work, panels.get(), parallel);
  ForEach(parallel, work.tiles * parts.parts, [&](std::size_t task) {
    const std::size_t tile = task % work.tiles, part = task / work.tiles;
    const std::size_t first = parts.Begin(part), end = parts.End(part);
    const Split groups = SumGroups(work, end - first);
    const Floats sums = RoomForSums(work, groups, memory);
    for (std::size_t g = 0; g < groups.parts; ++g) {
      const std::size_t from = first + groups.Begin(g);
      const std::size_t to = first + groups.End(g);
      PanelCall call = work.layer.Begin(tile, from, to, sums.get());
      call.offsets = offsets.data();
      if (work.sums_in_y) call.written[0] = OwnRows(call);
      for (std::size_t c = 0; c < Chunks(weight); ++c) {
        const Chunk chunk = ChunkOf(weight, c);
        Multiply(work, call, chunk,
                 panels.get() + tile * size + chunk.first * work.stride);
        call.written[0] = {};
      }
      work.layer.End(tile, from, to, sums.get());
    }
  });
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
    if (is_even && rounds >= kFewestTasksOfThread) break;
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
  if (parts.parts > 1) return RunShared(work, *offsets, parts, parallel);
  const Split runs{
      work.tiles,
      threads == 1 ? 1 : std::min(work.tiles, threads * kTasksOfThread)};
  ForEach(parallel, runs.parts, [&](std::size_t run) {
    RunTiles(work, *offsets, runs.Begin(run), runs.End(run), parallel.memory());
  });
}

}  // namespace spa
