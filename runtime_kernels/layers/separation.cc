#include "layers/separation.h"

#include <algorithm>

#include "kernels/packed/view.h"

namespace spa {
namespace {

// Channels [first, end) of a row block; first >= end if it has none.
struct Range {
  std::size_t first;
  std::size_t end;
};

std::vector<Range> RangesOf(const Packed& weight, std::size_t taps) {
  const std::size_t row_blocks = RowBlocks(weight);
  std::vector<Range> ranges(row_blocks, {weight.columns, 0});
  for (std::size_t chunk = 0; chunk < Chunks(weight); ++chunk) {
    for (std::size_t b = 0; b < row_blocks; ++b) {
      const std::size_t start = chunk * (row_blocks + 1) + b;
      const std::size_t from = StartAt(weight.starts, start);
      const std::size_t to = StartAt(weight.starts, start + 1);
      if (from == to) continue;
      // Indices rise within a run.
      const auto channel = [&](std::size_t j) {
        return IndexAt(weight.indices, weight.index_size, j) / taps;
      };
      ranges[b].first = std::min(ranges[b].first, channel(from));
      ranges[b].end = std::max(ranges[b].end, channel(to - 1) + 1);
    }
  }
  return ranges;
}

}  // namespace

std::vector<Part> PartsOf(const Packed& weight, std::size_t taps) {
  const std::vector<Range> ranges = RangesOf(weight, taps);
  // The lowest channel that row blocks from b on read.
  std::vector<std::size_t> lowest(ranges.size() + 1, weight.columns / taps);
  for (std::size_t b = ranges.size(); b-- > 0;) {
    lowest[b] = std::min(lowest[b + 1], ranges[b].first);
  }
  std::vector<Part> parts;
  Part part{0, 0, 0, 0};
  std::size_t highest = 0;
  for (std::size_t b = 0; b < ranges.size(); ++b) {
    highest = std::max(highest, ranges[b].end);
    if (b + 1 < ranges.size() && lowest[b + 1] < highest) continue;
    part.end_block = b + 1;
    part.end_channel = lowest[b + 1];
    parts.push_back(part);
    part = {b + 1, 0, part.end_channel, 0};
  }
  return parts;
}

bool IsDepthwise(const Packed& weight, const std::vector<Part>& parts) {
  return weight.block_rows == 1 && Chunks(weight) == 1 && parts.size() > 1 &&
         std::all_of(parts.begin(), parts.end(), [](const Part& part) {
           return part.end_channel == part.first_channel + 1;
         });
}

std::vector<Part> Joined(const std::vector<Part>& parts, std::size_t channels) {
  std::vector<Part> joined;
  for (const Part& part : parts) {
    if (!joined.empty() &&
        joined.back().end_channel - joined.back().first_channel < channels) {
      joined.back().end_block = part.end_block;
      joined.back().end_channel = part.end_channel;
    } else {
      joined.push_back(part);
    }
  }
  return joined;
}

}  // namespace spa
