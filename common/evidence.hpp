// Evidence: a CBOR collection of conceptual message wrappers (RFC 9999 / draft-ietf-rats-msg-wrap), described in
// protocol.cddl:
//   { "tpm": [media type, bytes, 4], "svsm": [...], "claims": [...], "ima-log": [...],
//     "__cmwc_t": "tag:cvmin,2026:evidence", "event-log": [...], "snp-report": [...], "runtime-log": [...],
//     "certificates": [...] }
// Carries bytes; decodes only the wrapping. What is inside is parsed by whoever appraises.
#pragma once

#include "common/bytes.hpp"
#include "common/tpm_alg.hpp"

#include <optional>

namespace cvmin {

// Everything at its largest: report, certificates (64 KiB), claims, three logs (320 KiB), TPM and SVSM parts.
inline constexpr std::size_t max_evidence_size = 512u << 10;
inline constexpr std::string_view evidence_type = "tag:cvmin,2026:evidence";

inline constexpr unsigned pcr_count = 24; // TCG PC Client PTP 1.06, 4.6.1: PCR 0 to 23
// OVMF's log of a direct boot takes under 32 KiB; a machine with a boot loader and Secure Boot about 64 KiB.
inline constexpr std::size_t max_event_log_size = 128u << 10;
inline constexpr std::size_t max_ima_log_size = 128u << 10; // an image with one executable measures a few files
inline constexpr std::size_t max_runtime_log_size = 64u << 10;
// TPM 2.0 Part 2: TPMS_ATTEST of a quote takes under 300 bytes; TPMT_SIGNATURE and TPMT_PUBLIC of RSA-4096 under 600.
inline constexpr std::size_t max_tpm_attest_size = 1024;
inline constexpr std::size_t max_tpm_signature_size = 1024;
inline constexpr std::size_t max_tpm_public_size = 1024;
inline constexpr std::size_t max_ek_certificate_size = 4096; // an NV index of a TPM holds 2 KiB as a rule
inline constexpr std::size_t svsm_guid_size = 36;            // "c476f1eb-0123-45a5-9641-b4e7dde5bfe3"
inline constexpr std::size_t max_svsm_manifest_size = max_tpm_public_size;

struct PcrValue {
    std::uint8_t index = 0; // 0..pcr_count-1
    Bytes digest;           // digest_size(bank)
    friend bool operator==(const PcrValue &, const PcrValue &) = default;
};

struct PcrValues { // of one bank; ascending by index, at least one
    TpmAlg bank = TpmAlg::sha256;
    std::vector<PcrValue> values;
    friend bool operator==(const PcrValues &, const PcrValues &) = default;
};

struct TpmEvidence {      // as the TPM gave it, without the size prefix of a TPM2B
    Bytes attest;         // TPMS_ATTEST, what was signed; extraData = SHA-256(claims)
    Bytes signature;      // TPMT_SIGNATURE by the AK
    Bytes ak_public;      // TPMT_PUBLIC; its SHA-256 is in the claims
    Bytes ek_public;      // TPMT_PUBLIC
    Bytes ek_certificate; // X.509, DER; empty when the TPM has none
    PcrValues pcr_values; // read about when the quote was made; the quote's digest says whether they are the ones
    friend bool operator==(const TpmEvidence &, const TpmEvidence &) = default;
};

// What the kernel's configfs-tsm gives for service_provider "svsm" (Documentation/ABI/testing/configfs-tsm).
struct SvsmEvidence {
    Bytes report;             // SNP report whose REPORT_DATA is SHA-512(REPORT_DATA of our own report || manifest)
    Bytes manifest;           // manifestblob: TPMT_PUBLIC of the vTPM's EK
    std::string service_guid; // of the service that was asked for, 36 characters
    friend bool operator==(const SvsmEvidence &, const SvsmEvidence &) = default;
};

struct Evidence {
    Bytes report;                     // raw SNP report, as the AMD-SP signed it
    Bytes certificates;               // GHCB certificate table as the host gave it; empty when it gave none
    Bytes claims;                     // exact bytes hashed into REPORT_DATA
    std::optional<TpmEvidence> tpm{}; // when a quote was asked for and a TPM works
    Bytes event_log{};                // TCG crypto-agile log of the firmware; empty when there is none
    Bytes ima_log{};                  // binary_runtime_measurements; empty when there is none
    Bytes runtime_log{};              // the agent's own log (runtime_log.hpp); empty of an agent that keeps none
    std::optional<SvsmEvidence> svsm{};
};

Bytes encode_evidence(const Evidence &evidence);
// too_large; malformed: not canonical CBOR, unknown or missing member, wrong media type; unsupported: another kind of
// collection, another PCR bank; out_of_range: a length, a PCR's number.
Result<Evidence> parse_evidence(ByteView bytes);

} // namespace cvmin
