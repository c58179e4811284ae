#include "host-tools/verifier/presented.hpp"

#include "common/cbor_stream.hpp"
#include "common/snp_report.hpp"
#include "host-tools/base/base64url.hpp"
#include "host-tools/base/json.hpp"
#include "host-tools/base/text.hpp"

namespace cvmin {

namespace {

using Form = std::expected<Presented, FormProblem>;
using cbor::Cursor;
using cbor::Major;

constexpr std::string_view accepted_types[] = {media::cmw_cbor, media::cmw_json,       media::tsm_cbor,
                                               media::tsm_json, media::tsm_json_older, media::snp_report};
constexpr std::string_view collection_type_key = "__cmwc_t";
constexpr std::uint64_t indicator_evidence = 4; // RFC 9999: bit 2
constexpr std::size_t max_media_type = 256;     // RFC 6838, 4.2: 127 characters on each side of the slash
constexpr std::size_t max_provider = 64;        // "sev_guest\n"

std::unexpected<FormProblem> malformed(std::string text) {
    return std::unexpected(FormProblem{FormProblem::Kind::malformed, std::move(text)});
}
std::unexpected<FormProblem> unsupported(std::string_view media_type) {
    return std::unexpected(
        FormProblem{FormProblem::Kind::unsupported,
                    "evidence of media type " + printable_line(std::string{media_type}) + " is not supported"});
}

struct Item { // of a collection, or a record by itself
    std::string type;
    Bytes value;
};

// ---- TSM reports
// ------------------------------------------------------------------------------------------------------

struct TsmReport {
    Bytes out, aux;
    std::string provider, service;
};

Form from_tsm(std::string_view media_type, Result<TsmReport> parsed) {
    Presented out{.media_type = std::string{media_type}};
    if (!parsed) {
        out.problem = "TSM report: " + to_string(parsed.error());
        return out;
    }
    while (parsed->provider.ends_with('\n') || parsed->provider.ends_with('\0'))
        parsed->provider.pop_back();
    if (parsed->provider != "sev_guest") {
        out.problem = "TSM report: of provider " + printable_line(parsed->provider) + ", wanted sev_guest";
        return out;
    }
    out.report = std::move(parsed->out);
    out.certificates = std::move(parsed->aux);
    return out;
}

// ratsd, docs/tsm-report.cddl. Members of other names are those of other providers.
Result<TsmReport> parse_tsm_cbor(ByteView body) {
    TsmReport report;
    Cursor in(body, max_evidence_size, "tsm-report");
    const auto binary_or_text = [&](std::size_t max) { // either is seen
        return in.is(Major::text) ? as_bytes(in.text(0, max)) : in.bytes(0, max);
    };
    bool has_out = false, has_provider = false;
    for (std::size_t members = in.map(max_collection_items); members > 0 && in.ok(); --members) {
        const std::string_view key = in.is(Major::text) ? in.text(0, max_provider) : (in.skip_item(), "");
        if (key == "outblob") {
            report.out = to_bytes(in.bytes(0, max_evidence_size));
            has_out = true;
        } else if (key == "auxblob" && in.is(Major::bytes)) {
            report.aux = to_bytes(in.bytes(0, max_evidence_size));
        } else if (key == "provider") {
            report.provider = as_text(binary_or_text(max_provider));
            has_provider = true;
        } else {
            in.skip_item();
        }
    }
    CVMIN_CHECK(in.finish());
    if (!has_out || !has_provider)
        return fail(Errc::missing, has_out ? "tsm-report.provider" : "tsm-report.outblob");
    return report;
}

// Older writers use the standard alphabet.
Result<Bytes> parse_either_base64(const std::string &text, std::string_view where) {
    if (text.find_first_of("+/") != text.npos)
        return parse_base64(text, where);
    return parse_base64url(text, where);
}

Result<TsmReport> parse_tsm_json(ByteView body) {
    CVMIN_TRY(json, parse_json(body, "tsm-report"));
    if (!json.is_object())
        return fail(Errc::malformed, "tsm-report");
    TsmReport report;
    CVMIN_TRY(out, json_string(json, "outblob", "tsm-report.outblob"));
    CVMIN_TRY(out_bytes, parse_either_base64(out, "tsm-report.outblob"));
    report.out = std::move(out_bytes);
    CVMIN_TRY(provider, json_string(json, "provider", "tsm-report.provider"));
    report.provider = provider.substr(0, max_provider);
    if (json.contains("auxblob") && !json["auxblob"].is_null()) {
        CVMIN_TRY(aux, json_string(json, "auxblob", "tsm-report.auxblob"));
        CVMIN_TRY(aux_bytes, parse_either_base64(aux, "tsm-report.auxblob"));
        report.aux = std::move(aux_bytes);
    }
    return report;
}

// ---- conceptual message wrappers (RFC 9999)
// --------------------------------------------------------------------------

Form from_item(Item item) {
    if (item.type == media::tsm_cbor)
        return from_tsm(item.type, parse_tsm_cbor(item.value));
    if (item.type == media::tsm_json || item.type == media::tsm_json_older)
        return from_tsm(item.type, parse_tsm_json(item.value));
    if (item.type == media::snp_report)
        return Presented{.media_type = item.type, .report = std::move(item.value)};
    if (item.type == media::cmw_cbor) { // of our agents: the one thing that is a wrapper inside of a wrapper
        if (parse_evidence(item.value))
            return Presented{.media_type = item.type, .ours = true, .evidence = std::move(item.value)};
        return malformed("evidence: a wrapper inside of a wrapper that is no evidence of cvmin's");
    }
    return unsupported(item.type);
}

// The report and the certificates of a collection that is not ours; each once.
Form from_items(std::vector<Item> items, std::string_view media_type) {
    Presented out{.media_type = std::string{media_type}};
    bool has_report = false, has_certificates = false;
    for (Item &item : items) {
        if (item.type != media::snp_report && item.type != media::cert_table) {
            if (items.size() == 1)
                return from_item(std::move(item));
            return unsupported(item.type);
        }
        bool &there = item.type == media::snp_report ? has_report : has_certificates;
        if (there)
            return malformed("evidence: a collection with two parts of type " + item.type);
        there = true;
        (item.type == media::snp_report ? out.report : out.certificates) = std::move(item.value);
    }
    if (!has_report)
        return malformed("evidence: a collection without a part of type " + std::string{media::snp_report});
    return out;
}

std::optional<FormProblem> check_indicator(std::uint64_t indicator) {
    if ((indicator & indicator_evidence) != 0)
        return std::nullopt;
    return FormProblem{FormProblem::Kind::malformed,
                       "evidence: a wrapper whose indicator (" + std::to_string(indicator) + ") does not say evidence"};
}

std::expected<Item, FormProblem> take_record(Cursor &in) {
    const std::size_t size = in.array(2, 3);
    Item item;
    item.type = in.text(1, max_media_type); // of CoAP content formats none is ours
    item.value = to_bytes(in.bytes(0, max_evidence_size));
    if (size == 3)
        if (auto problem = check_indicator(in.unsigned_integer()); problem && in.ok())
            return std::unexpected(std::move(*problem));
    return item;
}

Form from_cmw_cbor(ByteView body) {
    Cursor in(body, max_evidence_size, "cmw");
    if (in.is(Major::array)) {
        auto item = take_record(in);
        if (const auto whole = in.finish(); !whole)
            return malformed("evidence: CMW record: " + to_string(whole.error()));
        return item ? from_item(std::move(*item)) : std::unexpected(std::move(item.error()));
    }
    std::vector<Item> items;
    for (std::size_t members = in.map(max_collection_items); members > 0 && in.ok(); --members) {
        std::string_view key;
        if (in.is(Major::text))
            key = in.text(0, max_media_type);
        else
            in.skip_item();
        if (key == collection_type_key) {
            const std::string_view type = in.is(Major::text) ? in.text(0, max_media_type) : (in.skip_item(), "");
            if (type == evidence_type) // what is wrong in it is a check of the verdict
                return Presented{.media_type = std::string{media::cmw_cbor}, .ours = true, .evidence = to_bytes(body)};
            continue;
        }
        auto item = take_record(in);
        if (!in.ok())
            break;
        if (!item)
            return std::unexpected(std::move(item.error()));
        items.push_back(std::move(*item));
    }
    if (const auto whole = in.finish(); !whole)
        return malformed("evidence: CMW collection: " + to_string(whole.error()));
    return from_items(std::move(items), media::cmw_cbor);
}

std::expected<Item, FormProblem> read_record(const Json &record) {
    if (!record.is_array() || record.size() < 2 || record.size() > 3 || !record[0].is_string() ||
        !record[1].is_string() || (record.size() == 3 && !record[2].is_number_unsigned()))
        return malformed("evidence: CMW record: wanted [media type, base64url, indicator]");
    Item item{.type = record[0].get<std::string>(), .value = {}};
    auto value = parse_base64url(record[1].get<std::string>(), "evidence: CMW record: its value");
    if (!value)
        return malformed(to_string(value.error()));
    item.value = std::move(*value);
    if (record.size() == 3)
        if (auto problem = check_indicator(record[2].get<std::uint64_t>()))
            return std::unexpected(std::move(*problem));
    return item;
}

Form from_cmw_json(ByteView body) {
    const auto json = parse_json(body, "evidence: CMW");
    if (!json)
        return malformed(to_string(json.error()));
    if (!json->is_object()) {
        auto item = read_record(*json);
        return item ? from_item(std::move(*item)) : std::unexpected(std::move(item.error()));
    }
    if (json->size() > max_collection_items)
        return malformed("evidence: CMW collection: more than " + std::to_string(max_collection_items) + " parts");
    std::vector<Item> items;
    for (const auto &[key, value] : json->items()) {
        if (key == collection_type_key)
            continue;
        auto item = read_record(value);
        if (!item)
            return std::unexpected(std::move(item.error()));
        items.push_back(std::move(*item));
    }
    return from_items(std::move(items), media::cmw_json);
}

} // namespace

std::span<const std::string_view> evidence_media_types() {
    return accepted_types;
}

std::size_t max_presented_size(std::string_view media_type) {
    if (media_type == media::cmw_json || media_type == media::tsm_json || media_type == media::tsm_json_older)
        return max_presented_json;
    return std::ranges::contains(accepted_types, media_type) ? max_evidence_size : 0;
}

Form read_presented(std::string_view media_type, ByteView body) {
    const std::size_t limit = max_presented_size(media_type);
    if (limit == 0)
        return unsupported(media_type.empty() ? "(none)" : media_type);
    if (body.size() > limit)
        return std::unexpected(FormProblem{FormProblem::Kind::too_large, "evidence: " + std::to_string(body.size()) +
                                                                             " bytes, wanted at most " +
                                                                             std::to_string(limit) + " of this type"});
    if (media_type == media::cmw_cbor)
        return from_cmw_cbor(body);
    if (media_type == media::cmw_json)
        return from_cmw_json(body);
    return from_item({.type = std::string{media_type}, .value = to_bytes(body)});
}

} // namespace cvmin
