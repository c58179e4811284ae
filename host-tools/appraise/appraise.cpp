// The appraisal, from the outside in: what the evidence is, who vouches for it, that it is about this connection and
// this moment, what machine it speaks of, what guest runs there. Each check says in one comment what attack it stops.
#include "host-tools/appraise/appraise.hpp"

#include "common/cert_table.hpp"
#include "host-tools/appraise/chain.hpp"
#include "host-tools/appraise/measured_boot.hpp"
#include "host-tools/appraise/report_signature.hpp"
#include "host-tools/appraise/unknown_bits.hpp"
#include "host-tools/appraise/verdict.hpp"

#include <algorithm>

namespace cvmin {

// ---- verdict --------------------------------------------------------------------------------------------------------

std::span<const CheckKind> check_kinds() {
    static constexpr auto kinds = std::to_array<CheckKind>({
#define X(id, name, skip) {name, Skipping::skip},
        CVMIN_APPRAISAL_TABLE(X)
#undef X
    });
    return kinds;
}

std::string_view name(Outcome outcome) {
    switch (outcome) {
    case Outcome::not_made:
        return "not made";
    case Outcome::failed:
        return "failed";
    case Outcome::passed:
        return "passed";
    case Outcome::skipped:
        return "skipped";
    }
    return "failed";
}

Verdict::Verdict() {
    for (const CheckKind &kind : check_kinds())
        checks_.push_back({.name = kind.name, .found = {}, .wanted = {}});
}

std::string_view name(Genuine genuine) {
    switch (genuine) {
    case Genuine::no:
        return "no";
    case Genuine::emulated:
        return "emulated";
    case Genuine::amd:
        return "amd";
    }
    return "no";
}

bool Verdict::fine(std::size_t index) const {
    const Skipping skipping = check_kinds()[index].skipping;
    const bool may_skip = skipping == Skipping::report_only ? report_only_ : skipping != Skipping::never;
    const Outcome outcome = checks_[index].outcome;
    return outcome == Outcome::passed || (may_skip && outcome == Outcome::skipped);
}

bool Verdict::accepted() const {
    if (checks_.size() != check_kinds().size())
        return false;
    for (std::size_t i = 0; i < checks_.size(); ++i)
        if (!fine(i))
            return false;
    return true;
}

// Answered by the first answer alone, and by both halves.
static constexpr std::array genuine_checks{CheckId::snp_format, CheckId::snp_chain, CheckId::snp_revocation,
                                           CheckId::snp_signature, CheckId::snp_tcb_certificate};
static constexpr std::array halved_checks{CheckId::snp_signing_key, CheckId::snp_product, CheckId::snp_chip_id};

Genuine Verdict::genuine() const {
    for (const CheckId id : genuine_checks)
        if (!fine(static_cast<std::size_t>(id)))
            return Genuine::no;
    if (!key_.agrees || !product_.agrees || !chip_.agrees)
        return Genuine::no;
    return emulated_ ? Genuine::emulated : Genuine::amd;
}

bool Verdict::acceptable() const {
    for (std::size_t i = 0; i < checks_.size(); ++i) {
        const auto id = static_cast<CheckId>(i);
        if (!std::ranges::contains(genuine_checks, id) && !std::ranges::contains(halved_checks, id) && !fine(i))
            return false;
    }
    return key_.allowed && product_.allowed && chip_.allowed;
}

const Check *Verdict::find(std::string_view name) const {
    const auto found = std::ranges::find(checks_, name, &Check::name);
    return found == checks_.end() ? nullptr : &*found;
}

// ---- texts ----------------------------------------------------------------------------------------------------------

static std::string hex_number(std::uint64_t value, std::size_t bytes) {
    ByteArray<8> big_endian;
    store_be(big_endian, value);
    return "0x" + hex(ByteView{big_endian}.last(bytes));
}

template <class List, class Text> static std::string joined(const List &list, Text text) {
    std::string out;
    for (const auto &entry : list) {
        if (!out.empty())
            out += ", ";
        out += text(entry);
    }
    return out.empty() ? "none" : out;
}

static std::string key_text(const PublicKey &key) {
    return "P-384 " + hex(key.x) + hex(key.y);
}

static std::string bit_text(bool set) {
    return set ? "set" : "clear";
}

// ---- appraisal ------------------------------------------------------------------------------------------------------

class EvidenceAppraiser {
  public:
    explicit EvidenceAppraiser(const Expectations &wanted) : want_(wanted), policy_(wanted.policy) {}

    Appraisal run(ByteView evidence_bytes) {
        const auto evidence = parse_evidence(evidence_bytes);
        // a host that sends anything but the agreed wrapping, to reach a parser behind it
        judge(CheckId::evidence_format, evidence.has_value(),
              evidence ? std::to_string(evidence_bytes.size()) + " bytes" : to_string(evidence.error()),
              std::string{evidence_type}, "evidence");
        if (!evidence)
            return finish();

        const auto claims = parse_claims(evidence->claims);
        // claims that two readers would read differently: only canonical ones are looked at
        judge(CheckId::claims_format, claims.has_value(),
              claims ? std::to_string(evidence->claims.size()) + " bytes" : to_string(claims.error()),
              std::string{claims_profile}, "evidence");

        const auto report = platform(evidence->report, evidence->certificates);
        if (claims) {
            appraisal_.claims = *claims;
            claimed(*claims);
        }
        if (claims)
            measured(*evidence, *claims, report ? &*report : nullptr);
        if (report && claims)
            binding(*report, *claims, evidence->claims);

        if (claims && report && appraisal_.verdict.accepted()) {
            Accepted accepted;
            accepted.key_ = claims->key;
            accepted.emulated_ = appraisal_.verdict.emulated();
            accepted.measurement_ = report->measurement;
            accepted.by_signer_ = want_.measurements.empty() && policy_.measurements.empty();
            accepted.nonce_ = want_.nonce;
            if (const auto *exporter = std::get_if<ByteArray<exporter_size>>(&want_.exporter))
                accepted.exporter_ = *exporter;
            appraisal_.accepted = accepted;
        }
        return finish();
    }

