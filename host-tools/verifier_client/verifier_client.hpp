// The client of a verifier service, over Veraison's challenge-response API: opens a session, gives evidence to it,
// brings back the attestation result as it was signed. Believes nothing that it reads: whoever relies on the result
// checks signature, nonce and key.
#pragma once

#include "host-tools/base/json.hpp"
#include "host-tools/collateral/retry.hpp"

#include <ctime>

namespace cvmin {

// A session that is complete repeats the evidence: 683 KiB in base64 of the 512 that our service takes, and the result.
inline constexpr std::size_t max_verifier_answer = max_json_size;
inline constexpr std::size_t max_session_accept = 64; // media types in one session; Veraison's services have about ten
inline constexpr std::size_t max_media_type_size = 256; // the longest of theirs has 70
inline constexpr std::size_t asked_nonce_size = 32;     // of nonces that the service chooses
inline constexpr std::size_t unpadded_nonce_size = 48;  // for one's own: services differ about '=', and this has none
inline constexpr unsigned verifier_retries = 3;         // 1, 2 and 4 s at most: somebody waits for the command
inline constexpr std::chrono::seconds verifier_timeout{90}; // of open() or submit(), all attempts and polls together
inline constexpr std::chrono::seconds poll_pause{1};        // as Veraison's own client
inline constexpr unsigned max_polls = 60;

struct ChallengeSession {
    std::string url;                 // has the token that lets others into the session: no text is to have it
    Bytes nonce;                     // min_nonce_size..max_nonce_size
    std::time_t expires = 0;         // by the service's clock
    std::vector<std::string> accept; // media types of evidence
};

// What a service writes of a session.
struct SessionDocument {
    enum class Status : std::uint8_t { waiting, processing, complete, failed };
    Status status = Status::waiting;
    Bytes nonce; // of min_nonce_size..max_nonce_size bytes
    std::time_t expires = 0;
    std::vector<std::string> accept;
    std::string result; // of a complete one: a JWS in its compact form, three parts of base64url
};
// malformed, missing, too_large, out_of_range (nonce), unsupported (status).
Result<SessionDocument> parse_session_document(ByteView json);

// RFC 9457; members that are not there, or are no text, are empty. One line each, and cut off where a person stops
// reading.
struct ProblemDetails {
    std::string type, title, detail;
};
ProblemDetails parse_problem_details(ByteView json);

class VerifierClient {
  public:
    // `address` is parse_service_address()'s. `note` is told before each wait. `http` and `pacing` live longer than
    // this.
    VerifierClient(HttpClient &http, Pacing &pacing, std::string address, std::function<void(std::string_view)> note);

    // A new session: with this nonce (out_of_range: its length), or with one of the service's. unsupported: the service
    // takes no nonces of others; ask for its own. unreachable, timed_out, refused (with the service's words), busy.
    // mismatch: another nonce than this one, or a session on another server; malformed and others: no such answer.
    Explained<ChallengeSession> open(const std::optional<Bytes> &nonce);
    // The attestation result of this evidence, a JWT, not verified. unsupported: the service takes no such evidence,
    // and was not given it. refused also: appraisal failed; timed_out also: it did not end. Else as open().
    Explained<std::string> submit(const ChallengeSession &session, ByteView evidence, std::string_view media_type);

  private:
    struct Step;
    Explained<HttpAnswer> ask(const Step &step);

    HttpClient &http_;
    Pacing &pacing_;
    std::string address_;
    std::function<void(std::string_view)> note_;
};

} // namespace cvmin
