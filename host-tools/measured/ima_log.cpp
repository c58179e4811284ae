#include "host-tools/measured/ima_log.hpp"

#include "common/evidence.hpp"

#include <array>

namespace cvmin {

static constexpr std::size_t list_digest_size = 20;         // of the list, whatever the banks are
static constexpr std::size_t legacy_padded_name_size = 256; // IMA_EVENT_NAME_LEN_MAX + 1: hashed with zeros after it
static constexpr std::string_view legacy_template = "ima";
static constexpr std::array<std::string_view, 6> known_templates{"ima-ng",     "ima-sig",  "ima-buf",
                                                                 "ima-modsig", "ima-ngv2", "ima-sigv2"};

// A field "hash:\0digest" of d-ng, or "kind:hash:\0digest" of d-ngv2.
static bool read_digest_field(ByteView field, ImaEntry &entry) {
    const std::string_view text = as_text(field);
    const std::size_t end = text.find('\0');
    if (end == std::string_view::npos || end == 0 || text[end - 1] != ':')
        return false;
    entry.hash = text.substr(0, end - 1);
    if (entry.hash.starts_with("ima:"))
        entry.hash.remove_prefix(4);
    entry.digest = field.subspan(end + 1);
    const auto alg = tpm_hash_by_name(entry.hash);
    return !alg || entry.digest.empty() || entry.digest.size() == digest_size(*alg) ||
           // a violation's: Linux leaves room for a SHA-1 digest
           (entry.violation && all_zero(entry.digest));
}

static bool read_path_field(ByteView field, ImaEntry &entry) {
    const std::string_view text = as_text(field);
    if (text.empty() || text.find('\0') != text.size() - 1)
        return false;
    entry.path = text.substr(0, text.size() - 1);
    return true;
}

static Result<void> decode_fields(ImaEntry &entry) {
    entry.known = std::ranges::find(known_templates, entry.template_name) != known_templates.end();
    if (!entry.known)
        return {};
    Reader reader{entry.template_data};
    const auto field = [&] { return reader.take(reader.le(4)); };
    const ByteView digest = field(), path = field();
    if (!reader.ok() || !read_digest_field(digest, entry) || !read_path_field(path, entry))
        return fail(Errc::malformed, "ima_log.template_data", entry.number);
    if (entry.template_name == "ima-sig" || entry.template_name == "ima-sigv2")
        entry.signature = field();
    else
        while (reader.ok() && reader.left() != 0) // further fields: only their lengths are looked at
            field();
    if (!reader.finish("ima_log.template_data"))
        return fail(Errc::malformed, "ima_log.template_data", entry.number);
    return {};
}

static Result<void> read_legacy(Reader &reader, ImaLog &log, ImaEntry &entry) {
    entry.known = true;
    entry.hash = "sha1";
    entry.digest = reader.take(list_digest_size);
    const std::uint64_t size = reader.le(4);
    if (size > max_ima_legacy_name)
        return fail(Errc::too_large, "ima_log.name", size);
    const ByteView name = reader.take(size);
    if (!reader.ok())
        return {}; // the caller says so
    entry.path = as_text(name);
    if (entry.path.contains('\0'))
        return fail(Errc::malformed, "ima_log.name", entry.number);
    auto padded = std::make_unique<Bytes>(list_digest_size + legacy_padded_name_size);
    std::ranges::copy(entry.digest, padded->begin());
    std::ranges::copy(name, padded->begin() + list_digest_size);
    entry.template_data = *padded;
    log.padded.push_back(std::move(padded));
    return {};
}

Result<ImaLog> parse_ima_log(ByteView bytes) {
    ImaLog log;
    log.bytes = bytes;
    Reader reader{bytes};
    while (reader.left() != 0) {
        if (log.entries.size() == max_ima_entries)
            return fail(Errc::too_large, "ima_log.entries", max_ima_entries);
        ImaEntry entry{};
        entry.number = static_cast<std::uint32_t>(log.entries.size());
        entry.pcr = static_cast<std::uint32_t>(reader.le(4));
        entry.template_digest = reader.take(list_digest_size);
        const std::uint64_t name_size = reader.le(4);
        if (name_size > max_ima_template_name)
            return fail(Errc::too_large, "ima_log.template_name", name_size);
        entry.template_name = as_text(reader.take(name_size));
        if (!reader.ok())
            return fail(Errc::truncated, "ima_log.entry", entry.number);
        if (entry.pcr >= pcr_count)
            return fail(Errc::malformed, "ima_log.pcr", entry.pcr);
        entry.violation = all_zero(entry.template_digest);
        if (entry.template_name == legacy_template) {
            CVMIN_CHECK(read_legacy(reader, log, entry));
        } else {
            const std::uint64_t size = reader.le(4);
            if (size > max_ima_template_data)
                return fail(Errc::too_large, "ima_log.template_data", size);
            entry.template_data = reader.take(size);
            if (reader.ok())
                CVMIN_CHECK(decode_fields(entry));
        }
        if (!reader.ok())
            return fail(Errc::truncated, "ima_log.entry", entry.number);
        log.entries.push_back(entry);
    }
    return log;
}

Result<ImaReplay> replay_ima(const ImaLog &log, TpmAlg alg, unsigned pcr) {
    if (!can_hash(alg))
        return fail(Errc::unsupported, "ima_log.hash", static_cast<std::uint64_t>(alg));
    const std::size_t size = digest_size(alg);
    ImaReplay out{TpmDigest::filled(size, std::byte{0}), TpmDigest::filled(size, std::byte{0}), 0};
    for (const ImaEntry &entry : log.entries) {
        if (entry.pcr != pcr)
            continue;
        ++out.entries;
        TpmDigest hashed = TpmDigest::filled(size, std::byte{0xff}), padded = TpmDigest::filled(size, std::byte{0});
        if (entry.violation) {
            std::ranges::fill(padded.data().first(list_digest_size), std::byte{0xff});
        } else {
            if (!equal(tpm_hash(TpmAlg::sha1, entry.template_data).view(), entry.template_digest))
                return fail(Errc::mismatch, "ima_log.template_digest", entry.number);
            hashed = tpm_hash(alg, entry.template_data);
            std::ranges::copy(entry.template_digest, padded.data().begin());
        }
        pcr_extend(alg, out.hashed, hashed.view());
        pcr_extend(alg, out.padded, padded.view());
    }
    return out;
}

TpmDigest ima_boot_aggregate(TpmAlg alg, std::span<const TpmDigest> pcrs) {
    const std::size_t count = std::min(pcrs.size(), alg == TpmAlg::sha1 ? std::size_t{8} : std::size_t{10});
    std::vector<ByteView> parts;
    for (const TpmDigest &pcr : pcrs.first(count))
        parts.push_back(pcr.view());
    return tpm_hash(alg, parts);
}

} // namespace cvmin