    Appraisal run_report(ByteView raw, ByteView certificates) {
        appraisal_.verdict.report_only_ = true;
        for (const CheckId id : {CheckId::evidence_format, CheckId::claims_format, CheckId::binding_nonce,
                                 CheckId::binding_exporter, CheckId::binding_key})
            skip(id, no_claims, "nothing: a report by itself");
        // the manifest that the caller means is looked for in HOST_DATA, if anywhere
        if (policy_.manifest)
            fail_check(CheckId::claims_manifest, no_claims, hex(*policy_.manifest), "policy");
        else if (want_.manifest && !launched_for_manifest())
            fail_check(CheckId::claims_manifest, no_claims, hex(*want_.manifest), "caller");
        else
            skip(CheckId::claims_manifest, no_claims);
        // nothing of it can be there: what the policy demands fails as for evidence that lacks it
        measured(Evidence{}, Claims{}, nullptr);
        if (policy_.ak)
            fail_check(CheckId::claims_ak, no_claims, hex(*policy_.ak), "policy");
        else
            skip(CheckId::claims_ak, no_claims);
        if (const auto report = platform(raw, certificates)) {
            // a genuine report that was made for somebody else's question
            const std::string found = hex(report->report_data);
            const auto *wanted = std::get_if<ByteArray<64>>(&want_.report_data);
            const auto &of_policy = policy_.report_data;
            if (wanted || of_policy)
                judge(CheckId::binding_report_data,
                      (!wanted || report->report_data == *wanted) && (!of_policy || report->report_data == *of_policy),
                      found,
                      wanted && of_policy && *wanted != *of_policy ? hex(*wanted) + " and " + hex(*of_policy)
                                                                   : hex(wanted ? *wanted : *of_policy),
                      wanted ? "caller" : "policy");
            else if (std::holds_alternative<Skip>(want_.report_data) || policy_.any_report_data)
                skip(CheckId::binding_report_data, found);
            else
                unsaid(CheckId::binding_report_data);
        }
        return finish();
    }

  private:
    std::optional<SnpReport> platform(ByteView raw, ByteView certificates) {
        const auto report = parse_snp_report(raw);
        // a report of another size or signature algorithm, read with our offsets
        judge(CheckId::snp_format, report.has_value(),
              report ? std::to_string(raw.size()) + " bytes, ECDSA P-384 with SHA-384" : to_string(report.error()),
              "1184 bytes, ECDSA P-384 with SHA-384", "evidence");
        if (!report)
            return std::nullopt;
        appraisal_.report = *report;
        endorsement(raw, *report, certificates);
        machine(raw, *report);
        guest(*report);
        return *report;
    }

    // ---- who vouches for the report -------------------------------------------------------------------------------
    void endorsement(ByteView raw, const SnpReport &report, ByteView table_bytes) {
        // a format with fields that we do not know, believed under our meaning of them
        judge(CheckId::snp_version, std::ranges::contains(policy_.report_versions, report.version),
              std::to_string(report.version),
              "one of " + joined(policy_.report_versions, [](std::uint32_t v) { return std::to_string(v); }), "policy");

        const auto table = table_bytes.empty() ? Result<CertTable>{} : parse_cert_table(table_bytes);
        if (!table) {
            fail_check(CheckId::snp_chain, to_string(table.error()), "a certificate table", "evidence");
            return;
        }
        const auto certificate = signing_certificate(report, *table);
        if (!certificate)
            return;

        // a signing key that the attacker made: anyone can write a certificate with AMD's names in it
        auto chain = verify_chain(*certificate, *table, want_.emulated_ark, want_.now,
                                  policy_.revocation ? Revocation::required : Revocation::skip,
                                  want_.endorsements.intermediates);
        // somebody who gives an ARK wants it to be the one; a host's is never looked at
        if (chain && appraisal_.verdict.report_only_) {
            auto another = unlike_given(table->ask, "ASK", *chain->intermediate);
            if (!another)
                another = unlike_given(table->ark, "ARK", *chain->ark);
            if (another)
                chain = std::unexpected(std::move(*another));
        }
        if (chain) {
            appraisal_.chain = {certificate, chain->intermediate, chain->ark};
            appraisal_.verdict.emulated_ = chain->emulated;
            root_ = chain->emulated ? "EMULATED ARK" : "AMD ARK";
            pass(CheckId::snp_chain, chain->path + " at " + format_time(want_.now), "a chain to a trusted ARK", root_);
        } else {
            fail_check(CheckId::snp_chain, chain.error().found, chain.error().wanted,
                       want_.emulated_ark ? "EMULATED ARK" : "AMD ARK");
        }

        revocation(table->crl, chain ? &*chain : nullptr);

        signing_key(report, *certificate, chain ? chain->kind : std::nullopt);
        if (!vek_)
            return;

        // a report that no AMD-SP made, or that was changed on the way
        const auto signature = verify_report_signature(raw, vek_->key);
        judge(CheckId::snp_signature, signature.has_value(),
              signature ? "verifies with the " + std::string{name(vek_->kind)} + "'s key"
                        : to_string(signature.error()),
              "ECDSA P-384 over bytes 0x000..0x29f", root_);

        // a certificate of one product line for a report of another, whose TCB would then be read in the wrong layout
        product(report, chain ? chain->product : std::nullopt);
    }

