// Appraisal of evidence (RFC 9334): every check by a stable name with found and wanted; starts from refused.
// A secret is released only to an Accepted value, and only appraise() can make one.
#pragma once

#include "common/claims.hpp"
#include "common/evidence.hpp"
#include "common/protocol.hpp"
#include "common/snp_report.hpp"
#include "common/tpm.hpp"
#include "host-tools/appraise/advisories.hpp"
#include "host-tools/appraise/crl.hpp"
#include "host-tools/appraise/policy.hpp"
#include "host-tools/tpm/ek_certificate.hpp"
#include "host-tools/tpm/live.hpp"

#include <ctime>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace cvmin {

// Every check, in the order in which a verdict shows them: id, stable name, whether it may be skipped at all.
// Each is documented in docs/appraisal.md, and a test compares the two lists.
#define CVMIN_APPRAISAL_TABLE(X)                                                                                       \
    X(evidence_format, "evidence.format", report_only)                                                                 \
    X(claims_format, "claims.format", report_only)                                                                     \
    X(snp_format, "snp.format", never)                                                                                 \
    X(snp_version, "snp.version", never)                                                                               \
    X(snp_chain, "snp.chain", never)                                                                                   \
    X(snp_revocation, "snp.revocation", by_policy)                                                                     \
    X(snp_signing_key, "snp.signing_key", never)                                                                       \
    X(snp_signature, "snp.signature", never)                                                                           \
    X(binding_report_data, "binding.report_data", report_only)                                                         \
    X(binding_nonce, "binding.nonce", report_only)                                                                     \
    X(binding_exporter, "binding.exporter", by_caller)                                                                 \
    X(binding_key, "binding.key", by_caller)                                                                           \
    X(snp_product, "snp.product", never)                                                                               \
    X(snp_tcb_certificate, "snp.tcb.certificate", never)                                                               \
    X(snp_tcb_minimum_reported, "snp.tcb.minimum.reported", by_policy)                                                 \
    X(snp_tcb_minimum_committed, "snp.tcb.minimum.committed", by_policy)                                               \
    X(snp_tcb_minimum_launch, "snp.tcb.minimum.launch", by_policy)                                                     \
    X(snp_tcb_minimum_current, "snp.tcb.minimum.current", by_policy)                                                   \
    X(snp_mitigation_launch, "snp.mitigation.launch", by_policy)                                                       \
    X(snp_mitigation_current, "snp.mitigation.current", by_policy)                                                     \
    X(snp_advisories, "snp.advisories", by_policy)                                                                     \
    X(snp_provisional_firmware, "snp.provisional_firmware", by_policy)                                                 \
    X(snp_chip_id, "snp.chip_id", by_policy)                                                                           \
    X(snp_chip_id_allowed, "snp.chip_id.allowed", by_policy)                                                           \
    X(snp_csp_id, "snp.csp_id", by_policy)                                                                             \
    X(snp_measurement, "snp.measurement", report_only)                                                                 \
    X(snp_host_data, "snp.host_data", by_policy)                                                                       \
    X(snp_report_id, "snp.report_id", by_policy)                                                                       \
    X(snp_report_id_ma, "snp.report_id_ma", by_policy)                                                                 \
    X(snp_vmpl, "snp.vmpl", by_policy)                                                                                 \
    X(snp_policy_debug, "snp.policy.debug", by_policy)                                                                 \
    X(snp_policy_migration_agent, "snp.policy.migration_agent", by_policy)                                             \
    X(snp_policy_smt, "snp.policy.smt", by_policy)                                                                     \
    X(snp_policy_single_socket, "snp.policy.single_socket", by_policy)                                                 \
    X(snp_policy_cxl, "snp.policy.cxl", by_policy)                                                                     \
    X(snp_policy_aes_256_xts, "snp.policy.aes_256_xts", by_policy)                                                     \
    X(snp_policy_rapl_disabled, "snp.policy.rapl_disabled", by_policy)                                                 \
    X(snp_policy_ciphertext_hiding, "snp.policy.ciphertext_hiding", by_policy)                                         \
    X(snp_policy_page_swap_disabled, "snp.policy.page_swap_disabled", by_policy)                                       \
    X(snp_policy_abi, "snp.policy.abi", by_policy)                                                                     \
    X(snp_platform_info_smt, "snp.platform_info.smt", by_policy)                                                       \
    X(snp_platform_info_tsme, "snp.platform_info.tsme", by_policy)                                                     \
    X(snp_platform_info_ecc, "snp.platform_info.ecc", by_policy)                                                       \
    X(snp_platform_info_rapl_disabled, "snp.platform_info.rapl_disabled", by_policy)                                   \
    X(snp_platform_info_ciphertext_hiding, "snp.platform_info.ciphertext_hiding", by_policy)                           \
    X(snp_platform_info_alias_check_complete, "snp.platform_info.alias_check_complete", by_policy)                     \
    X(snp_platform_info_tio, "snp.platform_info.tio", by_policy)                                                       \
    X(snp_unknown_bits, "snp.unknown_bits", never)                                                                     \
    X(snp_family_id, "snp.family_id", by_policy)                                                                       \
    X(snp_image_id, "snp.image_id", by_policy)                                                                         \
    X(snp_guest_svn, "snp.guest_svn", by_policy)                                                                       \
    X(snp_id_key_digest, "snp.id_key_digest", by_policy)                                                               \
    X(snp_author_key_digest, "snp.author_key_digest", by_policy)                                                       \
    X(claims_runtime_log, "claims.runtime_log", by_policy)                                                             \
    X(claims_manifest, "claims.manifest", by_policy)                                                                   \
    X(claims_ak, "claims.ak", by_policy)                                                                               \
    X(tpm_quote, "tpm.quote", by_policy)                                                                               \
    X(tpm_ak, "tpm.ak", by_policy)                                                                                     \
    X(tpm_signature, "tpm.signature", by_policy)                                                                       \
    X(tpm_extra_data, "tpm.extra_data", by_policy)                                                                     \
    X(tpm_pcr_digest, "tpm.pcr_digest", by_policy)                                                                     \
    X(tpm_clock, "tpm.clock", by_policy)                                                                               \
    X(tpm_ek, "tpm.ek", by_policy)                                                                                     \
    X(tpm_credential, "tpm.credential", by_caller)                                                                     \
    X(tpm_svsm, "tpm.svsm", by_policy)                                                                                 \
    X(tpm_event_log, "tpm.event_log", by_policy)                                                                       \
    X(tpm_boot_events, "tpm.boot_events", by_policy)                                                                   \
    X(tpm_pcrs, "tpm.pcrs", by_policy)                                                                                 \
    X(runtime_log_replay, "runtime_log.replay", by_policy)                                                             \
    X(runtime_log_events, "runtime_log.events", by_policy)                                                             \
    X(ima_replay, "ima.replay", by_policy)                                                                             \
    X(ima_boot_aggregate, "ima.boot_aggregate", by_policy)                                                             \
    X(ima_allowed, "ima.allowed", by_policy)

