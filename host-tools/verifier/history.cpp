#include "host-tools/verifier/history.hpp"

#include <algorithm>

namespace cvmin {

void History::add(HistoryEntry entry) {
    auto shared = std::make_shared<const HistoryEntry>(std::move(entry));
    std::shared_ptr<const HistoryEntry> dropped; // freed outside of the lock
    const std::lock_guard lock{mutex_};
    entries_.push_front(std::move(shared));
    if (entries_.size() > max_history) {
        dropped = std::move(entries_.back());
        entries_.pop_back();
    }
}

std::vector<std::shared_ptr<const HistoryEntry>> History::recent() const {
    const std::lock_guard lock{mutex_};
    return {entries_.begin(), entries_.end()};
}

std::shared_ptr<const HistoryEntry> History::find(std::string_view id) const {
    const std::lock_guard lock{mutex_};
    const auto found = std::ranges::find_if(entries_, [&](const auto &entry) { return entry->id == id; });
    return found == entries_.end() ? nullptr : *found;
}

} // namespace cvmin