    // The certificate that the caller gave, where it has another key than the one of its place in the chain.
    static std::optional<ChainProblem> unlike_given(ByteView given, const std::string &role,
                                                    const X509Certificate &in_chain) {
        if (given.empty())
            return std::nullopt;
        const auto der = certificate_der(given, "certificate");
        const auto certificate = der ? X509Certificate::parse(*der, "certificate") : std::unexpected(der.error());
        const auto text = [](const X509Certificate &c) {
            return c.subject_name() + " (SPKI SHA-256 " + hex(spki_digest(c)) + ")";
        };
        if (!certificate)
            return ChainProblem{"the given " + role + ": " + to_string(certificate.error()), text(in_chain)};
        if (spki_digest(*certificate) != spki_digest(in_chain))
            return ChainProblem{"the given " + role + " is " + text(*certificate), text(in_chain)};
        return std::nullopt;
    }

    // The certificate of the key that the report says signed it: the relying party's own for this chip and TCB, else
    // the host's. If only the other kind is there, take that one: the disagreement is then named by snp.signing_key.
    std::shared_ptr<const X509Certificate> signing_certificate(const SnpReport &report, const CertTable &table) {
        const bool says_vlek = report.signing_key() == SigningKey::vlek;
        for (const auto &own : want_.endorsements.veks) {
            const auto vek = parse_vek_cert(*own);
            if (vek && (vek->kind == VekKind::vlek) == says_vlek &&
                vek->tcb == decode_tcb(vek->product, report.reported_tcb) &&
                (says_vlek || vek->chip_id() == report.chip_id))
                return own;
        }
        ByteView bytes = says_vlek ? table.vlek : table.vcek;
        if (bytes.empty())
            bytes = says_vlek ? table.vcek : table.vlek;
        if (bytes.empty()) {
            fail_check(CheckId::snp_chain,
                       "the evidence has neither a VCEK nor a VLEK certificate" +
                           (want_.endorsements.veks.empty()
                                ? ""
                                : ", and " + want_.endorsements.source + " has none for this chip and TCB"),
                       "the certificate of the signing key", "evidence");
            return nullptr;
        }
        const auto der = certificate_der(bytes, "vek_cert");
        auto certificate = der ? X509Certificate::parse(*der, "vek_cert") : std::unexpected(der.error());
        if (!certificate) {
            fail_check(CheckId::snp_chain, to_string(certificate.error()), "an X.509 certificate", "evidence");
            return nullptr;
        }
        return std::make_shared<const X509Certificate>(std::move(*certificate));
    }

    // An intermediate that AMD has withdrawn, because its key is known. A list of the relying party's own is looked at
    // whatever the policy says, and instead of the host's: the host may hold back the newest.
    void revocation(ByteView of_host, const TrustedChain *chain) {
        const RevocationList *own = want_.endorsements.crl.get();
        if (own == nullptr && chain != nullptr)
            for (const auto &list : want_.endorsements.crls)
                if (own == nullptr && equal(list->issuer(), chain->ark->subject()))
                    own = list.get();
        if (own == nullptr && !policy_.revocation) {
            skip(CheckId::snp_revocation, of_host.empty() ? "no CRL" : "a CRL, not looked at");
            return;
        }
        if (chain == nullptr)
            return;
        const auto age = policy_.crl_maximum_age_days;
        const auto current = own != nullptr ? check_revocation(*own, *chain, want_.now, age)
                                            : check_revocation(of_host, *chain, want_.now, age);
        if (current)
            pass(CheckId::snp_revocation, *current, "a current CRL without this chain", root_);
        else
            fail_check(CheckId::snp_revocation, current.error().found, current.error().wanted, root_);
    }

    // a report that its own header attributes to no key, or to a key of the other kind (a VLEK vouches for no chip)
    void signing_key(const SnpReport &report, const X509Certificate &certificate, std::optional<VekKind> issuer_signs) {
        const auto vek = parse_vek_cert(certificate);
        if (!vek) {
            fail_check(CheckId::snp_signing_key, to_string(vek.error()), "a VCEK or VLEK certificate (AMD 57230)",
                       root_);
            return;
        }
        vek_ = appraisal_.vek = *vek;
        std::string found = "report: ";
        std::optional<VekKind> says;
        if (report.signing_key() == SigningKey::vcek)
            says = VekKind::vcek;
        else if (report.signing_key() == SigningKey::vlek)
            says = VekKind::vlek;
        found += says ? std::string{name(*says)} : "key " + std::to_string(report.key_info >> 2 & 7);
        found += report.chip_key_masked() ? " (masked)" : "";
        found += ", certificate: " + std::string{name(vek->kind)};
        if (issuer_signs)
            found += ", issued by the " + std::string{*issuer_signs == VekKind::vcek ? "ASK" : "ASVK"};
        auto &key = appraisal_.verdict.key_;
        key.agrees = says == vek->kind && !report.chip_key_masked() && (!issuer_signs || *issuer_signs == vek->kind);
        key.allowed = std::ranges::contains(policy_.signing_keys, vek->kind);
        judge(CheckId::snp_signing_key, key.agrees && key.allowed, std::move(found),
              "the same everywhere, one of " +
                  joined(policy_.signing_keys, [](VekKind kind) { return std::string{name(kind)}; }),
              "policy");
    }

