#include "kernels/csr_linear/packed_csr.h"

#include <cstring>
#include <string>

#include "abi/failure.h"
#include "support/crc32.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "packed weights are little-endian and used in place");

namespace spa {
namespace {

struct Header {
  char magic[4];
  std::uint16_t version;
  std::uint16_t format;
  std::uint32_t rows;
  std::uint32_t columns;
  std::uint64_t nonzeros;
  std::uint64_t row_starts;
  std::uint64_t column_indices;
  std::uint64_t values;
  std::uint64_t total_size;
  std::uint32_t crc;
  std::uint32_t zero;
};
static_assert(sizeof(Header) == 64, "the header has no padding");

constexpr std::size_t kCheckedHeader = offsetof(Header, crc);
constexpr std::uint16_t kVersion = 1;
constexpr std::uint16_t kFormat = 1;
constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kElementSize = 4;
constexpr std::uint32_t kMostColumns = 0x7FFFFFFF;

[[noreturn]] void Refuse(const std::string& problem) {
  throw InvalidInput("packed weight: " + problem);
}

void Expect(const char* what, std::uint64_t found, std::uint64_t expected) {
  if (found == expected) return;
  Refuse(std::string(what) + " is " + std::to_string(found) + ", expected " +
         std::to_string(expected));
}

std::uint32_t IndexAt(const unsigned char* section, std::size_t i) {
  std::uint32_t index = 0;
  std::memcpy(&index, section + i * sizeof(index), sizeof(index));
  return index;
}

Header ReadHeader(const unsigned char* bytes, std::size_t size) {
  Header header{};
  if (size < sizeof(header)) {
    Refuse(std::to_string(size) + " bytes are too few for the header of " +
           std::to_string(sizeof(header)));
  }
  std::memcpy(&header, bytes, sizeof(header));
  if (std::memcmp(header.magic, "SPAW", sizeof(header.magic)) != 0) {
    Refuse("does not start with the magic 'SPAW'");
  }
  Expect("version", header.version, kVersion);
  Expect("format", header.format, kFormat);
  Expect("total size", header.total_size, size);
  Expect("reserved field", header.zero, 0);
  if (header.rows == 0 || header.columns == 0 ||
      header.columns > kMostColumns) {
    Refuse("shape (" + std::to_string(header.rows) + ", " +
           std::to_string(header.columns) +
           ") is empty or has more than 2^31 - 1 columns");
  }
  return header;
}

// Returns the end of the section. Compares without adding to or multiplying
// what the file says, so that nothing can overflow.
std::uint64_t CheckSection(const char* name, std::uint64_t offset,
                           std::uint64_t elements, std::uint64_t previous_end,
                           std::uint64_t total_size) {
  if (offset % kAlignment != 0) {
    Refuse(std::string(name) + " start at " + std::to_string(offset) +
           ", not a multiple of " + std::to_string(kAlignment));
  }
  if (offset < previous_end || offset > total_size ||
      elements > (total_size - offset) / kElementSize) {
    Refuse(std::string(name) + " (" + std::to_string(elements) +
           " elements at offset " + std::to_string(offset) +
           ") do not fit between byte " + std::to_string(previous_end) +
           " and the end at " + std::to_string(total_size));
  }
  return offset + elements * kElementSize;
}

void CheckLayout(const Header& header) {
  const std::uint64_t starts_end = CheckSection(
      "row starts", header.row_starts, std::uint64_t{header.rows} + 1,
      sizeof(Header), header.total_size);
  const std::uint64_t columns_end =
      CheckSection("column indices", header.column_indices, header.nonzeros,
                   starts_end, header.total_size);
  const std::uint64_t values_end = CheckSection(
      "values", header.values, header.nonzeros, columns_end, header.total_size);
  Expect("end of values", values_end, header.total_size);
}

void CheckCrc(const Header& header, const unsigned char* bytes) {
  const std::uint32_t crc =
      Crc32(Crc32(0, bytes, kCheckedHeader), bytes + sizeof(Header),
            header.total_size - sizeof(Header));
  Expect("CRC-32", header.crc, crc);
}

void CheckRowStarts(const unsigned char* starts, const Header& header) {
  Expect("first row start", IndexAt(starts, 0), 0);
  Expect("last row start", IndexAt(starts, header.rows), header.nonzeros);
  for (std::size_t row = 0; row < header.rows; ++row) {
    if (IndexAt(starts, row) > IndexAt(starts, row + 1)) {
      Refuse("row " + std::to_string(row) + " ends before it starts");
    }
  }
}

void CheckColumns(const unsigned char* starts, const unsigned char* columns,
                  const Header& header) {
  for (std::size_t row = 0; row < header.rows; ++row) {
    std::uint64_t lowest = 0;
    for (std::size_t j = IndexAt(starts, row); j < IndexAt(starts, row + 1);
         ++j) {
      const std::uint32_t column = IndexAt(columns, j);
      if (column >= header.columns) {
        Refuse("column index " + std::to_string(column) + " in row " +
               std::to_string(row) + " of a matrix with " +
               std::to_string(header.columns) + " columns");
      }
      if (column < lowest) {
        Refuse("column indices of row " + std::to_string(row) +
               " do not rise at " + std::to_string(column));
      }
      lowest = std::uint64_t{column} + 1;
    }
  }
}

}  // namespace

PackedCsr ParsePackedCsr(const unsigned char* bytes, std::size_t size) {
  const Header header = ReadHeader(bytes, size);
  CheckLayout(header);
  CheckCrc(header, bytes);
  const PackedCsr csr{header.rows, header.columns, bytes + header.row_starts,
                      bytes + header.column_indices, bytes + header.values};
  CheckRowStarts(csr.row_starts, header);
  CheckColumns(csr.row_starts, csr.column_indices, header);
  return csr;
}

}  // namespace spa
