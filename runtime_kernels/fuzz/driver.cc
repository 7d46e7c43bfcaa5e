// Runs a libFuzzer target without libFuzzer: mutations of seed files, the same
// ones for the same arguments, as many as asked for.
//
//   fuzz_packed --runs 20000 [--first 0] [--seconds 60] SEED...
//
// Run k depends on k and the seeds alone: after a failure, which names its
// run, `--first k --runs 1` repeats it.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size);
extern std::size_t fuzz_accepted;

namespace {

using Bytes = std::vector<std::uint8_t>;
using Random = std::mt19937_64;

constexpr std::size_t kMostMutations = 4;
constexpr std::size_t kLongest = 1 << 16;
constexpr std::size_t kHeader = 128;
constexpr std::uint64_t kInteresting[] = {
    0,          1,          2,          15,    16,    17,         31,
    32,         33,         63,         64,    65,    127,        128,
    255,        256,        4095,       65535, 65536, 0x7fffffff, 0x80000000,
    0xffffffff, 1ull << 32, 1ull << 62, ~0ull};

std::size_t current_run = 0;

void TellRun(int) {
  char text[64];
  const int length = std::snprintf(text, sizeof(text),
                                   "fuzz: failed in run %zu\n", current_run);
  if (write(STDERR_FILENO, text, static_cast<std::size_t>(length)) < 0)
    _exit(2);
  _exit(1);
}

std::size_t Below(Random& random, std::size_t limit) {
  return static_cast<std::size_t>(random() % limit);
}

// A place, in the header as often as behind it.
std::size_t Place(Random& random, const Bytes& bytes) {
  const bool header = random() % 2;
  return Below(random, header ? std::min(kHeader, bytes.size()) : bytes.size());
}

// Overwrites a number of 1, 2, 4 or 8 bytes where such numbers may stand.
void WriteNumber(Random& random, Bytes& bytes, std::uint64_t number) {
  const std::size_t width = std::size_t{1} << Below(random, 4);
  const std::size_t place = Place(random, bytes) / width * width;
  if (place + width > bytes.size()) return;
  std::memcpy(bytes.data() + place, &number, width);
}

// Moves a number by a little.
void Nudge(Random& random, Bytes& bytes) {
  const std::size_t width = std::size_t{2} << Below(random, 2);
  const std::size_t place = Place(random, bytes) / width * width;
  if (place + width > bytes.size()) return;
  std::uint32_t number = 0;
  std::memcpy(&number, bytes.data() + place, width);
  number += static_cast<std::uint32_t>(Below(random, 9)) - 4;
  std::memcpy(bytes.data() + place, &number, width);
}

// Exchanges two neighbouring numbers, of 2 or 4 bytes.
void Swap(Random& random, Bytes& bytes) {
  const std::size_t width = std::size_t{2} << Below(random, 2);
  const std::size_t place = Place(random, bytes) / width * width;
  if (place + 2 * width > bytes.size()) return;
  const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(place);
  const auto second = first + static_cast<std::ptrdiff_t>(width);
  std::swap_ranges(first, second, second);
}

// Cuts the end off or adds to it, and tells the header in half of the cases.
void Resize(Random& random, Bytes& bytes) {
  constexpr std::size_t kTotalSize = 64;
  const std::size_t most = std::min(kLongest, bytes.size() + 256);
  bytes.resize(Below(random, most + 1));
  const std::uint64_t size = bytes.size();
  if (random() % 2 && bytes.size() >= kTotalSize + sizeof(size)) {
    std::memcpy(bytes.data() + kTotalSize, &size, sizeof(size));
  }
}

// Copies a stretch of another seed, or of the same.
void Splice(Random& random, Bytes& bytes, const Bytes& other) {
  if (other.empty()) return;
  const std::size_t from = Below(random, other.size());
  const std::size_t to = Below(random, bytes.size());
  const std::size_t length =
      std::min({Below(random, 64) + 1, other.size() - from, bytes.size() - to});
  std::copy_n(other.begin() + static_cast<std::ptrdiff_t>(from), length,
              bytes.begin() + static_cast<std::ptrdiff_t>(to));
}

void Mutate(Random& random, Bytes& bytes, const std::vector<Bytes>& seeds) {
  if (bytes.empty()) return Resize(random, bytes);
  switch (Below(random, 7)) {
    case 0:
      bytes[Place(random, bytes)] ^=
          static_cast<std::uint8_t>(1u << Below(random, 8));
      break;
    case 1:
      WriteNumber(random, bytes,
                  kInteresting[Below(random, std::size(kInteresting))]);
      break;
    case 2:
      WriteNumber(random, bytes, Below(random, 300));
      break;
    case 3:
      Resize(random, bytes);
      break;
    case 4:
      Splice(random, bytes, seeds[Below(random, seeds.size())]);
      break;
    case 5:
      Swap(random, bytes);
      break;
    default:
      Nudge(random, bytes);
  }
}

struct Arguments {
  std::size_t first = 0;
  std::size_t runs = 10000;
  double seconds = 0;  // 0: no limit
  std::vector<Bytes> seeds;
};

// Ends the program where the arguments make no sense.
Arguments Parse(int count, char** words) {
  Arguments found;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const bool option = word.rfind("--", 0) == 0;
    if (option && i + 1 < count) {
      const char* value = words[++i];
      if (word == "--first") {
        found.first = std::strtoull(value, nullptr, 10);
      } else if (word == "--runs") {
        found.runs = std::strtoull(value, nullptr, 10);
      } else if (word == "--seconds") {
        found.seconds = std::strtod(value, nullptr);
      } else {
        std::fprintf(stderr, "fuzz: no option %s\n", word.c_str());
        std::exit(2);
      }
      continue;
    }
    std::ifstream file(word, std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "fuzz: cannot read %s\n", word.c_str());
      std::exit(2);
    }
    found.seeds.emplace_back(std::istreambuf_iterator<char>(file),
                             std::istreambuf_iterator<char>());
  }
  if (found.seeds.empty()) {
    std::fprintf(stderr, "fuzz: no seeds\n");
    std::exit(2);
  }
  return found;
}

}  // namespace

int main(int count, char** words) {
  const Arguments arguments = Parse(count, words);
  std::signal(SIGABRT, TellRun);
  for (const Bytes& seed : arguments.seeds) {
    LLVMFuzzerTestOneInput(seed.data(), seed.size());
  }
  const std::size_t sound = fuzz_accepted;
  const auto start = std::chrono::steady_clock::now();
  std::size_t done = 0;
  for (; done < arguments.runs; ++done) {
    const std::chrono::duration<double> taken =
        std::chrono::steady_clock::now() - start;
    if (arguments.seconds > 0 && taken.count() > arguments.seconds) break;
    current_run = arguments.first + done;
    Random random(current_run);
    Bytes bytes = arguments.seeds[Below(random, arguments.seeds.size())];
    for (std::size_t m = Below(random, kMostMutations) + 1; m > 0; --m) {
      Mutate(random, bytes, arguments.seeds);
    }
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("seeds %zu accepted %zu runs %zu accepted %zu\n",
              arguments.seeds.size(), sound, done, fuzz_accepted - sound);
  return 0;
}