    void product(const SnpReport &report, std::optional<Product> root_product) {
        std::string found = "certificate: " + vek_->product_name;
        bool agree = !root_product || *root_product == vek_->product;
        if (root_product)
            found += ", ARK: " + std::string{name(*root_product)};
        // version 2 has no CPUID bytes, and of an unknown version only the fields of version 2 are believed
        if (report.version >= 3 && known_report_version(report.version)) {
            const auto by_cpuid = product_of_cpuid(report.cpuid_family, report.cpuid_model);
            agree = agree && by_cpuid == vek_->product;
            found += ", CPUID: family " + hex_number(report.cpuid_family, 1) + " model " +
                     hex_number(report.cpuid_model, 1) + " (" +
                     (by_cpuid ? std::string{name(*by_cpuid)} : std::string{"no known root"}) + ")";
        }
        appraisal_.verdict.product_ = {.agrees = agree,
                                       .allowed = std::ranges::contains(policy_.products, vek_->product)};
        judge(CheckId::snp_product, agree && std::ranges::contains(policy_.products, vek_->product), std::move(found),
              "the same everywhere, one of " +
                  joined(policy_.products, [](Product product) { return std::string{name(product)}; }),
              "policy");
    }

    // ---- that the report is about this connection, now ------------------------------------------------------------
    void binding(const SnpReport &report, const Claims &claims, ByteView claims_bytes) {
        // a genuine report with somebody else's claims beside it
        const Sha512Digest wanted = report_data_for(claims_bytes);
        judge(CheckId::binding_report_data, equal(report.report_data, wanted), hex(report.report_data), hex(wanted),
              "evidence");

        const std::string_view anchor = want_.live ? "this connection" : "caller";
        // evidence of an earlier time, replayed: from before an update, or before the machine fell
        judge(CheckId::binding_nonce, want_.nonce.size() >= min_nonce_size && claims.nonce == want_.nonce,
              hex(claims.nonce), want_.nonce.empty() ? "a nonce of our own" : hex(want_.nonce), anchor);

        // a relay: another machine's genuine evidence, fetched over one connection and shown on another
        const std::string exporter = claims.exporter ? hex(*claims.exporter) : "null";
        if (const auto *ours = std::get_if<ByteArray<exporter_size>>(&want_.exporter))
            judge(CheckId::binding_exporter, claims.exporter && *claims.exporter == *ours, exporter, hex(*ours),
                  anchor);
        else if (std::holds_alternative<Skip>(want_.exporter))
            skip(CheckId::binding_exporter, exporter);
        else
            unsaid(CheckId::binding_exporter);

        // the peer of our connection is not the attested agent but someone in front of it
        if (const auto *ours = std::get_if<PublicKey>(&want_.peer_key))
            judge(CheckId::binding_key, claims.key == *ours, key_text(claims.key), key_text(*ours), anchor);
        else if (std::holds_alternative<Skip>(want_.peer_key))
            skip(CheckId::binding_key, key_text(claims.key));
        else
            unsaid(CheckId::binding_key);
    }

    // ---- what machine ---------------------------------------------------------------------------------------------
    void machine(ByteView raw, const SnpReport &report) {
        // fields that newer firmware gives a meaning to, which we would not look at
        const auto unknown = unknown_bits(raw, report, vek_ ? std::optional<Product>{vek_->product} : std::nullopt);
        const bool all_allowed = std::ranges::all_of(
            unknown, [&](const std::string &bit) { return std::ranges::contains(policy_.allowed_unknown_bits, bit); });
        judge(CheckId::snp_unknown_bits, all_allowed, joined(unknown, std::identity{}),
              "none but: " + joined(policy_.allowed_unknown_bits, std::identity{}), "policy");

        platform_info(report);
        // fixes of firmware that the TCB's numbers do not show; bit masks, so "at least" means "has these bits"
        mitigations(CheckId::snp_mitigation_launch, report, report.launch_mit_vector, policy_.launch_mitigations);
        mitigations(CheckId::snp_mitigation_current, report, report.current_mit_vector, policy_.current_mitigations);
        provisional(report);
        if (vek_) {
            tcb(report);
            advisories(report);
            chip(report);
        }
    }

    // firmware that the host can still take back: what vouched for this guest may be gone tomorrow
    void provisional(const SnpReport &report) {
        const auto text = [](const FirmwareVersion &v) {
            return std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.build);
        };
        const std::string found = "current " + text(report.current) + " TCB " + hex_number(report.current_tcb, 8) +
                                  ", committed " + text(report.committed) + " TCB " +
                                  hex_number(report.committed_tcb, 8);
        if (policy_.provisional_firmware)
            skip(CheckId::snp_provisional_firmware, found);
        else
            judge(CheckId::snp_provisional_firmware,
                  report.current == report.committed && report.current_tcb == report.committed_tcb, found,
                  "current firmware that is committed", "policy");
    }

    // known holes that a report shows as open; of those that the policy does not require the verdict only tells
    void advisories(const SnpReport &report) {
        std::string missed, unmet;
        for (const Advisory &advisory : cvmin::advisories()) {
            AdvisoryResult result = judge_advisory(advisory, report, vek_->product);
            result.required = policy_.advisories && std::ranges::contains(*policy_.advisories, advisory.id);
            if (result.required && result.state != AdvisoryState::met)
                missed += (missed.empty() ? "" : "; ") + advisory.id + " (" + result.why + ")";
            if (!result.required && result.state == AdvisoryState::unmet)
                unmet += (unmet.empty() ? "" : ", ") + advisory.id;
            appraisal_.advisories.push_back(std::move(result));
        }
        std::string found = missed.empty() ? "" : "required and not met: " + missed;
        if (!unmet.empty())
            found += (found.empty() ? "not required and not met: " : "; not required and not met: ") + unmet;
        if (found.empty())
            found = "none that this report shows as open";
        if (!policy_.advisories) {
            skip(CheckId::snp_advisories, std::move(found));
            return;
        }
        // one that this program does not know cannot be met, whoever made the policy
        const bool all_known = std::ranges::all_of(*policy_.advisories,
                                                   [](const std::string &id) { return find_advisory(id) != nullptr; });
        judge(CheckId::snp_advisories, missed.empty() && all_known, std::move(found),
              "met: " + joined(*policy_.advisories, std::identity{}), "policy");
    }

