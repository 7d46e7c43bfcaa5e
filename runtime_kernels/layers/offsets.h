// Where in a panel the column of every stored block lies.

#ifndef SPA_LAYERS_OFFSETS_H_
#define SPA_LAYERS_OFFSETS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/packed/packed.h"

namespace spa {

using Offsets = std::vector<std::int32_t>;

// The tables of one weight for the shapes it met last; sessions may ask from
// several threads. A table has 4 bytes for each stored block.
class OffsetTables {
 public:
  // What the offsets depend on, in numbers.
  using Key = std::vector<std::size_t>;

  // Column c's offset in bytes, which the caller has checked to fit.
  using OffsetOf = std::function<std::size_t(std::size_t column)>;

  std::shared_ptr<const Offsets> Get(const Packed& weight, const Key& key,
                                     const OffsetOf& offset_of) const;

 private:
  struct Entry {
    Key key;
    std::shared_ptr<const Offsets> offsets;
  };
  mutable std::mutex guard_;
  mutable std::list<Entry> recent_;
};

}  // namespace spa

#endif  // SPA_LAYERS_OFFSETS_H_
