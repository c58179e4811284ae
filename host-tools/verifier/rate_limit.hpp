// How often one client may ask: a token bucket for each address, in a table of bounded size. The clock is the caller's.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace cvmin {

inline constexpr std::size_t max_rate_entries = 16384; // about 2 MiB; the address that was longest silent goes first

class RateLimiter {
  public:
    // `per_second` 0: everybody may always. `burst` requests may come at once.
    RateLimiter(unsigned per_second, unsigned burst, std::size_t capacity = max_rate_entries)
        : per_second_(per_second), burst_(burst), capacity_(capacity) {}

    // Takes one request of this client; else the seconds after which another one is let through.
    std::optional<unsigned> refuse(std::string_view client, std::uint64_t now_us);
    std::size_t size() const;

  private:
    struct Bucket {
        std::string client;
        double level; // requests that may still come
        std::uint64_t at_us;
    };
    unsigned per_second_, burst_;
    std::size_t capacity_;
    mutable std::mutex mutex_;
    std::list<Bucket> recent_; // most recent first
    std::unordered_map<std::string_view, std::list<Bucket>::iterator> index_;
};

// Who counts as one client: an IPv4 address; of an IPv6 address its first 64 bits, which are one subscriber's; "unix".
std::string rate_key(std::string_view address);

} // namespace cvmin
