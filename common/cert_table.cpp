// Parsing and writing of the GHCB certificate table. Does not look into the certificates.
#include "common/cert_table.hpp"

namespace cvmin {

static constexpr std::size_t guid_size = 16;
static constexpr std::size_t entry_size = guid_size + 4 + 4;

using Guid = ByteArray<guid_size>;

// In this table a GUID stands as it is written (RFC 4122 order: AMD's tool and go-sev-guest write it so), unlike the
// mixed-endian GUIDs of UEFI.
static consteval Guid as_written(const char (&text)[37]) {
    Guid out{};
    std::size_t digits = 0;
    for (const char c : text) {
        if (c == '-' || c == 0)
            continue;
        const unsigned digit = static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
        std::byte &b = out[digits++ / 2];
        b = b << 4 | static_cast<std::byte>(digit);
    }
    return out;
}

// AMD 56421 "GHCB", extended guest request, and AMD's SNP host interface for ASK, ARK and CRL.
static constexpr Guid vcek_guid = as_written("63da758d-e664-4564-adc5-f4b93be8accd");
static constexpr Guid vlek_guid = as_written("a8074bc2-a25a-483e-aae6-39c045a0b8a1");
static constexpr Guid ask_guid = as_written("4ab7b379-bbac-4fe4-a02f-05aef327c782");
static constexpr Guid ark_guid = as_written("c0b406a4-a803-4952-9743-3fb6014cd0ae");
static constexpr Guid crl_guid = as_written("92f81bc3-5811-4d3d-97ff-d19f88dc67ea");

Result<CertTable> parse_cert_table(ByteView bytes) {
    if (bytes.size() > max_cert_table_size)
        return fail(Errc::too_large, "cert_table", bytes.size());
    CertTable table;
    Reader reader{bytes};
    std::size_t entries = 0;
    bool seen[5] = {};
    const struct {
        const Guid &guid;
        ByteView &view;
    } known[5] = {{vcek_guid, table.vcek},
                  {vlek_guid, table.vlek},
                  {ask_guid, table.ask},
                  {ark_guid, table.ark},
                  {crl_guid, table.crl}};
    for (;;) {
        const std::size_t at = reader.offset();
        const ByteView id = reader.take(guid_size);
        const std::uint64_t offset = reader.le(4);
        const std::uint64_t length = reader.le(4);
        if (!reader.ok())
            return fail(Errc::truncated, "cert_table.entry", at);
        if (all_zero(id)) // whatever stands in the rest of it: some makers leave something there
            return table;
        if (++entries > max_cert_table_entries)
            return fail(Errc::too_large, "cert_table.entries", entries);
        // both are at most 32 bits wide, so their sum in 64 bits cannot wrap
        if (offset + length > bytes.size())
            return fail(Errc::out_of_range, "cert_table.entry", at);
        bool found = false;
        for (std::size_t i = 0; i < std::size(known); ++i) {
            if (!equal(id, known[i].guid))
                continue;
            if (seen[i])
                return fail(Errc::malformed, "cert_table.entry", at);
            seen[i] = found = true;
            known[i].view = bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(length));
        }
        if (!found)
            ++table.unknown;
    }
}

Bytes encode_cert_table(const CertTableParts &parts) {
    const struct {
        const Guid &guid;
        ByteView view;
    } all[] = {{vcek_guid, parts.vcek},
               {vlek_guid, parts.vlek},
               {ask_guid, parts.ask},
               {ark_guid, parts.ark},
               {crl_guid, parts.crl}};
    std::size_t entries = 1; // the end marker
    for (const auto &part : all)
        entries += part.view.empty() ? 0 : 1;
    Bytes out(entries * entry_size);
    std::size_t at = 0;
    for (const auto &part : all) {
        if (part.view.empty())
            continue;
        const MutableBytes entry = MutableBytes{out}.subspan(at, entry_size);
        std::ranges::copy(part.guid, entry.begin());
        store_le(entry.subspan(guid_size, 4), out.size());
        store_le(entry.subspan(guid_size + 4, 4), part.view.size());
        out.insert(out.end(), part.view.begin(), part.view.end());
        at += entry_size;
    }
    return out;
}

} // namespace cvmin
