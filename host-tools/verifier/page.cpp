#include "host-tools/verifier/page.hpp"

#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/present/html.hpp"

#include <algorithm>
#include <format>

namespace cvmin {

namespace {

constexpr std::size_t shown_digest = 16; // hex digits: enough to tell one from another by eye; the rest is a click away
constexpr std::size_t shown_reasons = 3; // names of checks; all are on the verdict's page

constexpr const char *list_style = R"css(
header.top{display:flex;flex-wrap:wrap;align-items:baseline;gap:6px 18px;margin:4px 0 16px}
header.top h1{font-size:28px;margin-right:auto}
.counts{display:flex;flex-wrap:wrap;gap:8px;margin:0 0 16px;padding:0;list-style:none}
.counts li{border:1px solid var(--line);background:var(--card);border-radius:10px;padding:8px 16px;color:var(--soft);font-size:14px}
.counts b{display:block;font-size:22px;line-height:1.2;color:var(--ink);font-variant-numeric:tabular-nums}
.counts .good b{color:var(--good)}.counts .bad b{color:var(--bad)}
a{color:var(--accent);text-underline-offset:2px}
a:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:3px}
.list td{font-size:14px}
.list .when{white-space:nowrap;font-variant-numeric:tabular-nums}
.list .reasons{font-family:var(--mono);font-size:12.5px;color:var(--soft);overflow-wrap:anywhere;margin-top:2px}
.list .took{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.list .type{overflow-wrap:anywhere}
.badge.emulated{background:var(--warn-bg);color:var(--warn);padding-left:9px;margin-left:4px}
.back{margin:0 0 12px}
.empty{padding:28px 20px;color:var(--soft)}
@media (max-width:820px){
.list thead{display:none}
.list,.list tbody{display:block}
.list tr{display:block;padding:12px 0;border-bottom:1px solid var(--line)}
.list tr:last-child{border-bottom:0}
.list td{display:block;border:0;padding:2px 0}
.list .took{text-align:left}
.list td[data-label]::before{content:attr(data-label) " ";color:var(--soft);font-size:12.5px}
}
)css";

std::string escaped(std::string_view text) {
    return html_escaped(printable_line(std::string{text}));
}

std::string badge(bool accepted) {
    const char *const path = accepted ? "<path d=\"M4.5 8.5l2.5 2.5 4.5-5.5\"/>" : "<path d=\"M5 5l6 6M11 5l-6 6\"/>";
    const char *const kind = accepted ? "passed" : "failed"; // as on the verdict's page
    return std::format("<span class=\"badge {0}\"><svg class=\"mark {0}\" viewBox=\"0 0 16 16\" aria-hidden=\"true\">"
                       "<circle cx=\"8\" cy=\"8\" r=\"7\"/>{1}</svg>{2}</span>",
                       kind, path, accepted ? "accepted" : "refused");
}

std::string short_digest(ByteView digest) {
    const std::string whole = hex(digest);
    return std::format("<code title=\"{}\">{}</code>", whole, whole.substr(0, shown_digest));
}

// The first checks that stand in the way, by name.
std::string reasons(const Verdict &verdict) {
    std::string out;
    std::size_t count = 0;
    for (const Outcome outcome : {Outcome::failed, Outcome::not_made})
        for (const Check &check : verdict.checks())
            if (check.outcome == outcome && ++count <= shown_reasons)
                out += (out.empty() ? "" : ", ") + escaped(check.name);
    if (count > shown_reasons)
        out += std::format(" and {} more", count - shown_reasons);
    return out;
}

std::string row(const HistoryEntry &entry) {
    const Verdict &verdict = entry.judged.appraisal.verdict;
    const auto &report = entry.judged.appraisal.report;
    std::string out = std::format("<tr><td class=\"when\"><a href=\"/appraisals/{}\">{}</a></td><td>{}",
                                  escaped(entry.id), format_time(entry.time), badge(verdict.accepted()));
    if (verdict.emulated())
        out += "<span class=\"badge emulated\">EMULATED</span>";
    if (const std::string why = reasons(verdict); !verdict.accepted() && !why.empty())
        out += "<div class=\"reasons\">" + why + "</div>";
    out += "</td><td data-label=\"result\">" + escaped(entry.status) +
           "</td><td class=\"type\" data-label=\"evidence\">" + escaped(entry.media_type) +
           "</td><td data-label=\"launch digest\">" +
           (report ? short_digest(report->measurement) : "<span class=\"none\">no report</span>") +
           "</td><td data-label=\"policy\">" + short_digest(entry.judged.expectations.policy.digest) +
           std::format("</td><td class=\"took\" data-label=\"took\">{}.{} ms</td></tr>\n", entry.duration_us / 1000,
                       entry.duration_us % 1000 / 100);
    return out;
}

} // namespace

std::string history_html(const std::vector<std::shared_ptr<const HistoryEntry>> &entries, std::time_t now) {
    std::size_t accepted = 0, emulated = 0;
    for (const auto &entry : entries) {
        accepted += entry->judged.appraisal.verdict.accepted() ? 1 : 0;
        emulated += entry->judged.appraisal.verdict.emulated() ? 1 : 0;
    }
    std::string out = page_head("cvmin verifier: recent appraisals", list_style);
    out += "<body>\n<main>\n<header class=\"top\"><h1>Recent appraisals</h1><span>as of <b>" + format_time(now) +
           "</b></span><a href=\"/\">Look again</a></header>\n";
    out += std::format(
        "<ul class=\"counts\"><li class=\"good\"><b id=\"accepted\">{}</b>accepted</li><li class=\"bad\">"
        "<b id=\"refused\">{}</b>refused</li><li><b id=\"emulated\">{}</b>of an emulated machine</li></ul>\n",
        accepted, entries.size() - accepted, emulated);
    out += "<section class=\"card\">\n";
    if (entries.empty()) {
        out += "<p class=\"empty\" id=\"empty\">No evidence has come since this service was started.</p>\n";
    } else {
        out += "<table class=\"list\"><thead><tr><th>time</th><th>verdict</th><th>result</th><th>evidence</th>"
               "<th>launch digest</th><th>policy</th><th>took</th></tr></thead>\n<tbody>\n";
        for (const auto &entry : entries)
            out += row(*entry);
        out += "</tbody></table>\n";
    }
    return out + std::format("</section>\n<footer><p>The last {} appraisals of this replica, newest first; kept in its "
                             "memory and gone with it. For people: programs read the signed result.</p></footer>\n"
                             "</main>\n</body>\n</html>\n",
                             max_history);
}

std::string appraisal_html(const HistoryEntry &entry) {
    std::string out = verdict_html(entry.judged.appraisal, entry.judged.expectations);
    constexpr std::string_view start = "<main>\n"; // ours: what is escaped has no '<'
    out.insert(out.find(start) + start.size(), "<p class=\"back\"><a href=\"/\">All recent appraisals</a></p>\n");
    return out;
}

} // namespace cvmin