enum class CheckId : std::uint8_t {
#define X(id, name, skip) id,
    CVMIN_APPRAISAL_TABLE(X)
#undef X
};
// report_only: never in evidence of ours; a report of another tool has nothing there, or caller or policy skip it by
// name.
enum class Skipping : std::uint8_t { never, report_only, by_caller, by_policy };
struct CheckKind {
    std::string_view name;
    Skipping skipping;
};
std::span<const CheckKind> check_kinds(); // indexed by CheckId

// not_made: another check failed first, so that there was nothing to look at. As good as failed.
enum class Outcome : std::uint8_t { not_made, failed, passed, skipped };
std::string_view name(Outcome outcome);

struct Check {
    std::string_view name; // "snp.measurement"; stable, documented in docs/appraisal.md
    Outcome outcome = Outcome::not_made;
    std::string found;
    std::string wanted;
    // on whose word `wanted` rests, or for the rows of measured boot whose word it is at all: "host-run vTPM", "SVSM
    // vTPM", "agent" (of the measured image); else "EK authority", "AMD ARK", "EMULATED ARK", "image builder", "image
    // signer", "this connection", "caller", "policy", "collateral" (the relying party's signed file), "evidence" (it
    // only has to agree with itself), "nothing" (skipped, or not made)
    std::string_view anchor = "nothing";
};