    void tcb(const SnpReport &report) {
        const Product product = vek_->product;
        const auto text = [product](const Tcb &value) { return to_string(product, value); };
        // a certificate for a newer TCB than the one whose (leaked) key signed
        const Tcb reported = decode_tcb(product, report.reported_tcb);
        judge(CheckId::snp_tcb_certificate, reported == vek_->tcb, text(reported), text(vek_->tcb), root_);

        // Firmware with known holes. All four, because each can lag behind the others: a guest that was launched before
        // an update keeps its launch TCB, and what is not committed can be rolled back.
        const struct {
            CheckId id;
            TcbKind kind;
            std::uint64_t value;
        } all[] = {{CheckId::snp_tcb_minimum_reported, TcbKind::reported, report.reported_tcb},
                   {CheckId::snp_tcb_minimum_committed, TcbKind::committed, report.committed_tcb},
                   {CheckId::snp_tcb_minimum_launch, TcbKind::launch, report.launch_tcb},
                   {CheckId::snp_tcb_minimum_current, TcbKind::current, report.current_tcb}};
        for (const auto &[id, kind, value] : all) {
            const Tcb found = decode_tcb(product, value);
            if (!std::ranges::contains(policy_.products, product)) { // then the policy has no minimum: see snp.product
                continue;
            }
            const auto minimum = wanted_minimum(want_, product, kind);
            const auto &of_policy =
                policy_.minimum_tcb[static_cast<std::size_t>(product)][static_cast<std::size_t>(kind)];
            const std::string_view anchor =
                minimum.value_or(Tcb{}) == of_policy.value_or(Tcb{}) ? "policy" : "collateral";
            if (minimum)
                judge(id, tcb_at_least(found, *minimum), text(found), "at least " + text(*minimum), anchor);
            else
                skip(id, text(found));
        }
    }

    void chip(const SnpReport &report) {
        const bool masked = all_zero(report.chip_id);
        appraisal_.verdict.chip_ = {.agrees =
                                        masked || vek_->kind == VekKind::vlek || report.chip_id == vek_->chip_id(),
                                    .allowed = !masked || policy_.masked_chip_id};
        // a report of one chip with the certificate of another (whose key the attacker has)
        if (masked && !policy_.masked_chip_id)
            fail_check(CheckId::snp_chip_id, "masked (zero)", "an unmasked CHIP_ID", "policy");
        else if (masked)
            skip(CheckId::snp_chip_id, "masked (zero)", "masked_chip_id: allowed");
        else if (vek_->kind == VekKind::vlek)
            skip(CheckId::snp_chip_id, hex(report.chip_id), "nothing: a VLEK names no chip");
        else
            judge(CheckId::snp_chip_id, report.chip_id == vek_->chip_id(), hex(report.chip_id), hex(vek_->chip_id()),
                  root_);

        // another machine with the same genuine image. A VCEK names the chip even where the report masks it.
        const ByteArray<64> id = vek_->kind == VekKind::vcek ? vek_->chip_id() : report.chip_id;
        // A VLEK vouches for no CHIP_ID: parse_policy() refuses the two together, and here they never pass.
        if (policy_.chip_ids)
            judge(CheckId::snp_chip_id_allowed,
                  vek_->kind == VekKind::vcek && !all_zero(id) && std::ranges::contains(*policy_.chip_ids, id), hex(id),
                  "one of " + joined(*policy_.chip_ids, [](const ByteArray<64> &chip) { return hex(chip); }), "policy");
        else
            skip(CheckId::snp_chip_id_allowed, hex(id));

        // a VLEK of another cloud provider
        if (policy_.csp_ids)
            judge(CheckId::snp_csp_id,
                  vek_->kind == VekKind::vlek && std::ranges::contains(*policy_.csp_ids, vek_->csp_id),
                  vek_->csp_id.empty() ? "none (VCEK)" : vek_->csp_id,
                  "one of " + joined(*policy_.csp_ids, std::identity{}), "policy");
        else
            skip(CheckId::snp_csp_id, vek_->csp_id.empty() ? "none (VCEK)" : vek_->csp_id);
    }

    void mitigations(CheckId id, const SnpReport &report, std::uint64_t vector, Skippable<std::uint64_t> required) {
        const bool present = report.version >= 5 && known_report_version(report.version);
        const std::string found =
            present ? hex_number(vector, 8) : "none in report version " + std::to_string(report.version);
        if (required)
            judge(id, present && (vector & *required) == *required, found, "has " + hex_number(*required, 8), "policy");
        else
            skip(id, found);
    }

    // a host that runs with less protection than the policy asks of it (aliased memory, no ECC, SMT on)
    void platform_info(const SnpReport &report) {
        named_bits<platform_info_bits.size()>(CheckId::snp_platform_info_smt, report.platform_info, platform_info_bits,
                                              policy_.platform_info);
    }

