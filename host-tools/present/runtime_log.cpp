#include "host-tools/present/runtime_log.hpp"

#include "host-tools/base/text.hpp"

#include <cstdio>
#include <set>

namespace cvmin {

namespace {

template <class... F> struct Overloaded : F... {
    using F::operator()...;
};

std::string_view state_name(PartState state) {
    switch (state) {
    case PartState::absent:
        return "absent";
    case PartState::ready:
        return "ready";
    case PartState::failed:
        return "failed";
    }
    return "unknown";
}

std::string session_text(std::uint64_t session) {
    return "session " + std::to_string(session);
}

std::string violation_name(ViolationRule rule) { // put-before-attest
    std::string text{name(rule)};
    std::ranges::replace(text, '_', '-');
    return text;
}

std::string seconds(std::uint64_t time_us) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%llu.%06llu", static_cast<unsigned long long>(time_us / 1'000'000),
                  static_cast<unsigned long long>(time_us % 1'000'000));
    return text.data();
}

std::string padded(std::string text, std::size_t width, bool right = false) {
    if (text.size() < width)
        text.insert(right ? 0 : text.size(), width - text.size(), ' ');
    return text;
}

constexpr std::size_t number_width = 4;
constexpr std::size_t time_width = 14;
constexpr std::size_t kind_width = 18; // "violations-dropped"

Json event_members(const Event &event) {
    return std::visit(
        Overloaded{
            [](const event::Boot &boot) {
                return Json{{"agent", printable_line(boot.agent)},
                            {"debug_image", boot.debug_image},
                            {"report_source", printable_line(boot.report_source)},
                            {"tpm", state_name(boot.tpm)},
                            {"ima", state_name(boot.ima)}};
            },
            [](const event::SessionOpened &opened) {
                return Json{{"session", opened.session}, {"nonce_sha256", hex(opened.nonce)}};
            },
            [](const event::Manifest &manifest) { return Json{{"sha256", hex(manifest.digest)}}; },
            [](const event::SecretReceived &secret) {
                return Json{{"session", secret.session}, {"name", secret.name}, {"commitment", hex(secret.commitment)}};
            },
            [](const event::Start &start) { return Json{{"program_sha256", hex(start.program)}}; },
            [](const event::Result &result) { return Json{{"status", result.status}}; },
            [](const event::Violation &violation) {
                return Json{
                    {"session", violation.session}, {"rule", violation_name(violation.rule)}, {"name", violation.name}};
            },
            [](const event::Stop &stop) { return Json{{"session", stop.session}}; },
            [](const event::TpmLost &lost) { return Json{{"reason", printable_line(lost.reason)}}; },
            [](const event::InputReceived &input) { return Json{{"session", input.session}, {"item", input.item}}; },
            [](const event::RunFailed &failed) { return Json{{"reason", printable_line(failed.reason)}}; },
            [](const auto &) { return Json::object(); },
        },
        event);
}

Item text_item(std::string name, std::string text) {
    Json json = text;
    return {std::move(name), std::move(text), std::move(json), {}};
}

Item record_item(const RuntimeRecord &record) {
    Json json = runtime_record_json(record);
    std::string text = padded(seconds(record.time_us), time_width, true) + "  " +
                       padded(std::string{kind_name(record.event)}, kind_width) + "  " + event_text(record.event);
    text.erase(text.find_last_not_of(' ') + 1);
    return {std::to_string(record.number), std::move(text), std::move(json), {}};
}

std::string numbers(const std::vector<unsigned> &values) {
    std::string text;
    for (const unsigned value : values)
        text += (text.empty() ? "" : ", ") + std::to_string(value);
    return text;
}

} // namespace

std::string event_text(const Event &event) {
    return std::visit(
        Overloaded{
            [](const event::Boot &boot) {
                return printable_line(boot.agent) + ", reports from " + printable_line(boot.report_source) + ", TPM " +
                       std::string{state_name(boot.tpm)} + ", IMA " + std::string{state_name(boot.ima)} +
                       (boot.debug_image ? ", DEBUG image" : "");
            },
            [](const event::SessionOpened &opened) {
                return session_text(opened.session) + ", nonce sha256 " + hex(opened.nonce);
            },
            [](const event::Manifest &manifest) { return "sha256 " + hex(manifest.digest); },
            [](const event::SecretReceived &secret) {
                return session_text(secret.session) + ", " + secret.name + ", commitment " + hex(secret.commitment);
            },
            [](const event::Start &start) { return "program sha256 " + hex(start.program); },
            [](const event::Result &result) { return "status " + std::to_string(result.status); },
            [](const event::Violation &violation) {
                return session_text(violation.session) + ", " + violation.name + ": " +
                       std::string{message(violation.rule)};
            },
            [](const event::LogFull &) { return std::string{"nothing is recorded any more, nor done that would be"}; },
            [](const event::SessionsDropped &) { return std::string{"sessions are not recorded any more"}; },
            [](const event::Stop &stop) { return session_text(stop.session); },
            [](const event::TpmLost &lost) { return printable_line(lost.reason); },
            [](const event::ViolationsDropped &) { return std::string{"violations are not recorded any more"}; },
            [](const event::InputReceived &input) { return session_text(input.session) + ", " + input.item; },
            [](const event::RunFailed &failed) { return printable_line(failed.reason); },
            [](const event::ResultTaken &) {
                return std::string{"every consumer has the result; inputs and result are wiped"};
            },
        },
        event);
}

