#include "host-tools/present/timeline.hpp"

#include "host-tools/base/text.hpp"
#include "host-tools/present/html.hpp"

#include <algorithm>

namespace cvmin {

// Everything out of a file passes through here: ASCII, and no markup.
static std::string escaped(std::string_view text) {
    return html_escaped(printable_line(std::string{text}));
}

static constexpr const char *style = R"css(
.lanes{display:block;width:100%;min-width:560px;height:auto}
.lanes line{stroke:var(--line);stroke-width:1}
.lanes text{fill:var(--soft);font:11px var(--mono)}
.lanes circle{fill:var(--accent)}.lanes circle.odd{fill:var(--bad)}.lanes circle.quiet{fill:none;stroke:var(--soft);stroke-width:1.5}
.lanes a:hover circle,.lanes a:focus circle{stroke:var(--ink);stroke-width:2}
ol.events{list-style:none;margin:0;padding:0;border-left:2px solid var(--line)}
ol.events li{position:relative;padding:2px 0 12px 22px;min-width:0}
ol.events li::before{content:"";position:absolute;left:-7px;top:9px;width:12px;height:12px;border-radius:50%;background:var(--accent);border:2px solid var(--card)}
ol.events li.odd::before{background:var(--bad)}ol.events li.quiet::before{background:var(--soft)}
ol.events li:target{background:var(--warn-bg);border-radius:8px}
.no{color:var(--soft);font-variant-numeric:tabular-nums;margin-right:8px}
.lane{display:inline-block;font:600 12.5px var(--mono);background:var(--skip-bg);border-radius:6px;padding:1px 7px;margin-right:8px}
.what{overflow-wrap:anywhere}
.odd .what{color:var(--bad);font-weight:600}
details{margin-top:3px}summary{cursor:pointer;color:var(--soft);font-size:13px}
details dl,.facts-list{margin-top:6px;font-size:14px}
details dd,.facts-list dd{font-family:var(--mono);font-size:13px}
.unverified{background:var(--warn-bg);border-left:4px solid var(--warn);border-radius:6px;padding:10px 14px;margin:0 0 18px}
)css";

namespace {

struct Row {
    std::string number, lane, text;
    bool odd = false;   // something about it needs a look
    bool quiet = false; // extended to nothing
    const Item *item;
};

std::string text_of(const Json &json, const char *member) {
    if (!json.is_object() || !json.contains(member))
        return {};
    const Json &value = json[member];
    return value.is_string() ? value.get<std::string>() : value.dump();
}

Row row_of(const Item &item) {
    Row row{.number = text_of(item.json, "number"), .lane = {}, .text = item.text, .item = &item};
    row.odd = text_of(item.json, "violation") == "true" || text_of(item.json, "data_match_digest") == "false" ||
              text_of(item.json, "event") == "violation";
    row.quiet = text_of(item.json, "extended") == "false";
    if (const std::string pcr = text_of(item.json, "pcr"); !pcr.empty())
        row.lane = row.quiet ? "not extended" : "PCR " + pcr;
    else
        row.lane = text_of(item.json, "event");
    if (const std::string prefix = row.lane + "  "; row.text.starts_with(prefix)) // it has a place of its own
        row.text.erase(0, prefix.size());
    return row;
}

std::string details(const std::vector<Item> &items) {
    std::string out;
    for (const Item &item : items) {
        out += "<dt>" + escaped(item.name) + "</dt><dd>" + escaped(item.text);
        if (!item.items.empty())
            out += "<dl>" + details(item.items) + "</dl>";
        out += "</dd>";
    }
    return out;
}

// Lanes in the order of PCRs, each event a dot that leads to its line below.
std::string chart(const std::vector<Row> &rows) {
    constexpr std::size_t left = 110, width = 1000, height = 26;
    constexpr std::size_t max_dots = 2000; // a browser draws them at once; more would be a grey bar anyway
    std::vector<std::string> lanes;
    for (const Row &row : rows)
        if (std::ranges::find(lanes, row.lane) == lanes.end())
            lanes.push_back(row.lane);
    const auto order = [](const std::string &lane) {
        return lane.starts_with("PCR ") ? std::strtol(lane.c_str() + 4, nullptr, 10) : 99L;
    };
    std::ranges::stable_sort(lanes, {}, order);
    const std::size_t total = lanes.size() * height + 10;
    std::string out = "<svg class=\"lanes\" viewBox=\"0 0 " + std::to_string(width) + " " + std::to_string(total) +
                      "\" role=\"img\" aria-label=\"events in their order, a line for each PCR or kind\">\n";
    for (std::size_t i = 0; i < lanes.size(); ++i) {
        const std::string y = std::to_string(i * height + 16);
        out += "<text x=\"0\" y=\"" + std::to_string(i * height + 20) + "\">" + escaped(lanes[i]) + "</text>";
        out += "<line x1=\"" + std::to_string(left) + "\" x2=\"" + std::to_string(width) + "\" y1=\"";
        out += y + "\" y2=\"";
        out += y + "\"/>\n";
    }
    const std::size_t shown = std::min(rows.size(), max_dots);
    for (std::size_t i = 0; i < shown; ++i) {
        const auto lane = static_cast<std::size_t>(std::ranges::find(lanes, rows[i].lane) - lanes.begin());
        const std::size_t x = left + 10 + (width - left - 20) * i / std::max<std::size_t>(shown - 1, 1);
        out += "<a href=\"#e" + escaped(rows[i].number) + "\"><circle cx=\"" + std::to_string(x) + "\" cy=\"" +
               std::to_string(lane * height + 16) + "\" r=\"6\"" +
               (rows[i].odd     ? " class=\"odd\""
                : rows[i].quiet ? " class=\"quiet\""
                                : "") +
               "><title>" + escaped(rows[i].number + ": " + rows[i].text) + "</title></circle></a>\n";
    }
    return out + "</svg>\n";
}

} // namespace

