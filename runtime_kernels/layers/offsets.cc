#include "layers/offsets.h"

#include "kernels/packed/view.h"

namespace spa {
namespace {

// Models with symbolic axes meet many shapes; each table may be as large as the
// indices of its weight.
constexpr std::size_t kMostTables = 2;

std::shared_ptr<const Offsets> Make(const Packed& weight,
                                    const OffsetTables::OffsetOf& offset_of) {
  std::vector<std::int32_t> by_column(weight.columns);
  for (std::size_t c = 0; c < weight.columns; ++c) {
    by_column[c] = static_cast<std::int32_t>(offset_of(c));
  }
  auto offsets = std::make_shared<Offsets>(weight.blocks);
  for (std::size_t j = 0; j < weight.blocks; ++j) {
    (*offsets)[j] = by_column[IndexAt(weight.indices, weight.index_size, j)];
  }
  return offsets;
}

}  // namespace

std::shared_ptr<const Offsets> OffsetTables::Get(
    const Packed& weight, const Key& key, const OffsetOf& offset_of) const {
  const std::lock_guard<std::mutex> lock(guard_);
  for (auto entry = recent_.begin(); entry != recent_.end(); ++entry) {
    if (entry->key != key) continue;
    recent_.splice(recent_.begin(), recent_, entry);
    return entry->offsets;
  }
  recent_.push_front({key, Make(weight, offset_of)});
  if (recent_.size() > kMostTables) recent_.pop_back();
  return recent_.front().offsets;
}

}  // namespace spa
