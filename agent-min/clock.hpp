// Time since boot. The guest's wall clock is the host's to set and is never asked.
#pragma once

#include <cstdint>

#include <time.h>

namespace cvmin::agent {

class Clock {
  public:
    virtual std::uint64_t now_us() = 0; // never goes back
    std::uint64_t now_ms() { return now_us() / 1000; }

  protected:
    ~Clock() = default;
};

class BootClock final : public Clock {
  public:
    std::uint64_t now_us() override {
        timespec now{};
        ::clock_gettime(CLOCK_BOOTTIME, &now);
        return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
    }
};

} // namespace cvmin::agent
