// Messages between relying party and agent: 4-byte big-endian length, then one canonical CBOR map (protocol.cddl).
// Encoding and decoding only; who may ask what, and when, is the agent's business.
#pragma once

#include "common/bytes.hpp"
#include "common/hash.hpp"
#include "common/secret.hpp"
#include "common/tpm_alg.hpp"

#include <optional>
#include <string>
#include <variant>

namespace cvmin {

inline constexpr std::uint32_t agent_vsock_port = 5000;    // where the agent listens
inline constexpr std::uint32_t emulator_vsock_port = 5001; // where the emulated AMD-SP listens, on the host (CID 2)
inline constexpr std::uint64_t protocol_version = 1;
inline constexpr std::size_t frame_header_size = 4;
inline constexpr std::size_t max_request_size = 80u << 10;   // the largest request is a secret
inline constexpr std::size_t max_response_size = 520u << 10; // the largest response is evidence (max_evidence_size)
inline constexpr std::size_t max_secret_size = 64u << 10;    // keys, tokens, small configurations; data is streamed
inline constexpr std::size_t max_secret_name_size = 64;      // [a-z0-9._-]+
inline constexpr std::size_t max_secrets = 16;               // 1 MiB of locked memory at most
inline constexpr std::size_t max_error_text_size = 200;
inline constexpr std::size_t max_agent_name_size = 64; // "cvmin-agent 0.1.0"
// TPM 2.0 Part 2, TPMS_ID_OBJECT: an HMAC and an encrypted digest, each at most 64 bytes behind its size
inline constexpr std::size_t max_id_object_size = 256;
inline constexpr std::size_t max_encrypted_secret_size = 512;   // TPM2B_ENCRYPTED_SECRET for an EK of RSA-4096
inline constexpr std::size_t max_credential_size = 64;          // the largest digest of a TPM
inline constexpr std::size_t max_events_chunk_size = 64u << 10; // the whole runtime log (max_runtime_log_size)
inline constexpr std::uint32_t max_pcr_mask = 0xffffff;         // PCR 0 to 23
inline constexpr std::size_t max_report_source_size = 64; // configfs-tsm's provider names have under 20 characters

bool valid_secret_name(std::string_view name); // 1..max_secret_name_size characters of [a-z0-9._-]

namespace request {
struct Hello {};
struct PcrSelection {
    TpmAlg bank = TpmAlg::sha256;
    std::uint32_t mask = 0; // bit n: PCR n; 1..max_pcr_mask
    friend bool operator==(const PcrSelection &, const PcrSelection &) = default;
};
struct Attest {
    Bytes nonce;                        // min_nonce_size..max_nonce_size
    std::optional<PcrSelection> pcrs{}; // a quote of these is wanted too, and with it the logs that explain it
};
struct PutSecret {
    std::string name;
    Secret value; // 1..max_secret_size bytes
};
struct SecretDigest { // only on the connection that put it
    std::string name;
};
struct Activate { // TPM2_ActivateCredential with the AK and the EK of the evidence; without the size prefix of a TPM2B
    Bytes id_object;        // integrityHMAC and encIdentity; 1..max_id_object_size
    Bytes encrypted_secret; // 1..max_encrypted_secret_size
};
struct Events { // the runtime log from this record on
    std::uint64_t from = 0;
};
struct Stop {}; // power off
} // namespace request
using Request = std::variant<request::Hello, request::Attest, request::PutSecret, request::SecretDigest, request::Stop,
                             request::Activate, request::Events>;

// Error set of the protocol; each request's subset is in docs/protocol.md.
#define CVMIN_PEER_ERROR_TABLE(X)                                                                                      \
    X(bad_request, 1, "the request is not well-formed, unknown, or out of limits")                                     \
    X(not_available, 2, "the platform cannot do this now")                                                             \
    X(not_attested, 3, "this connection has not taken evidence yet")                                                   \
    X(exists, 4, "a secret of this name is there already")                                                             \
    X(unknown_name, 5, "this connection has put no secret of this name")                                               \
    X(full, 6, "no room for another secret")                                                                           \
    X(internal, 7, "the agent failed; its state is unchanged")                                                         \
    X(tpm_refused, 8, "the TPM did not take it")                                                                       \
    X(log_full, 9, "the runtime log has no room left for what this would have to record")
enum class PeerErrc : std::uint8_t {
#define X(name, number, text) name = number,
    CVMIN_PEER_ERROR_TABLE(X)
#undef X
};
std::string_view name(PeerErrc code);
std::string_view message(PeerErrc code);

namespace response {
struct Hello {
    std::uint64_t version = protocol_version;
    std::string agent;              // "cvmin-agent 0.1.0"
    std::uint64_t start_us = 0;     // CLOCK_BOOTTIME at the agent's first instruction
    std::uint64_t listening_us = 0; // at listen(2)
    std::uint64_t ready_us = 0;     // key made, certificate written
    std::string report_source;      // "sev_guest" (configfs-tsm provider) or "emulated"
};
struct Evidence {
    Bytes evidence; // encode_evidence
};
struct Stored {
    Sha256Digest digest;
};
struct Stopping {};
struct Activated {
    Bytes credential; // 1..max_credential_size
};
struct EventsChunk {
    Bytes records;           // whole records, one after the other, as the log has them; empty: there are no more
    std::uint64_t total = 0; // records in the log
};
struct Failure {
    PeerErrc code;
    std::string text; // for people
};
} // namespace response
using Response = std::variant<response::Hello, response::Evidence, response::Stored, response::Stopping,
                              response::Failure, response::Activated, response::EventsChunk>;

// Both without the frame header. The bytes of a PutSecret hold the secret: whoever encodes or reads it wipes them.
// Texts must be printable ASCII and within their limits.
Bytes encode_request(const Request &request);
Bytes encode_response(const Response &response);
// truncated, trailing; malformed: not canonical CBOR, unknown, missing or mistyped member; unsupported: unknown request
// or response, or (parse_response) a hello of another protocol version; out_of_range: a length, name or error number;
// too_large: more than max_request_size / max_response_size.
Result<Request> parse_request(ByteView bytes);
Result<Response> parse_response(ByteView bytes);

ByteArray<frame_header_size> frame_header(std::size_t size);

// ---- guest <-> emulated AMD-SP, over vsock ---------------------------------------------------------------------
// Laid out after 56860's MSG_REPORT_REQ / MSG_REPORT_RSP behind the guest message header's sequence number, type and
// version, but in the clear: the memory of an emulated guest has no secrets from its host. Little-endian, as there.
// One connection per report; one frame (length, message) each way. The first request of a guest has sequence 1; each
// next one has the last response's sequence + 1, so that the emulated AMD-SP can refuse a replayed one.
inline constexpr std::size_t sp_request_size = 112;
inline constexpr std::size_t sp_response_head_size = 48;

struct SpRequest { // MSG_REPORT_REQ
    std::uint64_t sequence = 0;
    ByteArray<64> report_data{};
    std::uint32_t vmpl = 0;
};
enum class SpStatus : std::uint32_t { ok = 0, invalid_parameter = 0x16, bad_sequence = 0x1000 };
struct SpResponse {             // MSG_REPORT_RSP and certificate table
    std::uint64_t sequence = 0; // request's + 1
    SpStatus status = SpStatus::ok;
    Bytes report;       // snp_report_size bytes, empty unless ok
    Bytes certificates; // certificate table
};
Bytes encode_sp_request(const SpRequest &request);
Bytes encode_sp_response(const SpResponse &response);
// truncated, trailing: the size; unsupported: message type, version or status; malformed: reserved bytes that are set.
Result<SpRequest> parse_sp_request(ByteView bytes);
// The same; too_large: the certificate table. Whether the sequence is the expected one is the caller's to check.
Result<SpResponse> parse_sp_response(ByteView bytes);
inline constexpr std::size_t max_sp_response_size = sp_response_head_size + 1184 + (64u << 10); // report, certificates

} // namespace cvmin
