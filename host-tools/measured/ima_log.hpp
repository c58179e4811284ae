// IMA measurement lists as Linux shows them in binary_runtime_measurements (security/integrity/ima, ima_fs.c and
// ima_template_lib.c): templates ima, ima-ng, ima-sig and those that begin like ima-ng. Parses and replays; which files
// may be in the list is the policy's affair. The list with SHA-1 template digests only, not the per-hash lists of newer
// kernels. Native little-endian, as x86 writes it.
#pragma once

#include "common/tpm.hpp"
#include "host-tools/measured/tpm_hash.hpp"

#include <memory>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::size_t max_ima_entries = 1u << 18;  // 46 bytes is the least that an entry takes
inline constexpr std::size_t max_ima_template_name = 255; // as Linux bounds it (MAX_TEMPLATE_NAME_LEN)
inline constexpr std::size_t max_ima_template_data = 1u
                                                     << 16; // a path is at most 4096, a signature a few hundred bytes
inline constexpr std::size_t max_ima_legacy_name = 255;     // IMA_EVENT_NAME_LEN_MAX, of template ima

struct ImaEntry {
    std::uint32_t number; // from 0, which is boot_aggregate
    std::uint32_t pcr;
    ByteView template_digest; // SHA-1, as the list has it; zeros for a violation
    std::string_view template_name;
    ByteView template_data; // with the fields' lengths, as it is hashed (template ima: digest and padded name)
    bool violation;         // the file was open for writing while it was measured: 0xff.. is extended
    // decoded for ima, ima-ng, ima-sig, ima-buf, ima-modsig, ima-ngv2, ima-sigv2; else `known` is false and these are
    // empty
    bool known;
    std::string_view hash; // "sha256"; of template ima "sha1" (it may be md5, which is not told apart)
    ByteView digest;       // of the file; empty or zeros for a violation
    std::string_view path; // any bytes but NUL; Linux writes '_' for a blank
    ByteView signature;    // of ima-sig
};

struct ImaLog {
    ByteView bytes; // the list, which its owner keeps
    std::vector<ImaEntry> entries;
    std::vector<std::unique_ptr<Bytes>> padded; // hashed forms of template ima's data, which the list has not
};

// truncated; too_large: one of the limits above; malformed: fields that do not fill the template data exactly, a path
// with a NUL inside or that does not end with one, a PCR above 23. An empty list is a list.
Result<ImaLog> parse_ima_log(ByteView bytes);

// What was extended to `pcr` makes these values. Linux hashes the template data anew for every bank whose hash it has
// (`hashed`); for others, and before 5.8 for all, it extends the SHA-1 digest with zeros after it (`padded`).
struct ImaReplay {
    TpmDigest hashed, padded;
    std::uint32_t entries = 0;
};
// unsupported: not a hash of can_hash. mismatch (detail: number of the entry): its digest in the list is not that of
// its data, so that the list says something else than was measured.
Result<ImaReplay> replay_ima(const ImaLog &log, TpmAlg alg, unsigned pcr = 10);

// What the entry boot_aggregate has to hold: the hash over PCR 0..9 (for SHA-1: 0..7) of the same bank.
TpmDigest ima_boot_aggregate(TpmAlg alg, std::span<const TpmDigest> pcrs);

} // namespace cvmin