    // ---- what guest -----------------------------------------------------------------------------------------------
    void guest(const SnpReport &report) {
        measurement(report);

        // a guest started with other host-provided configuration than the one agreed, or for another computation
        host_data(report);

        // another guest than the one meant, of the same image; one that an agent may have moved here
        exact(CheckId::snp_report_id, report.report_id, policy_.report_id);
        exact(CheckId::snp_report_id_ma, report.report_id_ma, policy_.report_id_ma);

        // software of a lower privilege level of the same guest, or the host itself (0xffffffff), asking in its name
        const std::string level = report.vmpl == 0xffffffff ? "the host (0xffffffff)" : std::to_string(report.vmpl);
        if (policy_.vmpl || report.vmpl > 3)
            judge(CheckId::snp_vmpl, report.vmpl <= 3 && report.vmpl == policy_.vmpl, level,
                  policy_.vmpl ? std::to_string(*policy_.vmpl) : "a guest's, 0 to 3", "policy");
        else
            skip(CheckId::snp_vmpl, level);

        // launch options that open the guest: debugging decrypts it, a migration agent may move it away
        named_bits<guest_policy_bits.size()>(CheckId::snp_policy_debug, report.policy, guest_policy_bits,
                                             policy_.guest_policy);
        const AbiVersion abi{.major = static_cast<std::uint8_t>(report.policy >> 8 & 0xff),
                             .minor = static_cast<std::uint8_t>(report.policy & 0xff)};
        const auto abi_text = [](const AbiVersion &v) {
            return std::to_string(v.major) + "." + std::to_string(v.minor);
        };
        // a guest that lets itself be launched by firmware older than the features it relies on
        if (policy_.abi_minimum)
            judge(CheckId::snp_policy_abi, abi >= *policy_.abi_minimum, abi_text(abi),
                  "at least " + abi_text(*policy_.abi_minimum), "policy");
        else
            skip(CheckId::snp_policy_abi, abi_text(abi));

        id_block(report);
    }

    // Whether HOST_DATA must be the digest of the caller's manifest.
    bool launched_for_manifest() const {
        return want_.manifest && !(policy_.host_data && all_zero(*policy_.host_data));
    }

    void host_data(const SnpReport &report) {
        if (!launched_for_manifest())
            return exact(CheckId::snp_host_data, report.host_data, policy_.host_data);
        const bool both = policy_.host_data && *policy_.host_data != *want_.manifest; // cannot be met
        judge(CheckId::snp_host_data, !both && report.host_data == *want_.manifest,
              hex(report.host_data) + (all_zero(report.host_data) ? ", launched for no manifest" : ""),
              hex(*want_.manifest) + ", the manifest" + (both ? ", and " + hex(*policy_.host_data) : ""), "caller");
    }

    void measurement(const SnpReport &report) {
        const auto &listed = policy_.measurements;
        const auto texts = [](const std::vector<Sha384Digest> &digests) {
            return joined(digests, [](const Sha384Digest &digest) { return hex(digest); });
        };
        const bool in_policy = listed.empty() || std::ranges::contains(listed, report.measurement);
        if (want_.signer_vouches && want_.measurements.empty()) {
            // Software that nobody signed, or somebody else, or a release that is too old. Before it started the guest,
            // the AMD-SP compared the digest with the one in the ID block and verified the block's signature: the key's
            // digest is in the report only then.
            const Signer *signer = policy_.signer ? &*policy_.signer : nullptr;
            judge(CheckId::snp_measurement, signer != nullptr && signed_by(*signer, report) && in_policy,
                  hex(report.measurement) + (all_zero(report.id_key_digest)
                                                 ? std::string{", without an ID block"}
                                                 : ", in an ID block with SVN " + std::to_string(report.guest_svn)),
                  (signer != nullptr ? "any digest that the policy's signer signed, with an SVN of at least " +
                                           std::to_string(signer->guest_svn_minimum)
                                     : std::string{"a signer in the policy"}) +
                      (listed.empty() ? "" : ", and one of the policy's: " + texts(listed)),
                  "image signer");
            return;
        }
        if (want_.measurements.empty() && listed.empty() && policy_.any_measurement) {
            // Of a report by itself nothing follows. Evidence opens a connection to whatever was launched: there the
            // policy's "skip" is no answer.
            if (appraisal_.verdict.report_only_)
                skip(CheckId::snp_measurement, hex(report.measurement));
            else
                fail_check(CheckId::snp_measurement, hex(report.measurement),
                           "a launch digest or a signer: the policy's \"skip\" is for a report by itself", "policy");
            return;
        }
        // any other software in the place of ours
        const bool by_caller = !want_.measurements.empty();
        judge(CheckId::snp_measurement,
              (by_caller ? std::ranges::contains(want_.measurements, report.measurement) : !listed.empty()) &&
                  in_policy,
              hex(report.measurement),
              by_caller && !listed.empty() ? texts(want_.measurements) + ", and one of the policy's: " + texts(listed)
                                           : texts(by_caller ? want_.measurements : listed),
              by_caller ? "image builder" : "policy");
    }

    // One of the keys stands in the report, which zeros never do: they mean that there was none.
    static bool one_of_keys(const std::vector<Sha384Digest> &keys, const Sha384Digest &found) {
        return !all_zero(found) && std::ranges::contains(keys, found);
    }

    static bool signed_by(const Signer &signer, const SnpReport &report) {
        const bool names_a_key = !signer.id_key_digests.empty() || !signer.author_key_digests.empty();
        const bool id_key = signer.id_key_digests.empty() ? !all_zero(report.id_key_digest)
                                                          : one_of_keys(signer.id_key_digests, report.id_key_digest);
        const bool author =
            signer.author_key_digests.empty() ||
            (report.author_key_enabled() && one_of_keys(signer.author_key_digests, report.author_key_digest));
        return names_a_key && id_key && author && report.guest_svn >= signer.guest_svn_minimum &&
               (!signer.family_id || *signer.family_id == report.family_id) &&
               (!signer.image_id || *signer.image_id == report.image_id);
    }

