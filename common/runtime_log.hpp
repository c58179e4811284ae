// The runtime event log of the agent: TCG Canonical Event Log in CBOR, with a content type of our own. Writes, reads
// and replays it. What is recorded, and what happens when there is no room, is the agent's (agent-min/runtime_log.hpp);
// whether a log is acceptable is for whoever appraises. docs/runtime-log.md says how this relates to TCG's text.
//
// TCG Canonical Event Log Format 1.1, 5.2 (CBOR): a log is an array of records, a record is the map
//   { 0: recnum, 1: pcr, 3: [ { 0: hashAlg, 1: digest }, ... ], 9: content_type, 10: content }
// with recnum counted from 0 for each PCR (4.2.2). Ours are all of PCR 15, with SHA-256 and SHA-384 digests, in this
// order, over the exact bytes of the encoded content.
//   head(n) = SHA-384(head(n-1) || SHA-384 digest of record n), head(-1) = 48 zero bytes
// which is what TPM2_PCR_Extend does to a PCR of the SHA-384 bank.
#pragma once

#include "common/bytes.hpp"
#include "common/evidence.hpp"
#include "common/hash.hpp"
#include "common/protocol.hpp"

#include <optional>
#include <string>
#include <variant>

namespace cvmin {

inline constexpr std::uint8_t runtime_log_pcr = 15; // firmware, kernel and IMA use others; systemd's are of no concern
inline constexpr std::uint64_t runtime_content_type = 70001; // private: CEL 1.1 lets a profile add types to Table 2's
inline constexpr std::size_t max_runtime_records = 1024;     // of 64 bytes each they would fill max_runtime_log_size
inline constexpr std::size_t max_runtime_content_size = 256; // all fields at their largest need under 200
inline constexpr std::size_t max_runtime_record_size = max_runtime_content_size + 128; // numbers and two digests
inline constexpr std::size_t max_event_text_size = 96; // a reason, as one line for people

// ---- events ---------------------------------------------------------------------------------------------------

enum class PartState : std::uint8_t { absent = 0, ready = 1, failed = 2 };

// What was asked for and is not allowed.
#define CVMIN_VIOLATION_TABLE(X)                                                                                       \
    X(put_before_attest, 1, "a secret was sent on a connection that had not taken evidence")                           \
    X(wrong_put, 2, "other bytes were sent under a name that is taken")                                                \
    X(wrong_role, 3, "asked for in a role that the manifest does not give")                                            \
    X(digest_mismatch, 4, "an input was not what the manifest names")                                                  \
    X(wrong_manifest, 5, "another manifest was sent than the one that holds here")
enum class ViolationRule : std::uint8_t {
#define X(name, number, text) name = number,
    CVMIN_VIOLATION_TABLE(X)
#undef X
};
std::string_view name(ViolationRule rule);
std::string_view message(ViolationRule rule);

namespace event {
struct Boot {                  // always record 0
    std::string agent;         // "cvmin-agent 0.1.0"; 1..max_agent_name_size
    bool debug_image = false;  // console output is on
    std::string report_source; // 1..max_report_source_size
    PartState tpm = PartState::absent;
    PartState ima = PartState::absent; // ready: the agent's policy is loaded
    friend bool operator==(const Boot &, const Boot &) = default;
};
struct SessionOpened {         // a peer asked for evidence; the evidence it gets holds this record
    std::uint64_t session = 0; // connections are numbered from 1
    Sha256Digest nonce{};      // SHA-256 of the nonce, so that the peer finds itself
    friend bool operator==(const SessionOpened &, const SessionOpened &) = default;
};
struct Manifest {
    Sha256Digest digest{}; // of the manifest's bytes
    friend bool operator==(const Manifest &, const Manifest &) = default;
};
struct SecretReceived {
    std::uint64_t session = 0;
    std::string name;
    Sha256Digest commitment{}; // secret_commitment: only the ends of the session can tell what it is of
    friend bool operator==(const SecretReceived &, const SecretReceived &) = default;
};
struct Start {
    Sha256Digest program{}; // of the executable
    friend bool operator==(const Start &, const Start &) = default;
};
struct Result {               // no digest of the output: whoever reads the log could try what the output may be
    std::uint64_t status = 0; // wait status
    friend bool operator==(const Result &, const Result &) = default;
};
struct Violation {
    std::uint64_t session = 0;
    ViolationRule rule = ViolationRule::put_before_attest;
    std::string name; // of the secret that was sent, the item, or what else was asked for
    friend bool operator==(const Violation &, const Violation &) = default;
};
struct LogFull { // always the last one: from here on the agent refuses what it would have to record
    friend bool operator==(const LogFull &, const LogFull &) = default;
};
struct SessionsDropped { // from here on no session-opened is recorded
    friend bool operator==(const SessionsDropped &, const SessionsDropped &) = default;
};
struct Stop {
    std::uint64_t session = 0;
    friend bool operator==(const Stop &, const Stop &) = default;
};
struct TpmLost {        // from here on there is no TPM; this record and later ones are not in its PCR
    std::string reason; // 1..max_event_text_size
    friend bool operator==(const TpmLost &, const TpmLost &) = default;
};
struct ViolationsDropped { // from here on no violation is recorded
    friend bool operator==(const ViolationsDropped &, const ViolationsDropped &) = default;
};
struct InputReceived { // whole, and what the manifest names, which has its digest; for the same reason it is not here
    std::uint64_t session = 0;
    std::string item; // valid_item
    friend bool operator==(const InputReceived &, const InputReceived &) = default;
};
struct RunFailed {      // there is no result, and there will be none
    std::string reason; // 1..max_event_text_size
    friend bool operator==(const RunFailed &, const RunFailed &) = default;
};
struct ResultTaken { // every consumer has confirmed; inputs and result are wiped
    friend bool operator==(const ResultTaken &, const ResultTaken &) = default;
};
} // namespace event

// The number of a kind on the wire is its index here: append only.
using Event =
    std::variant<event::Boot, event::SessionOpened, event::Manifest, event::SecretReceived, event::Start, event::Result,
                 event::Violation, event::LogFull, event::SessionsDropped, event::Stop, event::TpmLost,
                 event::ViolationsDropped, event::InputReceived, event::RunFailed, event::ResultTaken>;
std::string_view kind_name(const Event &event); // "session-opened"

// SHA-256(exporter || value), with the TLS exporter of the connection that put it for the context
// secret_context(name). A plain digest of a short secret would tell everybody who reads the log what it is.
Sha256Digest secret_context(std::string_view name);
Sha256Digest secret_commitment(const ByteArray<32> &exporter, ByteView value);

// ---- writing --------------------------------------------------------------------------------------------------

struct RecordDigests {
    Sha256Digest sha256;
    Sha384Digest sha384;
};

class RuntimeLogWriter {
  public:
    explicit RuntimeLogWriter(std::size_t max_size = max_runtime_log_size,
                              std::size_t max_records = max_runtime_records);

