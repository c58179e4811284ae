#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/text.hpp"

#include <algorithm>
#include <array>

namespace cvmin {

std::string format_time(std::time_t time) {
    std::tm utc{};
    char text[40];
    if (gmtime_r(&time, &utc) == nullptr || std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        return "(no time)";
    return text;
}

Result<std::time_t> parse_time(std::string_view text) {
    constexpr std::string_view shape = "dddd-dd-ddTdd:dd:ddZ", offset_shape = "+dd:dd";
    const auto is_digit = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '9'; };
    std::time_t offset = 0; // what local time is ahead of UTC
    std::string in_utc;
    if (text.size() == shape.size() - 1 + offset_shape.size()) {
        const std::size_t at = shape.size() - 1;
        if ((text[at] != '+' && text[at] != '-') || !is_digit(at + 1) || !is_digit(at + 2) || text[at + 3] != ':' ||
            !is_digit(at + 4) || !is_digit(at + 5))
            return fail(Errc::malformed, "time", at);
        const auto number = [&](std::size_t i) { return (text[i] - '0') * 10 + (text[i + 1] - '0'); };
        if (number(at + 1) > 23 || number(at + 4) > 59)
            return fail(Errc::out_of_range, "time");
        offset = (number(at + 1) * 60 + number(at + 4)) * 60 * (text[at] == '-' ? -1 : 1);
        in_utc = std::string{text.substr(0, at)} + 'Z';
        text = in_utc;
    }
    if (text.size() != shape.size())
        return fail(Errc::malformed, "time");
    std::array<int, 6> part{};
    std::size_t index = 0;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] == 'd') {
            if (!is_digit(i))
                return fail(Errc::malformed, "time", i);
            part[index] = part[index] * 10 + (text[i] - '0');
        } else if (text[i] != shape[i]) {
            return fail(Errc::malformed, "time", i);
        } else {
            ++index;
        }
    }
    std::tm utc{};
    utc.tm_year = part[0] - 1900;
    utc.tm_mon = part[1] - 1;
    utc.tm_mday = part[2];
    utc.tm_hour = part[3];
    utc.tm_min = part[4];
    utc.tm_sec = part[5];
    const std::time_t time = timegm(&utc);
    if (format_time(time) != text) // the 30th of February, 25 o'clock, a leap second: normalised to something else
        return fail(Errc::out_of_range, "time");
    return time - offset;
}

static std::string measurement_source(const Expectations &wanted) {
    if (!wanted.measurements.empty() || wanted.signer_vouches)
        return "launch digests from " +
               (wanted.measurement_source.empty() ? std::string{"the command line"} : wanted.measurement_source);
    return wanted.policy.measurements.empty() ? "no launch digest wanted" : "launch digests from the policy";
}

static std::string headline(const Appraisal &appraisal) {
    std::string text = appraisal.verdict.accepted() ? "ACCEPTED" : "REFUSED";
    if (appraisal.verdict.report_only())
        text += " (a report by itself: it ties nobody's connection to this machine)";
    if (appraisal.verdict.emulated())
        text += " (EMULATED: vouched for by an emulated ARK, not by AMD)";
    return text;
}

// Long hex in the middle of a text is cut to its ends.
static std::string abbreviated(const std::string &text) {
    constexpr std::size_t longest = 24;
    constexpr std::size_t kept = 8;
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find_first_not_of("0123456789abcdef", at), text.size());
        if (end - at > longest)
            out += text.substr(at, kept) + "..." + text.substr(end - kept, kept);
        else
            out += text.substr(at, end - at);
        if (end < text.size())
            out += text[end];
        at = end + 1;
    }
    return out;
}

// "Is it from such a machine?" and "is that what the policy wants?" are two questions.
static std::string answers(const Verdict &verdict) {
    std::string text = "genuine: ";
    switch (verdict.genuine()) {
    case Genuine::no:
        text += "no";
        break;
    case Genuine::emulated:
        text += "for the emulated root only, which is no hardware";
        break;
    case Genuine::amd:
        text += "yes, from AMD's hardware";
        break;
    }
    text += verdict.acceptable() ? "; acceptable: yes" : "; acceptable: no";
    if (verdict.acceptable() && verdict.genuine() == Genuine::no)
        text += ", if it were genuine";
    return text;
}

// The holes that this report shows as open, and those of which it shows nothing, whether the policy asks or not.
static std::string advisory_lines(const Appraisal &appraisal) {
    std::string unmet, unknown;
    for (const AdvisoryResult &result : appraisal.advisories) {
        const Advisory &advisory = *result.advisory;
        if (result.state == AdvisoryState::unmet)
            unmet += "  " + advisory.id + (result.required ? ", required: " : ": ") + advisory.what + "; " +
                     result.why + (advisory.confirmed ? "" : " (unconfirmed)") + "\n";
        else if (result.state == AdvisoryState::unknown)
            unknown += (unknown.empty() ? "" : ", ") + advisory.id;
    }
    std::string out;
    if (!unmet.empty())
        out += "\nKnown advisories that this platform does not meet:\n" + unmet;
    if (!unknown.empty())
        out += "\nOf these its report tells nothing: " + unknown + "\n";
    return out;
}

