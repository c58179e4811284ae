// A new directory that is removed with all that is in it when its owner goes.
#pragma once

#include "host-tools/base/explained.hpp"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <utility>

namespace cvmin {

class Scratch {
  public:
    // `prefix` and six letters; mode 0700. system.
    static Explained<Scratch> make(const std::filesystem::path &prefix) {
        std::string name = prefix.string() + "XXXXXX";
        if (::mkdtemp(name.data()) == nullptr)
            return explain({Errc::system, "directory", static_cast<std::uint64_t>(errno)}, prefix.string());
        return Scratch{name};
    }
    Scratch(Scratch &&other) noexcept : path_(std::exchange(other.path_, {})) {}
    Scratch &operator=(Scratch &&) = delete;
    ~Scratch() {
        std::error_code ignored;
        if (!path_.empty())
            std::filesystem::remove_all(path_, ignored);
    }
    const std::filesystem::path &path() const { return path_; }

  private:
    explicit Scratch(std::filesystem::path path) : path_(std::move(path)) {}
    std::filesystem::path path_;
};

} // namespace cvmin