struct Skip {}; // written down by the caller, shown in the verdict

// Until the caller says something a check is not made, and that is as good as failed.
template <class T> using OrSkip = std::variant<std::monostate, Skip, T>;

// Certificates and lists that the relying party brings itself, from files that it trusts for this. They are judged like
// the host's, and preferred to them.
struct Endorsements {
    // The one for the report's chip and TCB is taken; when there is none, the host's.
    std::vector<std::shared_ptr<const X509Certificate>> veks;
    std::vector<std::shared_ptr<const X509Certificate>> intermediates;
    // Always looked at, also when the policy does not demand a list. `crl` must be of the chain's ARK; of `crls`
    // (several products), the one that is.
    std::shared_ptr<const RevocationList> crl;
    std::vector<std::shared_ptr<const RevocationList>> crls;
    // Added to the policy's, component by component: the higher level counts.
    std::array<std::array<std::optional<Tcb>, tcb_kind_count>, all_products.size()> minimum_tcb;
    std::string source; // for people: "collateral.cbor"
};

// What an image's files must have measured when they were booted, in one bank (host-tools/measured/boot_events.hpp).
struct BootFiles {
    TpmAlg bank{};
    TpmDigest kernel, initrd, load_options;
};
// In the banks that a policy may ask for. Errors of boot_digests.
Result<std::vector<BootFiles>> boot_files(ByteView kernel, ByteView initrd, std::string_view command_line);

// A quote that a policy asks for: the bank, and PCR 0 to 15 with those that it wants by value. nullopt: "vtpm" is
// "skip".
std::optional<request::PcrSelection> wanted_quote(const Policy &policy);

struct Expectations {
    Bytes nonce;                               // ours, for this evidence
    OrSkip<ByteArray<exporter_size>> exporter; // of our connection; Skip only for stored evidence
    OrSkip<PublicKey> peer_key;                // of our connection's certificate
    // These three are of a connection that we hold, and not of a record or of arguments. Only named in the verdict: a
    // secret is kept from other evidence by release_secret(), which asks the connection itself.
    bool live = false;
    OrSkip<ByteArray<64>> report_data; // of appraise_report() only: evidence says by its claims what must be there
    // Acceptable launch digests. None accepts nothing, unless the policy lists some, or skips them for a report by
    // itself, or signer_vouches.
    std::vector<Sha384Digest> measurements;
    bool signer_vouches = false; // policy.signer may have signed whatever was launched, where no digest is wanted here
    std::string measurement_source; // for people: "image.json, EPYC-v4, 1 vCPU"
    // Digest of the manifest of the computation that is meant. Wanted in the claims, and in HOST_DATA unless the policy
    // wants zeros there, which says that a CVM may have been launched for no manifest and given one later.
    std::optional<Sha256Digest> manifest;
    std::optional<Bytes> emulated_ark; // DER of an emulated ARK trusted by name
    // Of the vTPM. What the policy skips is not looked at.
    std::optional<request::PcrSelection> pcrs; // that a quote was asked of; else what wanted_quote() says
    OrSkip<TpmActivation> activation;          // over our connection; Skip only for stored evidence
    std::optional<TpmEpoch> earlier_quote;     // of this session; nullopt: this is the first
    EkAuthorities ek_authorities;              // whose word about EKs counts
    std::vector<BootFiles> boot_files;         // of the image; empty: none is known
    Policy policy;
    Endorsements endorsements;
    std::time_t now = 0;
};

// Who vouches for the report: the first of the two answers of a verdict. `emulated` holds as well as `amd`, for those
// who trust that root, and says nothing about any machine.
enum class Genuine : std::uint8_t { no, emulated, amd };
std::string_view name(Genuine genuine); // "no", "emulated", "amd"

