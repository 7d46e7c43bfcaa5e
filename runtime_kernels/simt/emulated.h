// The vocabulary of simt.h for the emulator: what each instruction does to the
// registers of a lane, from those of its warp.
// Source: PTX ISA 8.7, "Matrix fragments for mma.m16n8k16 with floating point
// type", "for sparse mma.m16n8k32 with .f16 and .bf16 types", "ldmatrix".

#ifndef SPA_SIMT_EMULATED_H_
#define SPA_SIMT_EMULATED_H_

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "simt/emulator.h"
#include "simt/halves.h"

#define SPA_DEVICE inline
#define SPA_DEVICE_CALL inline
#define SPA_UNROLL
#define SPA_ROLLED

namespace spa::simt {

SPA_DEVICE unsigned LaneOf(unsigned thread) { return thread % kLanes; }

inline void CheckAligned(const void* pointer, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % bytes != 0) {
    throw std::runtime_error("an access is not aligned to " +
                             std::to_string(bytes) + " bytes");
  }
}

template <class V>
V LoadShared(const V* from) {
  CheckAligned(from, sizeof(V));
  NoteRead(from, sizeof(V));
  return *from;
}

template <class V>
void StoreShared(V* to, V value) {
  CheckAligned(to, sizeof(V));
  NoteWrite(to, sizeof(V));
  *to = value;
}

SPA_DEVICE Words4 LoadOnce(const void* from) {
  CheckAligned(from, sizeof(Words4));
  Words4 words;
  std::memcpy(&words, from, sizeof(words));
  return words;
}

template <unsigned kBytes>
void CopyAsync(void* to, const void* from, bool is_real) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16, "cp.async");
  CheckAligned(to, kBytes);
  CheckAligned(from, kBytes);  // the hardware looks, whatever it reads
  QueueCopy(to, from, kBytes, is_real);
}

template <class V>
V ExchangedAt(const unsigned char* places, unsigned lane) {
  V value;
  std::memcpy(&value, places + lane * kPlace, sizeof(V));
  return value;
}

// Element (row, column) of matrix j, whose rows lanes 8 j to 8 j + 7 point to.
SPA_DEVICE std::uint16_t MatrixElement(const unsigned char* places, unsigned j,
                                       unsigned row, unsigned column) {
  const auto* start = ExchangedAt<const std::uint16_t*>(places, 8 * j + row);
  NoteRead(start + column, sizeof(std::uint16_t));
  return start[column];
}

SPA_DEVICE std::uint32_t Pair(std::uint32_t low, std::uint32_t high) {
  return low | high << 16;
}

SPA_DEVICE void LoadMatrices(std::uint32_t (&r)[4], const void* row) {
  CheckAligned(row, 16);
  const unsigned char* places = Exchange(&row, sizeof(row));
  const unsigned lane = LaneOf(ThreadX()), g = lane / 4, t = lane % 4;
  for (unsigned j = 0; j < 4; ++j) {
    r[j] = Pair(MatrixElement(places, j, g, 2 * t),
                MatrixElement(places, j, g, 2 * t + 1));
  }
}

SPA_DEVICE void LoadMatricesTransposed(std::uint32_t (&r)[4], const void* row) {
  CheckAligned(row, 16);
  const unsigned char* places = Exchange(&row, sizeof(row));
  const unsigned lane = LaneOf(ThreadX()), g = lane / 4, t = lane % 4;
  for (unsigned j = 0; j < 4; ++j) {
    r[j] = Pair(MatrixElement(places, j, 2 * t, g),
                MatrixElement(places, j, 2 * t + 1, g));
  }
}

template <class T>
float ToFloat(std::uint16_t bits) {
  if constexpr (std::is_same_v<T, Float16>) {
    return HalfToFloat(bits);
  } else {
    return Bfloat16ToFloat(bits);
  }
}

template <class T>
std::uint16_t FromFloat(float number) {
  if constexpr (std::is_same_v<T, Float16>) {
    return FloatToHalf(number);
  } else {
    return FloatToBfloat16(number);
  }
}

template <class T>
float HalfOf(std::uint32_t pair, unsigned which) {
  return ToFloat<T>(static_cast<std::uint16_t>(pair >> (16 * which)));
}

struct Operands {
  Words4 a;
  std::uint32_t b[4];
  std::uint32_t metadata;
};