    // Another signer's image, or an older release of the same signer's (rolled back). parse_policy() refuses such
    // demands without a key that vouches for the ID block, and here they then never pass. What the policy's signer says
    // and what its single members say must both hold.
    void id_block(const SnpReport &report) {
        static const Signer nobody;
        const Signer &signer = policy_.signer ? *policy_.signer : nobody;
        const bool vouched = id_block_is_vouched_for(policy_);
        exact_of_both(CheckId::snp_family_id, report.family_id, policy_.family_id, signer.family_id, vouched);
        exact_of_both(CheckId::snp_image_id, report.image_id, policy_.image_id, signer.image_id, vouched);
        if (policy_.guest_svn_minimum || policy_.signer) {
            const std::uint32_t minimum = std::max(policy_.guest_svn_minimum.value_or(0), signer.guest_svn_minimum);
            judge(CheckId::snp_guest_svn, vouched && report.guest_svn >= minimum, std::to_string(report.guest_svn),
                  "at least " + std::to_string(minimum) + (vouched ? "" : no_id_key), "policy");
        } else {
            skip(CheckId::snp_guest_svn, std::to_string(report.guest_svn));
        }
        key(CheckId::snp_id_key_digest, report.id_key_digest, true, policy_.id_key_digest, signer.id_key_digests);
        // bytes that stand there without AUTHOR_KEY_EN were not checked by the AMD-SP
        key(CheckId::snp_author_key_digest, report.author_key_digest, report.author_key_enabled(),
            policy_.author_key_digest, signer.author_key_digests);
    }

    void key(CheckId id, const Sha384Digest &found, bool enabled, const Skippable<Sha384Digest> &of_policy,
             const std::vector<Sha384Digest> &of_signer) {
        const std::string text = hex(found) + (enabled ? "" : " (not enabled)");
        std::string wanted = of_policy ? hex(*of_policy) : "";
        if (!of_signer.empty())
            wanted += (of_policy ? ", and one of " : "one of ") +
                      joined(of_signer, [](const Sha384Digest &digest) { return hex(digest); });
        if (wanted.empty())
            skip(id, text);
        else
            judge(id,
                  enabled && (!of_policy || found == *of_policy) &&
                      (of_signer.empty() || one_of_keys(of_signer, found)),
                  text, wanted, "policy");
    }

    // ---- what the agent says beyond its key -----------------------------------------------------------------------
    void claimed(const Claims &claims) {
        const auto text = [](const auto &digest) { return digest ? hex(*digest) : std::string{"null"}; };
        // a computation other than the one agreed
        if (want_.manifest)
            judge(CheckId::claims_manifest,
                  claims.manifest == want_.manifest && (!policy_.manifest || policy_.manifest == want_.manifest),
                  text(claims.manifest),
                  hex(*want_.manifest) +
                      (policy_.manifest && policy_.manifest != want_.manifest ? ", and " + hex(*policy_.manifest) : ""),
                  "caller");
        else if (policy_.manifest)
            judge(CheckId::claims_manifest, claims.manifest == policy_.manifest, text(claims.manifest),
                  hex(*policy_.manifest), "policy");
        else
            skip(CheckId::claims_manifest, text(claims.manifest));
        // another boot than the one that was looked at before: the vTPM's key is new in each
        if (policy_.ak)
            judge(CheckId::claims_ak, claims.ak == policy_.ak, text(claims.ak), hex(*policy_.ak), "policy");
        else
            skip(CheckId::claims_ak, text(claims.ak));
    }

    // ---- what was booted and what has happened since --------------------------------------------------------------
    void measured(const Evidence &evidence, const Claims &claims, const SnpReport *report) {
        svsm(evidence, report);
        VtpmJudged vtpm =
            judge_vtpm(evidence, claims, want_, appraisal_.verdict[CheckId::tpm_svsm].outcome == Outcome::passed);
        appraisal_.vtpm = vtpm.anchor;
        for (VerdictRow &row : vtpm.rows)
            set(row.id, row.outcome, std::move(row.found), std::move(row.wanted), row.anchor);
        for (VerdictRow &row : judge_runtime_log(evidence, claims, want_, vtpm.pcrs))
            set(row.id, row.outcome, std::move(row.found), std::move(row.wanted), row.anchor);
    }

    // A TPM of the host's that is passed off as the SVSM's: only software of VMPL 0, which the launch digest covers,
    // gets a report of that level, and its REPORT_DATA names the EK.
    void svsm(const Evidence &evidence, const SnpReport *own) {
        constexpr const char *wanted =
            "a report at VMPL 0 of this guest, by the same key, over our REPORT_DATA and the EK of the evidence";
        if (!policy_.vtpm || !policy_.vtpm->svsm) {
            skip(CheckId::tpm_svsm, evidence.svsm ? "an attestation of an SVSM, not looked at" : "none");
            return;
        }
        const std::string_view anchor = root_ == "nothing" ? "evidence" : root_;
        if (!evidence.svsm) {
            fail_check(CheckId::tpm_svsm, "none", wanted, anchor);
            return;
        }
        if (own == nullptr || !vek_)
            return;
        const auto report = parse_snp_report(evidence.svsm->report);
        std::string problem;
        if (!report) {
            problem = to_string(report.error());
        } else if (const auto verified = verify_report_signature(evidence.svsm->report, vek_->key); !verified) {
            problem = "signature: " + to_string(verified.error());
        } else {
            Bytes message = to_bytes(own->report_data);
            message.insert(message.end(), evidence.svsm->manifest.begin(), evidence.svsm->manifest.end());
            const bool same_guest = report->version == own->version && report->report_id == own->report_id &&
                                    report->measurement == own->measurement && report->chip_id == own->chip_id &&
                                    report->policy == own->policy && report->host_data == own->host_data &&
                                    report->reported_tcb == own->reported_tcb && report->key_info == own->key_info;
            if (report->vmpl != 0)
                problem = "asked for by VMPL " + std::to_string(report->vmpl);
            else if (own->vmpl == 0 || own->vmpl > 3) // whoever asks at VMPL 0 can put any EK into a report
                problem = "our own report is of VMPL " + std::to_string(own->vmpl) + ", where no SVSM is above us";
            else if (!same_guest)
                problem = "of another guest";
            else if (!equal(report->report_data, sha512(message)))
                problem = "REPORT_DATA " + hex(report->report_data);
            else if (evidence.svsm->service_guid != vtpm_service)
                problem = "of another service: " + evidence.svsm->service_guid;
            else if (!evidence.tpm || evidence.svsm->manifest != evidence.tpm->ek_public)
                problem = "another EK than the evidence has";
        }
        judge(CheckId::tpm_svsm, problem.empty(), problem.empty() ? "such a report" : problem, wanted, anchor);
    }

