#include "host-tools/tpm_options.hpp"

#include "common/tpm.hpp"
#include "host-tools/attest_live.hpp"
#include "host-tools/base/os.hpp"

#include <charconv>

namespace cvmin {

void add_pcr_option(CLI::App &app, TpmArgs &args) {
    app.add_option("--pcrs", args.pcrs,
                   "PCRs to have quoted, as \"sha256:0,4,8-9\" or \"sha384:all\"; \"none\" asks for no quote");
}

void add_tpm_options(CLI::App &app, TpmArgs &args) {
    add_pcr_option(app, args);
    app.add_option(
        "--ek-root", args.ek_roots,
        "certificates of authorities (PEM or DER) whose word about a TPM's endorsement key counts: roots, and "
        "what lies between; repeatable");
    app.add_option("--after", args.after,
                   "FILE.session.json of earlier evidence: the TPM must not have been reset or exchanged since");
}

static std::optional<unsigned> parse_index(std::string_view text) {
    unsigned index = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size() || index >= pcr_count)
        return std::nullopt;
    return index;
}

static std::optional<std::uint32_t> parse_mask(std::string_view text) {
    if (text == "all")
        return max_pcr_mask;
    std::uint32_t mask = 0;
    for (;;) {
        const std::size_t comma = text.find(',');
        const std::string_view part = text.substr(0, comma);
        const std::size_t dash = part.find('-');
        const auto first = parse_index(part.substr(0, dash));
        const auto last = dash == part.npos ? first : parse_index(part.substr(dash + 1));
        if (!first || !last || *last < *first)
            return std::nullopt;
        for (unsigned index = *first; index <= *last; ++index)
            mask |= std::uint32_t{1} << index;
        if (comma == text.npos)
            return mask;
        text.remove_prefix(comma + 1);
    }
}

Explained<std::optional<PcrSelection>> parse_pcrs(const std::string &text) {
    if (text == "none")
        return std::nullopt;
    const std::size_t colon = text.find(':');
    const auto bank = colon == text.npos ? TpmAlg::sha256 : tpm_hash_by_name(text.substr(0, colon));
    const auto mask = parse_mask(std::string_view{text}.substr(colon == text.npos ? 0 : colon + 1));
    if (!bank || !mask)
        return explain(Errc::usage, "--pcrs: wanted a bank (sha1, sha256, sha384 or sha512) and PCRs of 0 to 23, as "
                                    "\"sha256:0,4,8-9\" or \"sha384:all\"; or \"none\"");
    return PcrSelection{.bank = *bank, .mask = *mask};
}

std::string pcrs_text(const PcrSelection &pcrs) {
    std::string out{name(pcrs.bank)};
    char separator = ':';
    for (unsigned first = 0; first < pcr_count; ++first) {
        if ((pcrs.mask >> first & 1) == 0)
            continue;
        unsigned last = first;
        while (last + 1 < pcr_count && (pcrs.mask >> (last + 1) & 1) != 0)
            ++last;
        out += separator + std::to_string(first);
        if (last != first)
            out += (last == first + 1 ? "," : "-") + std::to_string(last);
        separator = ',';
        first = last;
    }
    return out;
}

Explained<std::optional<PcrSelection>> wanted_pcrs(const TpmArgs &args, const Policy &policy) {
    if (args.pcrs)
        return parse_pcrs(*args.pcrs);
    return wanted_quote(policy);
}

Explained<EkAuthorities> read_ek_roots(const std::vector<std::string> &files) {
    EkAuthorities out;
    for (const std::string &file : files) {
        const auto text = read_file(file, max_ek_root_file_size);
        if (!text)
            return explain(text.error(), file);
        if (const auto added = out.add(*text); !added)
            return explain(added.error(), file);
    }
    return out;
}

Json epoch_json(const TpmEpoch &epoch) {
    return {{"ak", hex(epoch.ak_public)},
            {"clock", epoch.clock},
            {"reset_count", epoch.reset_count},
            {"restart_count", epoch.restart_count}};
}

Result<TpmEpoch> parse_epoch(const Json &json) {
    CVMIN_TRY(ak, json_string(json, "ak", "session.tpm.ak"));
    CVMIN_TRY(ak_public, parse_hex_exactly<sizeof(Sha256Digest)>(ak, "session.tpm.ak"));
    CVMIN_TRY(clock, json_unsigned(json, "clock", "session.tpm.clock"));
    CVMIN_TRY(resets, json_unsigned(json, "reset_count", "session.tpm.reset_count"));
    CVMIN_TRY(restarts, json_unsigned(json, "restart_count", "session.tpm.restart_count"));
    if (resets > UINT32_MAX || restarts > UINT32_MAX)
        return fail(Errc::out_of_range, "session.tpm", std::max(resets, restarts));
    return TpmEpoch{.ak_public = ak_public,
                    .clock = clock,
                    .reset_count = static_cast<std::uint32_t>(resets),
                    .restart_count = static_cast<std::uint32_t>(restarts)};
}

Json activation_json(const TpmActivation &activation) {
    return {{"ek", hex(activation.ek_public)}, {"ak", hex(activation.ak_public)}, {"answered", activation.answered}};
}

Result<TpmActivation> parse_activation(const Json &json) {
    CVMIN_TRY(ek, json_string(json, "ek", "session.credential.ek"));
    CVMIN_TRY(ak, json_string(json, "ak", "session.credential.ak"));
    if (!json.contains("answered") || !json["answered"].is_boolean())
        return fail(Errc::malformed, "session.credential.answered");
    const bool answered = json["answered"].get<bool>();
    CVMIN_TRY(ek_public, parse_hex_exactly<sizeof(Sha256Digest)>(ek, "session.credential.ek"));
    CVMIN_TRY(ak_public, parse_hex_exactly<sizeof(Sha256Digest)>(ak, "session.credential.ak"));
    return TpmActivation{.ek_public = ek_public,
                         .ak_public = ak_public,
                         .answered = answered,
                         .found = answered ? "the credential came back when the evidence was taken"
                                           : "no credential came back when the evidence was taken"};
}

Explained<TpmEpoch> read_epoch(const std::string &session_file) {
    const auto text = read_file(session_file, max_json_size);
    if (!text)
        return explain(text.error(), session_file);
    const auto json = parse_json(*text, "session");
    if (!json)
        return explain(json.error(), session_file);
    if (!json->is_object() || !json->contains("tpm") || (*json)["tpm"].is_null())
        return explain(Errc::missing, session_file + ": says nothing of a TPM: that evidence had no quote");
    const auto epoch = parse_epoch((*json)["tpm"]);
    if (!epoch)
        return explain(epoch.error(), session_file);
    return *epoch;
}

Explained<TpmReferences> read_tpm_references(const TpmArgs &args, const Policy &policy, const std::string &image) {
    TpmReferences out;
    CVMIN_TRY(authorities, read_ek_roots(args.ek_roots));
    out.ek_authorities = std::move(authorities);
    if (args.after) {
        CVMIN_TRY(earlier, read_epoch(*args.after));
        out.earlier_quote = earlier;
    }
    if (policy.boot_events && !image.empty()) {
        auto files = image_boot_files(image);
        if (!files)
            return explain(files.error(), image);
        out.boot_files = std::move(*files);
    }
    return out;
}

void want_tpm(Expectations &wanted, TpmReferences references) {
    wanted.ek_authorities = std::move(references.ek_authorities);
    if (references.earlier_quote)
        wanted.earlier_quote = references.earlier_quote;
    wanted.boot_files = std::move(references.boot_files);
}

} // namespace cvmin
