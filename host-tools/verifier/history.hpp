// The last appraisals of a verifier service, for people who look at its page. Bounded; kept in memory and nowhere else.
#pragma once

#include "host-tools/verifier/appraiser.hpp"

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::size_t max_history = 100; // under 10 KiB each, and what a person looks through

struct HistoryEntry {
    std::string id; // random, base64url: who was not given it cannot guess it
    std::time_t time = 0;
    std::string media_type, status; // ear_status
    std::uint64_t duration_us = 0;
    Judged judged;
};

class History {
  public:
    void add(HistoryEntry entry);
    std::vector<std::shared_ptr<const HistoryEntry>> recent() const; // newest first
    std::shared_ptr<const HistoryEntry> find(std::string_view id) const;

  private:
    mutable std::mutex mutex_;
    std::deque<std::shared_ptr<const HistoryEntry>> entries_;
};

} // namespace cvmin