// Stored element (row, column) of the 16 x 16 matrix A of a warp.
template <class T>
float StoredA(const unsigned char* places, unsigned row, unsigned column) {
  const unsigned lane = row % 8 * 4 + column % 8 / 2;
  const auto own = ExchangedAt<Operands>(places, lane);
  return HalfOf<T>(own.a.word[row / 8 + 2 * (column / 8)], column % 2);
}

// Element (k, n) of the matrix B of a warp, with 16 or 32 rows.
template <class T>
float ElementB(const unsigned char* places, unsigned k, unsigned n) {
  const auto own = ExchangedAt<Operands>(places, n * 4 + k % 8 / 2);
  return HalfOf<T>(own.b[k / 8], k % 2);
}

// Adds rows of A times columns of B to the four sums of this lane. `k_of` says
// which row of B a stored column of A belongs to.
template <class T, class KOf>
void Accumulate(float (&d)[4], const unsigned char* places, const KOf& k_of) {
  const unsigned lane = LaneOf(ThreadX()), g = lane / 4, t = lane % 4;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = g + 8 * (i / 2), n = 2 * t + i % 2;
    float sum = 0;
    for (unsigned column = 0; column < 16; ++column) {
      sum += StoredA<T>(places, row, column) *
             ElementB<T>(places, k_of(row, column), n);
    }
    d[i] += sum;
  }
}

template <class T>
void Multiply(float (&d)[4], const Words4& a, std::uint32_t b0,
              std::uint32_t b1) {
  const Operands own{a, {b0, b1, 0, 0}, 0};
  const unsigned char* places = Exchange(&own, sizeof(own));
  Accumulate<T>(d, places, [](unsigned, unsigned column) { return column; });
}

// Position of a stored value among its four, from the lanes that selector S
// names: two of each quad, one for 16 columns of A each.
template <unsigned kSelector>
unsigned PositionOf(const unsigned char* places, unsigned row,
                    unsigned column) {
  const unsigned lane = row % 8 * 4 + 2 * kSelector + column / 8;
  const std::uint32_t half =
      ExchangedAt<Operands>(places, lane).metadata >> (16 * (row / 8));
  const unsigned pair = half >> (4 * (column % 8 / 2)) & 15;
  if ((pair & 3) >= pair >> 2) {
    throw std::runtime_error("positions of 2:4 metadata do not rise");
  }
  return column % 2 == 0 ? pair & 3 : pair >> 2;
}

template <class T, unsigned kSelector>
void MultiplySparse(float (&d)[4], const Words4& a, const std::uint32_t (&b)[4],
                    std::uint32_t metadata) {
  static_assert(kSelector < 2, "two lanes of four");
  const Operands own{a, {b[0], b[1], b[2], b[3]}, metadata};
  const unsigned char* places = Exchange(&own, sizeof(own));
  Accumulate<T>(d, places, [&](unsigned row, unsigned column) {
    return column / 2 * 4 + PositionOf<kSelector>(places, row, column);
  });
}

SPA_DEVICE std::uint32_t ShuffleUp(std::uint32_t value, unsigned lanes) {
  const unsigned lane = LaneOf(ThreadX());
  const unsigned char* places = Exchange(&value, sizeof(value));
  return lane < lanes ? value
                      : ExchangedAt<std::uint32_t>(places, lane - lanes);
}
SPA_DEVICE float ShuffleXor(float value, unsigned mask) {
  const unsigned char* places = Exchange(&value, sizeof(value));
  return ExchangedAt<float>(places, LaneOf(ThreadX()) ^ mask);
}
SPA_DEVICE std::uint32_t Broadcast(std::uint32_t value, unsigned lane) {
  return ExchangedAt<std::uint32_t>(Exchange(&value, sizeof(value)), lane);
}

SPA_DEVICE unsigned PopCount(std::uint32_t bits) {
  return static_cast<unsigned>(__builtin_popcount(bits));
}
SPA_DEVICE unsigned LowestBit(std::uint32_t bits) {
  return static_cast<unsigned>(__builtin_ctz(bits));
}
SPA_DEVICE float Erf(float x) { return std::erf(x); }
SPA_DEVICE float Exp(float x) { return std::exp(x); }
SPA_DEVICE float Tanh(float x) { return std::tanh(x); }

}  // namespace spa::simt

#endif  // SPA_SIMT_EMULATED_H_
