// Whether a relying party may act on an attestation result in the place of an appraisal of its own (RFC 9334, 5.1 and
// 5.2): every check by a stable name with found and wanted; starts from refused.
#pragma once

#include "host-tools/appraise/appraise.hpp"
#include "host-tools/result/result_token.hpp"

namespace cvmin {

// Every check, in the order in which they are shown: id, stable name, whether it may be skipped. Documented in
// docs/passport.md; a test compares the two lists.
#define CVMIN_RESULT_TABLE(X)                                                                                          \
    X(format, "result.format", never)                                                                                  \
    X(verifier, "result.verifier", never)                                                                              \
    X(signature, "result.signature", never)                                                                            \
    X(issued, "result.issued", never)                                                                                  \
    X(expiry, "result.expiry", never)                                                                                  \
    X(nonce, "result.nonce", never)                                                                                    \
    X(key, "result.key", by_caller)                                                                                    \
    X(policy, "result.policy", by_caller)                                                                              \
    X(emulated, "result.emulated", never)                                                                              \
    X(status, "result.status", never)                                                                                  \
    X(vector, "result.vector", never)                                                                                  \
    X(measurement, "result.measurement", by_caller)                                                                    \
    X(manifest, "result.manifest", by_caller)

enum class ResultCheck : std::uint8_t {
#define X(id, name, skip) id,
    CVMIN_RESULT_TABLE(X)
#undef X
};
std::span<const CheckKind> result_check_kinds(); // indexed by ResultCheck

// What the clocks of verifier and relying party may differ by: a result of the future is none.
inline constexpr std::time_t max_clock_skew_s = 60;

// Any nonce that the verifier made itself: for a result that somebody else asked for. One that the asker chose may have
// been answered long ago.
struct NonceOfService {};

struct ResultExpectations {           // nothing that is not set accepts
    std::vector<PublicKey> verifiers; // whose results count
    std::variant<std::monostate, NonceOfService, Bytes> nonce;
    OrSkip<PublicKey> peer_key;                // of our connection's certificate
    OrSkip<std::vector<std::string>> policies; // identifiers, of which the result must name one
    std::optional<unsigned> max_age_s;         // since it was issued; without it the result must have an end of its own
    std::optional<Bytes> emulated_ark;         // DER of an emulated ARK trusted by name
    OrSkip<std::vector<Sha384Digest>> measurements; // launch digests
    OrSkip<Sha256Digest> manifest;                  // of the computation that is meant
    std::time_t now = 0;
};

class AcceptedResult { // proof that appraise_result() accepted; carries what a caller may rely on
  public:
    const PublicKey &key() const { return key_; } // the agent's TLS key, that of our connection
    bool emulated() const { return emulated_; }
    const std::optional<Sha384Digest> &measurement() const { return measurement_; }

  private:
    friend class ResultAppraiser;
    AcceptedResult() = default;
    PublicKey key_{};
    bool emulated_ = false;
    std::optional<Sha384Digest> measurement_;
};

struct ResultAppraisal {
    std::vector<Check> checks;               // indexed by ResultCheck
    bool valid = false;                      // no check failed or could not be made
    bool emulated = false;                   // it says so
    std::optional<AttestationResult> result; // what could be read, to be believed only where `valid`
    std::optional<AcceptedResult> accepted;  // valid, and held against the key of a connection
    const Check &operator[](ResultCheck id) const { return checks[static_cast<std::size_t>(id)]; }
};

// Never an Error: a result that cannot be read is a failed check.
ResultAppraisal appraise_result(ByteView token, const ResultExpectations &expectations);

inline constexpr std::uint64_t result_schema = 1;
// For people, and as JSON (schema 1 of docs/passport.md). `further` are checks made beside it, which count as much.
std::string result_table(const ResultAppraisal &appraisal, std::span<const Check> further, std::time_t now);
Json result_json(const ResultAppraisal &appraisal, std::span<const Check> further, std::time_t now);
// Whether it and what was checked beside it hold.
bool holds(const ResultAppraisal &appraisal, std::span<const Check> further);

} // namespace cvmin
