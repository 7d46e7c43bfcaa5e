// A library that this one can use and need not be there: it is looked for when
// it is wanted.

#ifndef SPA_LIBRARIES_SHARED_LIBRARY_H_
#define SPA_LIBRARIES_SHARED_LIBRARY_H_

#include <string>
#include <vector>

namespace spa {

// What a library is called, and by whom.
struct LibraryNames {
  const char* name;                // in texts
  const char* variable;            // of the environment, with a path
  std::vector<const char*> files;  // that the system may find, newest first
};

class SharedLibrary {
 public:
  // Loads the file that the variable names, if it is set, or else the first of
  // the files, one that is loaded already before all others. Throws
  // gpu::Failure saying what was looked for.
  explicit SharedLibrary(const LibraryNames& names);

  // Whether the variable of the environment named it.
  bool is_chosen() const { return is_chosen_; }

  // Throws gpu::Failure if it has no such function.
  template <class Function>
  void Find(const char* name, Function*& found) const {
    found = reinterpret_cast<Function*>(Symbol(name, true));
  }

  // Null if it has no such function, which older versions may lack.
  template <class Function>
  void FindIfThere(const char* name, Function*& found) const {
    found = reinterpret_cast<Function*>(Symbol(name, false));
  }

 private:
  void* Symbol(const char* name, bool must_be_there) const;

  std::string name_;
  bool is_chosen_ = false;
  void* handle_ = nullptr;
};

}  // namespace spa

#endif  // SPA_LIBRARIES_SHARED_LIBRARY_H_
