#include "host-tools/verifier/rate_limit.hpp"

#include <algorithm>
#include <cmath>

#include <arpa/inet.h>

namespace cvmin {

std::optional<unsigned> RateLimiter::refuse(std::string_view client, std::uint64_t now_us) {
    if (per_second_ == 0)
        return std::nullopt;
    const std::lock_guard lock{mutex_};
    if (const auto found = index_.find(client); found != index_.end()) {
        recent_.splice(recent_.begin(), recent_, found->second);
    } else {
        if (recent_.size() >= capacity_) {
            index_.erase(recent_.back().client);
            recent_.pop_back();
        }
        recent_.push_front({.client = std::string{client}, .level = static_cast<double>(burst_), .at_us = now_us});
        index_.emplace(recent_.front().client, recent_.begin());
    }
    Bucket &bucket = recent_.front();
    const double seconds = now_us > bucket.at_us ? static_cast<double>(now_us - bucket.at_us) / 1e6 : 0;
    bucket.level = std::min<double>(burst_, bucket.level + seconds * per_second_);
    bucket.at_us = std::max(bucket.at_us, now_us);
    if (bucket.level >= 1) {
        bucket.level -= 1;
        return std::nullopt;
    }
    return std::max(1u, static_cast<unsigned>(std::ceil((1 - bucket.level) / per_second_)));
}

std::size_t RateLimiter::size() const {
    const std::lock_guard lock{mutex_};
    return recent_.size();
}

std::string rate_key(std::string_view address) {
    in6_addr parsed{};
    std::string text{address};
    if (::inet_pton(AF_INET6, text.c_str(), &parsed) != 1)
        return text;
    if (IN6_IS_ADDR_V4MAPPED(&parsed)) // of a socket that takes both
        return text.substr(text.rfind(':') + 1);
    std::fill(parsed.s6_addr + 8, parsed.s6_addr + 16, std::uint8_t{0});
    char network[INET6_ADDRSTRLEN];
    return ::inet_ntop(AF_INET6, &parsed, network, sizeof network) != nullptr ? network : text;
}

} // namespace cvmin