class Verdict {
  public:
    Verdict(); // every check, none made
    const std::vector<Check> &checks() const { return checks_; }
    // No check failed or could not be made, and those that may never be skipped passed.
    bool accepted() const;
    // The two answers of which it consists. Genuine: format, chain, revocation, signature, and a certificate that
    // agrees with the report about key, product, TCB and chip. Acceptable: everything else, which is what the policy
    // and the caller want; of a report that is not genuine it only says what the report claims.
    Genuine genuine() const;
    bool acceptable() const;
    bool emulated() const { return emulated_; }       // the chain ends at an emulated ARK
    bool report_only() const { return report_only_; } // about a report by itself, and nobody's connection
    const Check &operator[](CheckId id) const { return checks_[static_cast<std::size_t>(id)]; }
    const Check *find(std::string_view name) const;

  private:
    friend class EvidenceAppraiser;
    bool fine(std::size_t index) const; // passed, or skipped where it may be

    std::vector<Check> checks_; // indexed by CheckId
    // of the checks that ask both questions at once
    struct Halves {
        bool agrees = false;  // report, certificate and chain with each other
        bool allowed = false; // by the policy
    };
    Halves key_, product_, chip_;
    bool emulated_ = false;
    bool report_only_ = false;
};

class Accepted { // proof that appraise() accepted; carries what a caller may rely on
  public:
    const PublicKey &key() const { return key_; } // the agent's TLS key
    bool emulated() const { return emulated_; }
    const Sha384Digest &measurement() const { return measurement_; } // the launch digest: wanted, or signed for
    bool by_signer() const { return by_signer_; } // no launch digest was wanted, but a signature of the policy's signer
    const Bytes &nonce() const { return nonce_; }
    // What binding.exporter compared; nothing where it was skipped.
    const std::optional<ByteArray<exporter_size>> &exporter() const { return exporter_; }

  private:
    friend class EvidenceAppraiser;
    Accepted() = default;
    PublicKey key_{};
    bool emulated_ = false;
    bool by_signer_ = false;
    Sha384Digest measurement_{};
    Bytes nonce_;
    std::optional<ByteArray<exporter_size>> exporter_;
};

// Why the launch digest may be another one than wanted: words that a command adds after appraisal, for whoever reads
// the verdict. Nothing is decided by it.
struct DigestExplanation {
    std::vector<std::string> lines;
    Json json; // as in docs/explain.md
};

struct Appraisal {
    Verdict verdict;
    // Every known advisory, whether the policy requires it or not; none where the product could not be told.
    std::vector<AdvisoryResult> advisories;
    std::optional<SnpReport> report; // decoded, when it could be
    std::optional<VekCert> vek;      // decoded, when it could be; the chain may still not hold
    std::optional<Claims> claims;    // decoded, when they could be; binding.report_data says whether they are bound
    // VEK, ASK or ASVK, ARK: only of a chain that holds.
    std::vector<std::shared_ptr<const X509Certificate>> chain;
    // Who runs the vTPM whose quote was looked at: "host-run vTPM" or "SVSM vTPM"; empty: none was.
    std::string_view vtpm;
    std::optional<Accepted> accepted; // never of a report by itself: it speaks of no key and of no connection
    std::optional<DigestExplanation> explanation; // never set by appraise()
};

// What a quote of this vTPM proves, and what not: one sentence for every form of a verdict. Empty for an empty name.
std::string_view vtpm_note(std::string_view vtpm);

// Never an Error: evidence that cannot be read is a failed check ("evidence.format", ...).
Appraisal appraise(ByteView evidence, const Expectations &expectations);

// A report that another tool fetched, with the certificates that the caller has for it (GHCB table; a given ASK and ARK
// must be those that the chain goes through). The caller says what REPORT_DATA must be, or skips it by name. The
// verdict may be accepted(), but nothing is ever released to it.
Appraisal appraise_report(ByteView report, ByteView certificates, const Expectations &expectations);

// The least TCB that counts for one kind: the policy's and the relying party's own, component by component.
std::optional<Tcb> wanted_minimum(const Expectations &expectations, Product product, TcbKind kind);

} // namespace cvmin
