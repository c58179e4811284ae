// Certificate table that the host hands to the guest (AMD 56421 "GHCB", table of the extended guest request):
// entries {GUID, u32 offset, u32 length}, ended by a zero GUID; offsets from the table's start.
#pragma once

#include "common/bytes.hpp"

namespace cvmin {

inline constexpr std::size_t max_cert_table_size = 64u << 10; // a chain with CRL is under 12 KiB; hosts round to pages
inline constexpr std::size_t max_cert_table_entries = 32;

struct CertTable { // views into the parsed bytes; empty when absent; DER or PEM, as found
    ByteView vcek, vlek, ask, ark, crl;
    std::size_t unknown = 0; // entries with other GUIDs: counted, kept aside
};
// truncated: no end marker; out_of_range: offset + length outside; malformed: a known GUID twice; too_large.
Result<CertTable> parse_cert_table(ByteView bytes);

struct CertTableParts {
    ByteView vcek, vlek, ask, ark, crl;
};
Bytes encode_cert_table(const CertTableParts &parts);

} // namespace cvmin