std::string check_rows(std::span<const Check> checks) {
    std::size_t width = 0;
    for (const Check &check : checks)
        width = std::max(width, check.name.size());
    std::string out;
    for (const Check &check : checks) {
        const bool failed = check.outcome == Outcome::failed;
        const bool whole = failed || check.name == "snp.measurement";
        const auto shown = [&](const std::string &text) { return printable_line(whole ? text : abbreviated(text)); };
        const std::string indent(width + 12, ' ');
        std::string mark{failed ? "FAILED" : name(check.outcome)};
        mark.resize(10, ' ');
        std::string label{check.name};
        label.resize(width, ' ');
        out += mark + label + "  ";
        if (whole && check.found.size() > 40) // found and wanted below each other, so that they can be compared
            out += "found  " + shown(check.found) + "\n" + indent + "wanted " + shown(check.wanted);
        else if (check.outcome == Outcome::not_made)
            out += shown(check.found);
        else if (check.outcome == Outcome::skipped && check.wanted == "skip")
            out += "found " + shown(check.found) + "; not checked";
        else if (check.found == check.wanted)
            out += "found " + shown(check.found) + ", as wanted";
        else
            out += "found " + shown(check.found) + "; wanted " + shown(check.wanted);
        if (check.anchor != "nothing")
            out += "  [" + std::string{check.anchor} + "]";
        out += "\n";
    }
    return out;
}

std::string check_tally(std::span<const Check> checks) {
    std::string out;
    for (const Outcome outcome : {Outcome::passed, Outcome::failed, Outcome::not_made, Outcome::skipped})
        out += (out.empty() ? "" : ", ") + std::to_string(std::ranges::count(checks, outcome, &Check::outcome)) + " " +
               std::string{name(outcome)};
    return out;
}

std::string verdict_table(const Appraisal &appraisal, const Expectations &expectations) {
    const Verdict &verdict = appraisal.verdict;
    std::string out = headline(appraisal) + "\n";
    out += "at " + format_time(expectations.now) + ", " + printable_line(measurement_source(expectations)) + "\n" +
           answers(verdict) + "\n\n" + check_rows(verdict.checks());
    out += advisory_lines(appraisal);
    if (!appraisal.vtpm.empty())
        out += "\nAnchored in: " + std::string{appraisal.vtpm} + ". " + std::string{vtpm_note(appraisal.vtpm)} + "\n";
    if (appraisal.explanation) {
        out += "\nWhy the launch digest may be another one:\n";
        for (const std::string &line : appraisal.explanation->lines)
            out += "  " + printable_line(line) + "\n";
    }
    out += "\n" + headline(appraisal) + ": " + check_tally(verdict.checks()) + "\n";
    return out;
}

static std::string_view word(Outcome outcome) { // as in the schema
    return outcome == Outcome::not_made ? "not_made" : name(outcome);
}

static std::string hex_word(std::uint64_t value) {
    ByteArray<8> big_endian;
    store_be(big_endian, value);
    return hex(big_endian);
}

static Json report_json(const SnpReport &report) {
    return {{"version", report.version},
            {"measurement", hex(report.measurement)},
            {"report_data", hex(report.report_data)},
            {"host_data", hex(report.host_data)},
            {"vmpl", report.vmpl},
            {"policy", hex_word(report.policy)},
            {"platform_info", hex_word(report.platform_info)},
            {"guest_svn", report.guest_svn},
            {"family_id", hex(report.family_id)},
            {"image_id", hex(report.image_id)},
            {"id_key_digest", hex(report.id_key_digest)},
            {"author_key_digest", report.author_key_enabled() ? Json(hex(report.author_key_digest)) : Json(nullptr)},
            {"chip_id", hex(report.chip_id)},
            {"report_id", hex(report.report_id)},
            {"reported_tcb", hex_word(report.reported_tcb)},
            {"committed_tcb", hex_word(report.committed_tcb)},
            {"launch_tcb", hex_word(report.launch_tcb)},
            {"current_tcb", hex_word(report.current_tcb)}};
}

static Json advisories_json(const Appraisal &appraisal) {
    Json list = Json::array();
    for (const AdvisoryResult &result : appraisal.advisories)
        list.push_back({{"id", result.advisory->id},
                        {"also", result.advisory->also},
                        {"what", result.advisory->what},
                        {"status", result.advisory->confirmed ? "confirmed" : "unconfirmed"},
                        {"state", name(result.state)},
                        {"why", result.why},
                        {"required", result.required}});
    return list;
}

Json checks_json(std::span<const Check> checks) {
    Json list = Json::array();
    for (const Check &check : checks)
        list.push_back({{"check", check.name},
                        {"outcome", word(check.outcome)},
                        {"found", printable_line(check.found)},
                        {"wanted", printable_line(check.wanted)},
                        {"anchor", check.anchor}});
    return list;
}

Json verdict_json(const Appraisal &appraisal, const Expectations &expectations) {
    Json json{{"schema", verdict_schema},
              {"subject", appraisal.verdict.report_only() ? "report" : "evidence"},
              {"accepted", appraisal.verdict.accepted()},
              {"genuine", name(appraisal.verdict.genuine())},
              {"acceptable", appraisal.verdict.acceptable()},
              {"emulated", appraisal.verdict.emulated()},
              {"time", format_time(expectations.now)},
              {"measurement_source", printable_line(expectations.measurement_source)},
              {"checks", checks_json(appraisal.verdict.checks())},
              {"advisories", advisories_json(appraisal)},
              {"report", appraisal.report ? report_json(*appraisal.report) : Json{}}};
    json["vtpm"] =
        appraisal.vtpm.empty() ? Json{} : Json{{"anchor", appraisal.vtpm}, {"note", vtpm_note(appraisal.vtpm)}};
    if (appraisal.explanation)
        json["explanation"] = appraisal.explanation->json;
    return json;
}

} // namespace cvmin
