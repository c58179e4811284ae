// Work that goes on beside the connections, driven by the same event loop.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace cvmin::agent {

class Background {
  public:
    virtual std::array<int, 2> fds() const = 0;                   // to wait for, for reading; -1: none
    virtual std::optional<std::uint64_t> deadline_ms() const = 0; // when to turn in any case; nothing: not by time
    virtual void turn() = 0;                                      // what can be done without waiting

  protected:
    Background() = default;
    Background(const Background &) = default;
    Background &operator=(const Background &) = default;
    ~Background() = default;
};

} // namespace cvmin::agent
