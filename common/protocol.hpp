// Messages between relying party and agent: 4-byte big-endian length, then one canonical CBOR map (protocol.cddl).
// Encoding and decoding only; who may ask what, and when, is the agent's business.
#pragma once

#include "common/bytes.hpp"
#include "common/hash.hpp"
#include "common/manifest.hpp"
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
inline constexpr std::size_t max_report_source_size = 64;   // configfs-tsm's provider names have under 20 characters
inline constexpr std::size_t max_passport_size = 16u << 10; // an attestation result: ours have under 6 KiB
// The computation; its inputs are named as manifest.hpp says
inline constexpr std::size_t max_put_size = 64u << 10;   // one piece of an input: a frame like a secret's
inline constexpr std::size_t max_output_name_size = 64;  // [A-Za-z0-9._-]+, neither "." nor ".."
inline constexpr std::size_t max_outputs = 64;           // files of a result; their list fits a frame
inline constexpr std::size_t max_data_size = 256u << 10; // one piece of a result
inline constexpr std::size_t max_reason_size = 96;       // one line, as the runtime log has it
inline constexpr std::string_view output_prefix = "output/";
inline constexpr std::string_view log_name = "log";
inline constexpr std::string_view receipt_name = "receipt";
inline constexpr std::size_t max_get_name_size = output_prefix.size() + max_output_name_size;

bool valid_secret_name(std::string_view name); // 1..max_secret_name_size characters of [a-z0-9._-]
bool valid_item(std::string_view item);        // "algorithm", or "data/" and what is_manifest_name takes
bool valid_output_name(std::string_view name); // 1..max_output_name_size of [A-Za-z0-9._-], neither "." nor ".."
bool valid_get_name(std::string_view name);    // "log", "receipt", or "output/" and what valid_output_name takes

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
struct Stop {};     // power off
struct Manifest {   // of the computation
    Bytes manifest; // encode_manifest; 1..max_manifest_size
};
// A piece of an input. The offset is what is stored of the item, or 0, which begins anew. A client may send many before
// it reads the answers, which come in the order of the requests.
struct Put {
    std::string item; // valid_item
    std::uint64_t offset = 0;
    ByteView
        data; // 1..max_put_size; of the message that was parsed, or of who sends it: a copy would cost what TLS does
};
struct PutEnd { // the item is complete; its digest is now compared with the manifest's
    std::string item;
    std::uint64_t size = 0;
};
struct Status {};
struct Get {          // a piece of the result
    std::string name; // valid_get_name
    std::uint64_t offset = 0;
};
struct Confirm {            // this consumer has everything
    Sha256Digest receipt{}; // SHA-256 of the receipt
};
struct PassportPut { // a result of a verifier on this agent, for whoever asks for it
    Bytes result;    // as the verifier gave it; 1..max_passport_size
};
struct PassportGet {};
} // namespace request
using Request =
    std::variant<request::Hello, request::Attest, request::PutSecret, request::SecretDigest, request::Stop,
                 request::Activate, request::Events, request::Manifest, request::Put, request::PutEnd, request::Status,
                 request::Get, request::Confirm, request::PassportPut, request::PassportGet>;

// Error set of the protocol; each request's subset is in docs/protocol.md.
#define CVMIN_PEER_ERROR_TABLE(X)                                                                                      \
    X(bad_request, 1, "the request is not well-formed, unknown, or out of limits")                                     \
    X(not_available, 2, "the platform cannot do this now")                                                             \
    X(not_attested, 3, "this connection has taken neither evidence nor passport yet")                                  \
    X(exists, 4, "a secret of this name is there already")                                                             \
    X(unknown_name, 5, "this connection has put no secret of this name")                                               \
    X(full, 6, "no room for another secret")                                                                           \
    X(internal, 7, "the agent failed; its state is unchanged")                                                         \
    X(tpm_refused, 8, "the TPM did not take it")                                                                       \
    X(log_full, 9, "the runtime log has no room left for what this would have to record")                              \
    X(bad_manifest, 10, "the manifest is not valid")                                                                   \
    X(manifest_mismatch, 11, "this CVM was launched for another manifest")                                             \
    X(not_a_party, 12, "the key of this connection is not one of the manifest's")                                      \
    X(wrong_role, 13, "the manifest does not give this party the role for it")                                         \
    X(unknown_item, 14, "the manifest has no such input, or the result no such part")                                  \
    X(wrong_state, 15, "the computation is not in a state for it")                                                     \
    X(wrong_offset, 16, "not where the input that is stored ends")                                                     \
    X(too_large, 17, "more than the manifest allows for this input")                                                   \
    X(digest_mismatch, 18, "not what the manifest names; nothing of it is kept")
enum class PeerErrc : std::uint8_t {
#define X(name, number, text) name = number,
    CVMIN_PEER_ERROR_TABLE(X)
#undef X
};
std::string_view name(PeerErrc code);
std::string_view message(PeerErrc code);

// Where a computation stands. The number is that on the wire: append only.
enum class RunState : std::uint8_t {
    waiting_manifest = 0, // none has been accepted
    waiting_inputs = 1,   // some input is not complete
    running = 2,
    result = 3,  // there for the consumers
    done = 4,    // all consumers have confirmed; inputs and result are wiped
    failed = 5,  // with a reason; no result
    stopped = 6, // the machine is going off
};
inline constexpr std::uint64_t max_run_state = 6;
std::string_view name(RunState state); // "waiting-inputs"

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
struct PutOk {
    std::uint64_t received = 0; // bytes of the item that are stored now
};
struct ItemStatus {
    std::string item;
    std::uint64_t received = 0;
    bool complete = false;
    friend bool operator==(const ItemStatus &, const ItemStatus &) = default;
};
struct OutputFile {
    std::string name;
    std::uint64_t size = 0;
    Sha256Digest sha256{};
    friend bool operator==(const OutputFile &, const OutputFile &) = default;
};
struct Status {
    RunState state = RunState::waiting_manifest;
    std::vector<ItemStatus> items{}; // in the manifest's order, the algorithm first; at most one more than max_datasets
    std::optional<std::string> reason{};              // why it failed; 1..max_reason_size
    std::optional<std::uint64_t> wait_status{};       // of the program, once it has ended
    std::optional<std::vector<OutputFile>> outputs{}; // for consumers, once there is a result; 0..max_outputs
    friend bool operator==(const Status &, const Status &) = default;
};
struct Data {
    Bytes data; // 0..max_data_size; empty: the offset is the end
    std::uint64_t total = 0;
};
struct Passport {
    Bytes result; // 1..max_passport_size, as it was put
};
} // namespace response
using Response = std::variant<response::Hello, response::Evidence, response::Stored, response::Stopping,
                              response::Failure, response::Activated, response::EventsChunk, response::PutOk,
                              response::Status, response::Data, response::Passport>;

// Both without the frame header. The bytes of a PutSecret and of a Put hold what is secret: whoever encodes or reads
// them wipes them. Texts must be printable ASCII and within their limits.
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