std::string runtime_record_line(const RuntimeRecord &record) {
    std::string line = padded(std::to_string(record.number), number_width, true) + "  " +
                       padded(seconds(record.time_us), time_width, true) + "  " +
                       padded(std::string{kind_name(record.event)}, kind_width) + "  " + event_text(record.event);
    line.erase(line.find_last_not_of(' ') + 1);
    return line + '\n';
}

std::string runtime_log_table(const RuntimeLog &log) {
    std::string table = padded("#", number_width, true) + "  " + padded("seconds", time_width, true) + "  " +
                        padded("event", kind_width) + "  details\n";
    for (const RuntimeRecord &record : log.records)
        table += runtime_record_line(record);
    return table + "head  " + hex(log.head) + '\n';
}

Json runtime_record_json(const RuntimeRecord &record) {
    Json json{{"number", record.number}, {"time_us", record.time_us}, {"event", kind_name(record.event)}};
    json.update(event_members(record.event));
    json["digests"] = {{"sha256", hex(record.digests.sha256)}, {"sha384", hex(record.digests.sha384)}};
    return json;
}

Json runtime_log_json(const RuntimeLog &log) {
    Json records = Json::array();
    for (const RuntimeRecord &record : log.records)
        records.push_back(runtime_record_json(record));
    Json json{{"schema", runtime_log_schema}, {"head", hex(log.head)}};
    json["pcr"] = {{"sha256", hex(log.pcr256)}, {"sha384", hex(log.head)}};
    json["records"] = std::move(records);
    return json;
}

Result<CelTlvSummary> summarize_cel_tlv(ByteView bytes) {
    if (bytes.size() > max_cel_tlv_size)
        return fail(Errc::too_large, "cel", bytes.size());
    constexpr unsigned recnum = 0, digests = 3;
    constexpr std::size_t recnum_size = 8;
    CelTlvSummary summary;
    std::set<unsigned> indexes, contents;
    Reader in(bytes);
    const auto field = [&](ByteView &value) { // its type
        const auto type = static_cast<unsigned>(in.be(1));
        value = in.take(in.be(4));
        return type;
    };
    do {
        ByteView number, value;
        if (const unsigned type = field(number);
            in.ok() && (type != recnum || number.size() != recnum_size || load_be(number) != summary.records))
            return fail(Errc::malformed, "cel.recnum", summary.records);
        indexes.insert(field(value));
        if (const unsigned type = field(value); in.ok() && type != digests)
            return fail(Errc::malformed, "cel.digests", summary.records);
        contents.insert(field(value));
        ++summary.records;
    } while (in.ok() && in.left() > 0);
    CVMIN_CHECK(in.finish("cel"));
    summary.index_types.assign(indexes.begin(), indexes.end());
    summary.content_types.assign(contents.begin(), contents.end());
    return summary;
}

Result<std::vector<Item>> show_runtime_log(ByteView bytes, const ShowOptions &) {
    if (const auto other = summarize_cel_tlv(bytes)) {
        std::vector<Item> items;
        items.push_back(text_item("FORMAT", "TCG Canonical Event Log in TLV, of another program than cvmin's agent"));
        items.push_back({"RECORDS", std::to_string(other->records), other->records, {}});
        items.push_back(text_item("INDEX_TYPES", numbers(other->index_types)));
        items.push_back(text_item("CONTENT_TYPES", numbers(other->content_types)));
        return items;
    }
    CVMIN_TRY(log, parse_runtime_log(bytes));
    std::vector<Item> items;
    items.push_back(text_item("FORMAT", "TCG Canonical Event Log in CBOR, of cvmin's agent"));
    std::vector<Item> records;
    Json list = Json::array();
    for (const RuntimeRecord &record : log.records) {
        records.push_back(record_item(record));
        list.push_back(records.back().json);
    }
    items.push_back({"RECORDS", std::to_string(log.records.size()), std::move(list), std::move(records)});
    items.push_back(text_item("HEAD", hex(log.head)));
    items.push_back(text_item("PCR_15_SHA256", hex(log.pcr256)));
    items.push_back(text_item("PCR_15_SHA384", hex(log.head)));
    return items;
}

} // namespace cvmin