    // nullopt: fewer than `keep` bytes, or `keep_records` records, would be left after it. The time is microseconds
    // since boot.
    std::optional<RecordDigests> append(std::uint64_t time_us, const Event &event, std::size_t keep = 0,
                                        std::size_t keep_records = 0);
    // Whether a record of any kind could be appended with so much left.
    bool has_room(std::size_t keep = 0, std::size_t keep_records = 0) const;
    std::size_t count() const { return offsets_.size(); }
    const Sha384Digest &head() const { return head_; }
    Bytes log() const;                          // the whole log
    ByteView records_from(std::uint64_t) const; // the records with this number and above, one after the other

  private:
    bool fits(std::size_t size, std::size_t keep, std::size_t keep_records) const;

    std::size_t max_size_, max_records_;
    Bytes records_;
    std::vector<std::uint32_t> offsets_; // where each begins
    Sha384Digest head_{};
};

// ---- reading --------------------------------------------------------------------------------------------------

struct RuntimeRecord {
    std::uint64_t number = 0;
    std::uint64_t time_us = 0; // since boot, by the guest's clock
    Event event;
    RecordDigests digests{};
};

struct RuntimeLog {
    std::vector<RuntimeRecord> records;
    Sha384Digest head{};   // also what a PCR of the SHA-384 bank that mirrors the log holds
    Sha256Digest pcr256{}; // the same of the SHA-256 bank
};

// malformed: not canonical CBOR, not a record, or a record in a place where it cannot be (boot, log-full); mismatch: a
// record's number or one of its digests (detail: its place in the log); unsupported: another PCR, digest algorithm,
// content type or kind of event; out_of_range: a length; too_large: the log. An empty input is malformed.
Result<RuntimeLog> parse_runtime_log(ByteView bytes);
// Records that follow those in `log`, one after the other, as `events` gives them. On error `log` has those before it.
Result<void> append_records(RuntimeLog &log, ByteView records);
Bytes encode_runtime_log(const RuntimeLog &log); // the same bytes that were parsed

} // namespace cvmin
