// Appraisal of evidence (RFC 9334): every check by a stable name with found and wanted; starts from refused.
// A secret is released only to an Accepted value, and only appraise() can make one.
#pragma once

#include "common/claims.hpp"
#include "common/evidence.hpp"
#include "common/snp_report.hpp"
#include "host-tools/appraise/policy.hpp"

#include <ctime>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace cvmin {

enum class Outcome : std::uint8_t { failed, passed, skipped };

struct Check {
    std::string_view name; // "snp.measurement"; stable, documented in docs/appraisal.md
    Outcome outcome = Outcome::failed;
    std::string found;
    std::string wanted;
    std::string_view
        anchor; // who vouches: "AMD ARK", "EMULATED ARK", "image builder", "this connection", "policy", "nothing"
};

struct Skip {}; // written down by the caller, shown in the verdict

struct Expectations {
    Bytes nonce;                                           // ours, for this evidence
    std::variant<Skip, ByteArray<exporter_size>> exporter; // of our connection; Skip only for stored evidence
    std::variant<Skip, PublicKey> peer_key;                // of our connection's certificate
    std::vector<Sha384Digest> measurements;                // acceptable launch digests; none accepts nothing
    std::string measurement_source;                        // for people: "image.json, EPYC-v4, 1 vCPU"
    std::optional<Bytes> emulated_ark;                     // DER of an emulated ARK trusted by name
    Policy policy;
    std::time_t now;
};

class Verdict {
  public:
    const std::vector<Check> &checks() const { return checks_; }
    // No check failed, and the checks that may never be skipped passed.
    bool accepted() const;
    bool emulated() const { return emulated_; } // the chain ends at an emulated ARK
    const Check *find(std::string_view name) const;

  private:
    friend class Appraiser;
    std::vector<Check> checks_;
    bool emulated_ = false;
};

class Accepted { // proof that appraise() accepted; carries what a caller may rely on
  public:
    const PublicKey &key() const { return key_; } // the agent's TLS key
    bool emulated() const { return emulated_; }

  private:
    friend class Appraiser;
    Accepted() = default;
    PublicKey key_{};
    bool emulated_ = false;
};

struct Appraisal {
    Verdict verdict;
    std::optional<SnpReport> report; // decoded, when it could be
    std::optional<Accepted> accepted;
};

// Never an Error: evidence that cannot be read is a failed check ("evidence.format", ...).
Appraisal appraise(ByteView evidence, const Expectations &expectations);

} // namespace cvmin