    // ---- rows of the verdict --------------------------------------------------------------------------------------
    void set(CheckId id, Outcome outcome, std::string found, std::string wanted, std::string_view anchor) {
        Check &check = appraisal_.verdict.checks_[static_cast<std::size_t>(id)];
        check.outcome = outcome;
        check.found = std::move(found);
        check.wanted = std::move(wanted);
        check.anchor = anchor;
    }
    void judge(CheckId id, bool holds, std::string found, std::string wanted, std::string_view anchor) {
        set(id, holds ? Outcome::passed : Outcome::failed, std::move(found), std::move(wanted), anchor);
    }
    void pass(CheckId id, std::string found, std::string wanted, std::string_view anchor) {
        set(id, Outcome::passed, std::move(found), std::move(wanted), anchor);
    }
    void fail_check(CheckId id, std::string found, std::string wanted, std::string_view anchor) {
        set(id, Outcome::failed, std::move(found), std::move(wanted), anchor);
    }
    void unsaid(CheckId id) {
        set(id, Outcome::not_made, "the caller said neither what is wanted nor skip", {}, "nothing");
    }
    void skip(CheckId id, std::string found, std::string wanted = "skip") {
        set(id, Outcome::skipped, std::move(found), std::move(wanted), "nothing");
    }
    template <std::size_t N>
    void exact(CheckId id, const ByteArray<N> &found, const Skippable<ByteArray<N>> &wanted, bool vouched = true) {
        if (wanted)
            judge(id, vouched && found == *wanted, hex(found), hex(*wanted) + (vouched ? "" : no_id_key), "policy");
        else
            skip(id, hex(found));
    }
    template <std::size_t N>
    void exact_of_both(CheckId id, const ByteArray<N> &found, const Skippable<ByteArray<N>> &one,
                       const Skippable<ByteArray<N>> &other, bool vouched) {
        if (one && other && *one != *other)
            fail_check(id, hex(found), hex(*one) + " and " + hex(*other), "policy"); // cannot be met
        else
            exact(id, found, one ? one : other, vouched);
    }
    // The checks of a bit table follow each other in CVMIN_APPRAISAL_TABLE in the table's order (a test compares
    // names).
    template <std::size_t N>
    void named_bits(CheckId first, std::uint64_t value, const std::array<NamedBit, N> &bits,
                    const std::array<Skippable<bool>, N> &wanted) {
        for (std::size_t i = 0; i < N; ++i) {
            const auto id = static_cast<CheckId>(static_cast<std::size_t>(first) + i);
            const bool set_there = (value >> bits[i].bit & 1) != 0;
            if (wanted[i])
                judge(id, set_there == *wanted[i], bit_text(set_there), bit_text(*wanted[i]), "policy");
            else
                skip(id, bit_text(set_there));
        }
    }

    Appraisal finish() {
        for (Check &check : appraisal_.verdict.checks_)
            if (check.outcome == Outcome::not_made && check.found.empty())
                check.found = "nothing to look at: another check failed";
        return std::move(appraisal_);
    }

    static constexpr const char *no_claims = "none";
    // The vTPM among an SVSM's services (58019, table of its protocols; Linux's documentation of configfs-tsm).
    static constexpr std::string_view vtpm_service = "c476f1eb-0123-45a5-9641-b4e7dde5bfe3";
    static constexpr const char *no_id_key = ", in an ID block whose key the policy names";

    const Expectations &want_;
    const Policy &policy_;
    Appraisal appraisal_;
    std::string_view root_ = "nothing"; // who the chain ends at, once it holds
    std::optional<VekCert> vek_;
};

std::string_view vtpm_note(std::string_view vtpm) {
    if (vtpm == host_vtpm)
        return "The vTPM is run by the host, who can make it say what it likes. Quote, PCRs, event log and IMA list "
               "are "
               "consistent or not with each other and with the image; they add no trust to the launch digest.";
    if (vtpm == svsm_vtpm)
        return "The vTPM is the SVSM's, inside of the guest and covered by its launch digest: the host cannot make it "
               "speak.";
    return {};
}

Appraisal appraise(ByteView evidence, const Expectations &expectations) {
    return EvidenceAppraiser{expectations}.run(evidence);
}

std::optional<Tcb> wanted_minimum(const Expectations &expectations, Product product, TcbKind kind) {
    const auto at = static_cast<std::size_t>(product);
    const auto of = static_cast<std::size_t>(kind);
    const auto &minimum = expectations.policy.minimum_tcb[at][of];
    // what the signed collateral adds only ever raises a level
    if (const auto &own = expectations.endorsements.minimum_tcb[at][of])
        return tcb_highest(minimum.value_or(Tcb{}), *own);
    return minimum;
}

Appraisal appraise_report(ByteView report, ByteView certificates, const Expectations &expectations) {
    return EvidenceAppraiser{expectations}.run_report(report, certificates);
}

} // namespace cvmin