std::string timeline_html(std::string_view kind, std::string_view file, const std::vector<Item> &items) {
    std::string out = page_head("cvmin show " + std::string{kind}, style);
    out += "<body>\n<main>\n<h1>" + escaped(kind) + "</h1>\n<p class=\"none\">" + escaped(file) +
           "</p>\n<p class=\"unverified\" id=\"unverified\"><b>Nothing of this is verified.</b> What is shown may be "
           "forged; <code>cvmin verify</code> judges.</p>\n";
    std::string facts;
    for (const Item &item : items)
        if (item.items.empty())
            facts += details({item});
    if (!facts.empty())
        out += "<section class=\"card\" id=\"facts\"><dl class=\"facts-list\">" + facts + "</dl></section>\n";
    for (const Item &item : items) {
        if (item.items.empty())
            continue;
        out += "<section class=\"card\" id=\"" + escaped(item.name) + "\">\n<h2>" + escaped(item.name) + "</h2>\n";
        if (!item.json.is_array()) {
            out += "<p class=\"none\">" + escaped(item.text) + "</p><dl class=\"facts-list\">" + details(item.items) +
                   "</dl>\n</section>\n";
            continue;
        }
        std::vector<Row> rows;
        rows.reserve(item.items.size());
        for (const Item &each : item.items)
            rows.push_back(row_of(each));
        out += "<div class=\"scroll\">" + chart(rows) + "</div><ol class=\"events\">\n";
        for (const Row &row : rows) {
            out += "<li id=\"e" + escaped(row.number) + "\" class=\"" +
                   (row.odd     ? "odd"
                    : row.quiet ? "quiet"
                                : "event") +
                   "\"><span class=\"no\">" + escaped(row.number) + "</span><span class=\"lane\">" + escaped(row.lane) +
                   "</span><span class=\"what\">" + escaped(row.text) + "</span>";
            if (!row.item->items.empty())
                out +=
                    "<details><summary>digests and fields</summary><dl>" + details(row.item->items) + "</dl></details>";
            out += "</li>\n";
        }
        out += "</ol>\n</section>\n";
    }
    out += "<footer><p>For people to read: no program takes a decision from this page.</p></footer>\n</main>\n</body>\n"
           "</html>\n";
    return out;
}

} // namespace cvmin
