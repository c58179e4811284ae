#include "host-tools/verifier/history.hpp"

#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/present/html.hpp"

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

std::string history_html(const std::vector<std::shared_ptr<const HistoryEntry>> &entries, std::time_t now) {
    std::string out = page_head("cvmin verifier");
    out += "<body><main><h1>Recent appraisals</h1><p>As of " + format_time(now) + "; the last " +
           std::to_string(max_history) + " are kept.</p>";
    if (entries.empty())
        return out + "<p>None yet.</p></main></body></html>\n";
    out += "<table><thead><tr><th>Time</th><th>Evidence</th><th>Verdict</th><th>Launch digest</th><th>Policy</th>"
           "<th>Took</th></tr></thead><tbody>";
    for (const auto &entry : entries) {
        const auto &report = entry->judged.appraisal.report;
        const std::string policy = hex(entry->judged.expectations.policy.digest).substr(0, 16);
        out += "<tr><td><a href=\"/appraisals/" + html_escaped(entry->id) + "\">" + format_time(entry->time) +
               "</a></td><td>" + html_escaped(entry->media_type) + "</td><td>" +
               (entry->judged.appraisal.verdict.accepted() ? "accepted" : "refused") +
               (entry->judged.appraisal.verdict.emulated() ? ", EMULATED" : "") + "; " + html_escaped(entry->status) +
               "</td><td><code>" + (report ? hex(report->measurement).substr(0, 16) : "none") +
               "</code></td><td><code>" + policy + "</code></td><td>" + std::to_string(entry->duration_us) +
               " µs</td></tr>";
    }
    return out + "</tbody></table></main></body></html>\n";
}

} // namespace cvmin
