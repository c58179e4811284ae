// What a vTPM's quote and the logs beside it show. Each row says in one comment what attack it stops.
#include "host-tools/appraise/measured_boot.hpp"

#include "host-tools/base/text.hpp"
#include "host-tools/measured/boot_events.hpp"
#include "host-tools/measured/ima_log.hpp"
#include "host-tools/measured/quote.hpp"

#include <algorithm>
#include <bit>

namespace cvmin {

namespace {

// The list is read after the quote is made, and may have grown meanwhile.
constexpr std::size_t max_ima_entries_after_quote = 16;
constexpr std::uint32_t firmware_and_kernel = 0xffff; // PCR 0 to 15
constexpr unsigned ima_pcr = 10;                      // CONFIG_IMA_MEASURE_PCR_IDX
constexpr unsigned runtime_pcr = 15;                  // the agent's (common/runtime_log.hpp)
constexpr unsigned first_application_pcr = 16;        // debug and dynamic launch: no firmware log speaks of them
constexpr std::size_t max_named = 3;                  // PCRs or files in one row; the rest is counted
constexpr std::string_view boot_aggregate = "boot_aggregate";

std::string pcr_list(std::uint32_t mask) {
    std::string out;
    for (unsigned pcr = 0; pcr < 32; ++pcr) {
        if ((mask >> pcr & 1) == 0)
            continue;
        unsigned last = pcr;
        while (last < 31 && (mask >> (last + 1) & 1) != 0)
            ++last;
        out += (out.empty() ? "" : ",") + std::to_string(pcr);
        if (last > pcr)
            out += (last == pcr + 1 ? "," : "-") + std::to_string(last);
        pcr = last;
    }
    return out.empty() ? "none" : out;
}
std::string text(const request::PcrSelection &selection) {
    return std::string{name(selection.bank)} + ":" + pcr_list(selection.mask);
}
std::string text(const std::vector<TpmPcrSelection> &selections) {
    std::string out;
    for (const TpmPcrSelection &each : selections)
        out += (out.empty() ? "" : "+") + std::string{name(each.alg)} + ":" + pcr_list(each.pcrs);
    return out.empty() ? "no bank" : out;
}

// As TCG asks of a key whose quotes can be believed: made in this TPM, never out of it, signs nothing but what the TPM
// itself made.
constexpr std::uint32_t ak_must = tpma_object::fixed_tpm | tpma_object::fixed_parent |
                                  tpma_object::sensitive_data_origin | tpma_object::restricted | tpma_object::sign;
constexpr std::uint32_t ak_must_not = tpma_object::decrypt | tpma_object::x509_sign;

class Judge {
  public:
    Judge(const Evidence &evidence, const Claims &claims, const Expectations &want, bool of_svsm)
        : evidence_(evidence), claims_(claims), want_(want), policy_(want.policy), of_svsm_(of_svsm) {}

    VtpmJudged run() {
        if (!policy_.vtpm) {
            skip_all();
            return std::move(out_);
        }
        out_.anchor = host_vtpm;
        if (!policy_.vtpm->credential)
            skip(CheckId::tpm_credential, "");
        if (!policy_.vtpm->ek_certificate)
            skip(CheckId::tpm_ek, "");
        if (!evidence_.tpm) {
            // a machine whose TPM was taken away, so that nothing shows what it booted
            fail(CheckId::tpm_quote, "no vTPM in the evidence", "a quote of " + text(selection()));
            out_.anchor = {};
            return finish();
        }
        const TpmEvidence &tpm = *evidence_.tpm;
        credential(tpm);
        // an AK that is not in the SVSM's TPM could be anybody's, the host's too
        if (of_svsm_ && credential_passed_)
            out_.anchor = svsm_vtpm;
        endorsement(tpm);
        quote(tpm);
        if (whole_) {
            pcrs();
            event_log();
            ima();
        }
        return finish();
    }

  private:
    VtpmJudged finish() {
        if (!policy_.pcrs)
            skip(CheckId::tpm_pcrs, "");
        if (!policy_.event_log)
            skip(CheckId::tpm_event_log, shown(evidence_.event_log));
        if (!policy_.boot_events)
            skip(CheckId::tpm_boot_events, shown(evidence_.event_log));
        if (!policy_.ima)
            for (const CheckId id : {CheckId::ima_replay, CheckId::ima_boot_aggregate, CheckId::ima_allowed})
                skip(id, shown(evidence_.ima_log));
        return std::move(out_);
    }
    void skip_all() {
        const std::string found = evidence_.tpm ? "a quote, not looked at" : "no quote";
        for (const CheckId id : {CheckId::tpm_quote, CheckId::tpm_ak, CheckId::tpm_signature, CheckId::tpm_extra_data,
                                 CheckId::tpm_pcr_digest, CheckId::tpm_clock, CheckId::tpm_ek, CheckId::tpm_credential})
            skip(id, found);
        for (const CheckId id : {CheckId::tpm_pcrs, CheckId::tpm_event_log, CheckId::tpm_boot_events,
                                 CheckId::ima_replay, CheckId::ima_boot_aggregate, CheckId::ima_allowed})
            skip(id, found);
    }
    static std::string shown(const Bytes &log) {
        return log.empty() ? "none" : std::to_string(log.size()) + " bytes, not looked at";
    }

    // ---- rows -----------------------------------------------------------------------------------------------------
    void add(CheckId id, Outcome outcome, std::string found, std::string wanted, std::string_view anchor) {
        out_.rows.push_back({id, outcome, std::move(found), std::move(wanted), anchor});
    }
    bool judge(CheckId id, bool holds, std::string found, std::string wanted, std::string_view anchor = {}) {
        add(id, holds ? Outcome::passed : Outcome::failed, std::move(found), std::move(wanted),
            anchor.empty() ? out_.anchor : anchor);
        return holds;
    }
    void fail(CheckId id, std::string found, std::string wanted, std::string_view anchor = {}) {
        judge(id, false, std::move(found), std::move(wanted), anchor);
    }
    void skip(CheckId id, std::string found) {
        if (std::ranges::none_of(out_.rows, [id](const VerdictRow &row) { return row.id == id; }))
            add(id, Outcome::skipped, found.empty() ? "not looked at" : std::move(found), "skip", "nothing");
    }

    // ---- the TPM and its keys -------------------------------------------------------------------------------------
    request::PcrSelection selection() const { return want_.pcrs ? *want_.pcrs : wanted_quote(policy_).value(); }

    void credential(const TpmEvidence &tpm) {
        if (!policy_.vtpm->credential)
            return;
        // an AK that lives in no TPM, or in another one than the EK is of
        constexpr const char *wanted = "the credential for this EK and AK comes back over this connection";
        if (const auto *ours = std::get_if<TpmActivation>(&want_.activation)) {
            const bool same = ours->ek_public == sha256(tpm.ek_public) && ours->ak_public == sha256(tpm.ak_public);
            credential_passed_ = judge(CheckId::tpm_credential, same && ours->answered,
                                       same ? ours->found : "a credential for other keys than the evidence has", wanted,
                                       want_.live ? "this connection" : "caller");
        } else if (std::holds_alternative<Skip>(want_.activation)) {
            skip(CheckId::tpm_credential, "not tried");
        } else {
            add(CheckId::tpm_credential, Outcome::not_made, "the caller said neither what came back nor skip", {},
                "nothing");
        }
    }

    void endorsement(const TpmEvidence &tpm) {
        if (!policy_.vtpm->ek_certificate)
            return;
        // a TPM that somebody wrote in software and calls hardware
        const auto identity = check_ek_certificate(tpm.ek_certificate, tpm.ek_public, want_.ek_authorities, want_.now);
        constexpr const char *wanted = "a certificate of this EK by an authority that the caller names";
        if (identity)
            judge(CheckId::tpm_ek, true,
                  identity->path + " (" + identity->manufacturer + " " + identity->model + " " + identity->version +
                      ")",
                  wanted, "EK authority");
        else
            fail(CheckId::tpm_ek, identity.error().found, wanted + std::string{": "} + identity.error().wanted,
                 "EK authority");
    }

    // ---- the quote ------------------------------------------------------------------------------------------------
    void quote(const TpmEvidence &tpm) {
        const auto wanted = selection();
        const auto attest = parse_attest(tpm.attest);
        const auto key = parse_public(tpm.ak_public);
        attestation_key(tpm, key, attest);
        if (!attest) {
            fail(CheckId::tpm_quote, to_string(attest.error()), "a quote of " + text(wanted));
            return;
        }
        // other data that the TPM signs (a key's certification, a time stamp), and a quote of fewer or of other PCRs
        // than were asked for: what is not in it may have any value
        const std::uint32_t needed = needed_pcrs();
        const bool exact = attest->selection.size() == 1 && attest->selection[0].alg == policy_.vtpm->bank &&
                           (wanted.mask & needed) == needed && attest->selection[0].alg == wanted.bank &&
                           attest->selection[0].pcrs == wanted.mask;
        std::string found;
        if (attest->magic != tpm_generated_value)
            found = "not made by a TPM: magic " + hex_number(attest->magic, 4);
        else if (attest->type != tpm_st_attest_quote)
            found = "no quote: type " + hex_number(attest->type, 2);
        else
            found = text(attest->selection) + (attest->safe ? "" : ", clock not safe");
        bool good =
            judge(CheckId::tpm_quote,
                  attest->magic == tpm_generated_value && attest->type == tpm_st_attest_quote && exact && attest->safe,
                  std::move(found),
                  "a quote of " + text(wanted) +
                      (wanted.bank == policy_.vtpm->bank && (wanted.mask & needed) == needed
                           ? ""
                           : ", and of what the policy looks at: " +
                                 text(request::PcrSelection{.bank = policy_.vtpm->bank, .mask = needed})) +
                      ", clock safe");

        // a quote that anybody wrote
        const auto signature = parse_signature(tpm.signature);
        const auto verified = !signature ? Result<void>{std::unexpected(signature.error())}
                              : !key     ? Result<void>{std::unexpected(key.error())}
                                         : verify_tpm_signature(tpm.attest, *signature, *key);
        good = judge(CheckId::tpm_signature, verified.has_value(),
                     verified ? "verifies with the AK" : to_string(verified.error()), "the AK's, over TPMS_ATTEST") &&
               good;

        // a genuine quote of another time or for another question
        const Sha256Digest asked = sha256(evidence_.claims);
        good = judge(CheckId::tpm_extra_data, equal(attest->extra_data, asked), hex(attest->extra_data), hex(asked)) &&
               good;

        // PCR values that the quote is not about
        good = pcr_values(tpm, *attest, signature ? signature->hash : no_hash, wanted) && good;
        clock(tpm, *attest);
        whole_ = good && ak_passed_;
        if (whole_)
            for (const PcrValue &value : tpm.pcr_values.values)
                out_.pcrs.emplace(value.index, TpmDigest{value.digest});
    }

    // Whoever asks for less than the policy looks at would have logs believed that no quote is about.
    std::uint32_t needed_pcrs() const {
        std::uint32_t needed = policy_.event_log || policy_.boot_events || policy_.ima ? firmware_and_kernel : 0;
        if (policy_.pcrs)
            for (const auto &[pcr, values] : *policy_.pcrs)
                needed |= 1u << pcr;
        return needed;
    }

    static std::string hex_number(std::uint64_t value, std::size_t bytes) {
        ByteArray<8> big_endian;
        store_be(big_endian, value);
        return "0x" + hex(ByteView{big_endian}.last(bytes));
    }

    void attestation_key(const TpmEvidence &tpm, const Result<TpmtPublic> &key, const Result<TpmsAttest> &attest) {
        // a key that signs what its user hands it is no witness; neither is one that the claims do not name, which the
        // host could put beside genuine claims
        constexpr const char *wanted =
            "a restricted signing key of this TPM's endorsement hierarchy, with the digest that the claims name";
        const Sha256Digest digest = sha256(tpm.ak_public);
        std::string problem;
        if (!key)
            problem = to_string(key.error());
        else if ((key->attributes & ak_must) != ak_must || (key->attributes & ak_must_not) != 0)
            problem = "attributes " + hex_number(key->attributes, 4);
        else if (key->scheme == TpmAlgId::null)
            problem = "no signature scheme of its own";
        else if (!claims_.ak)
            problem = "the claims name no AK";
        else if (*claims_.ak != digest)
            problem = "digest " + hex(digest) + ", the claims have " + hex(*claims_.ak);
        else if (attest) {
            const auto own = tpm_name(tpm.ak_public);
            const auto qualified = own ? tpm_qualified_name(tpm_rh_endorsement, *own) : own;
            if (!qualified)
                problem = to_string(qualified.error());
            else if (!equal(*qualified, attest->qualified_signer))
                problem = "the quote is signed by " + hex(attest->qualified_signer);
        }
        ak_passed_ = judge(CheckId::tpm_ak, problem.empty(), problem.empty() ? hex(digest) : problem, wanted);
    }

    bool pcr_values(const TpmEvidence &tpm, const TpmsAttest &attest, TpmAlg hash,
                    const request::PcrSelection &wanted) {
        std::uint32_t there = 0;
        std::vector<ByteView> values;
        for (const PcrValue &value : tpm.pcr_values.values) {
            there |= 1u << value.index;
            values.emplace_back(value.digest);
        }
        const TpmDigest digest = pcr_digest(hash, values);
        const bool same = tpm.pcr_values.bank == wanted.bank && there == wanted.mask;
        return judge(CheckId::tpm_pcr_digest, same && !digest.empty() && equal(digest.view(), attest.pcr_digest),
                     same ? hex(digest.view())
                          : "values of " + text(request::PcrSelection{.bank = tpm.pcr_values.bank, .mask = there}),
                     hex(attest.pcr_digest) + ", over " + text(wanted));
    }

    void clock(const TpmEvidence &tpm, const TpmsAttest &attest) {
        const std::string found = "reset " + std::to_string(attest.reset_count) + ", restart " +
                                  std::to_string(attest.restart_count) + ", clock " + std::to_string(attest.clock) +
                                  " ms";
        // a TPM that was reset and filled anew since we last looked: the machine is not the one that booted
        if (!want_.earlier_quote) {
            judge(CheckId::tpm_clock, true, found, "any: the first quote of this session");
            return;
        }
        const auto now = tpm_epoch(tpm);
        const auto problem = now ? epoch_problem(*want_.earlier_quote, *now) : to_string(now.error());
        judge(CheckId::tpm_clock, !problem, problem ? found + ": " + *problem : found,
              "after reset " + std::to_string(want_.earlier_quote->reset_count) + ", restart " +
                  std::to_string(want_.earlier_quote->restart_count) + ", clock " +
                  std::to_string(want_.earlier_quote->clock) + " ms");
    }

    // ---- what was booted ------------------------------------------------------------------------------------------
    void pcrs() {
        if (!policy_.pcrs)
            return;
        // other software than the values were taken from
        std::string found, wanted;
        bool holds = true;
        for (const auto &[pcr, values] : *policy_.pcrs) {
            const auto quoted = out_.pcrs.find(pcr);
            const bool there = quoted != out_.pcrs.end();
            holds = holds && there && std::ranges::any_of(values, [&](const Bytes &value) {
                        return equal(value, quoted->second.view());
                    });
            const std::string name = (found.empty() ? "" : "; ") + std::string{"PCR "} + std::to_string(pcr) + " ";
            found += name + (there ? hex(quoted->second.view()) : "not quoted");
            std::string any;
            for (const Bytes &value : values)
                any += (any.empty() ? "" : " or ") + hex(value);
            wanted += name + any;
        }
        judge(CheckId::tpm_pcrs, holds, std::move(found), std::move(wanted));
    }

    void event_log() {
        if (!policy_.event_log)
            return;
        constexpr const char *wanted = "replays to every quoted PCR of the firmware's";
        const TpmAlg bank = policy_.vtpm->bank;
        const auto log = parse_event_log(evidence_.event_log);
        if (!log) {
            fail(CheckId::tpm_event_log, evidence_.event_log.empty() ? "no event log" : to_string(log.error()), wanted);
            return;
        }
        std::map<unsigned, TpmDigest> firmware;
        for (const auto &[pcr, value] : out_.pcrs)
            if (pcr != ima_pcr && pcr != runtime_pcr && pcr < first_application_pcr)
                firmware.emplace(pcr, value);
        // a log that tells another boot than the one that was measured
        const auto differences = compare_pcrs(*log, bank, firmware);
        std::string found;
        if (!differences) {
            found = to_string(differences.error());
        } else if (differences->empty()) {
            found = std::to_string(log->events.size()) + " events replay";
        } else {
            for (std::size_t i = 0; i < std::min(differences->size(), max_named); ++i)
                found += (i == 0 ? "" : "; ") + printable_line(to_string((*differences)[i], *log));
            if (differences->size() > max_named)
                found += "; and " + std::to_string(differences->size() - max_named) + " more";
        }
        const bool same = judge(CheckId::tpm_event_log, differences && differences->empty() && !firmware.empty(),
                                std::move(found), wanted);
        if (policy_.boot_events && same) // else the log's events are nobody's word
            boot_events(*log, bank);
    }

    void boot_events(const EventLog &log, TpmAlg bank) {
        const auto files = std::ranges::find(want_.boot_files, bank, &BootFiles::bank);
        if (files == want_.boot_files.end()) {
            fail(CheckId::tpm_boot_events, "no image is known whose files could be compared",
                 "the kernel, initramfs and command line of the image (--image)");
            return;
        }
        // another kernel, initramfs or command line than the image's
        const auto check = check_boot_events(
            log, bank, {.kernel = files->kernel, .initrd = files->initrd, .load_options = files->load_options});
        if (check)
            judge(CheckId::tpm_boot_events, check->holds, printable_line(check->found), check->wanted);
        else
            fail(CheckId::tpm_boot_events, to_string(check.error()), "events of the image's files");
    }

    // ---- what was executed ----------------------------------------------------------------------------------------
    void ima() {
        if (!policy_.ima)
            return;
        constexpr const char *wanted = "replays to the quoted PCR 10";
        auto log = parse_ima_log(evidence_.ima_log);
        if (!log || log->entries.empty()) {
            fail(CheckId::ima_replay, log ? "no measurement list" : to_string(log.error()), wanted);
            return;
        }
        const std::vector<ImaEntry> all = log->entries;
        const auto quoted = out_.pcrs.find(ima_pcr);
        std::string found = quoted == out_.pcrs.end() ? "PCR 10 is not quoted" : "";
        bool same = false;
        std::size_t later = 0;
        for (; found.empty() && !same && later <= max_ima_entries_after_quote && !log->entries.empty(); ++later) {
            const auto replayed = replay_ima(*log, policy_.vtpm->bank);
            if (!replayed)
                found = to_string(replayed.error());
            else
                same = replayed->hashed == quoted->second;
            log->entries.pop_back();
        }
        if (same)
            found = std::to_string(all.size()) + " entries replay" +
                    (later > 1 ? ", the last " + std::to_string(later - 1) + " measured after the quote" : "");
        else if (found.empty())
            found = std::to_string(all.size()) + " entries replay to another value than " + hex(quoted->second.view());
        // a list from which a file was taken, or that was cut off
        if (!judge(CheckId::ima_replay, same, std::move(found), wanted))
            return;
        aggregate(all.front());
        allowed(all);
    }

    void aggregate(const ImaEntry &first) {
        // a list of another boot, or one whose beginning is missing
        const auto hash = tpm_hash_by_name(first.hash);
        std::vector<TpmDigest> values;
        const unsigned last = hash == TpmAlg::sha1 ? 7 : 9;
        for (unsigned pcr = 0; pcr <= last; ++pcr)
            if (const auto quoted = out_.pcrs.find(pcr); quoted != out_.pcrs.end())
                values.push_back(quoted->second);
        const bool complete = hash == policy_.vtpm->bank && values.size() == last + 1;
        const TpmDigest wanted = complete ? ima_boot_aggregate(*hash, values) : TpmDigest{};
        judge(CheckId::ima_boot_aggregate,
              complete && first.known && first.path == boot_aggregate && equal(first.digest, wanted.view()),
              printable_line(std::string{first.path}) + " " + std::string{first.known ? first.hash : "unknown"} + ":" +
                  hex(first.digest),
              complete
                  ? std::string{boot_aggregate} + " " + hex(wanted.view())
                  : std::string{boot_aggregate} + " over PCR 0 to 9 of bank " + std::string{name(policy_.vtpm->bank)});
    }

    void allowed(const std::vector<ImaEntry> &entries) {
        // a program that nobody agreed to, however it came there
        std::string found;
        std::size_t strangers = 0;
        for (std::size_t i = 1; i < entries.size(); ++i) { // the first is boot_aggregate
            const ImaEntry &entry = entries[i];
            const bool fine = entry.known && !entry.violation && entry.hash == "sha256" &&
                              std::ranges::any_of(*policy_.ima, [&entry](const AllowedFile &file) {
                                  return equal(entry.digest, file.digest) && (!file.path || *file.path == entry.path);
                              });
            if (fine)
                continue;
            if (++strangers <= max_named)
                found += (found.empty() ? "" : "; ") +
                         (entry.known ? printable_line(std::string{entry.path}) + " " + std::string{entry.hash} + ":" +
                                            hex(entry.digest)
                                      : "an entry of template " + printable_line(std::string{entry.template_name})) +
                         (entry.violation ? " (changed while it was measured)" : "");
        }
        if (strangers > max_named)
            found += "; and " + std::to_string(strangers - max_named) + " more";
        if (strangers == 0)
            found = std::to_string(entries.size() - 1) + " files, all on the policy's list";
        judge(CheckId::ima_allowed, strangers == 0, std::move(found),
              "only files of the policy's list (" + std::to_string(policy_.ima->size()) + ")", "policy");
    }

    const Evidence &evidence_;
    const Claims &claims_;
    const Expectations &want_;
    const Policy &policy_;
    bool of_svsm_;
    VtpmJudged out_{};
    bool credential_passed_ = false, ak_passed_ = false, whole_ = false;
};

} // namespace

VtpmJudged judge_vtpm(const Evidence &evidence, const Claims &claims, const Expectations &want, bool of_svsm) {
    return Judge{evidence, claims, want, of_svsm}.run();
}

Result<std::vector<BootFiles>> boot_files(ByteView kernel, ByteView initrd, std::string_view command_line) {
    std::vector<BootFiles> out;
    for (const TpmAlg bank : {TpmAlg::sha256, TpmAlg::sha384}) {
        CVMIN_TRY(digests, boot_digests(bank, kernel, initrd, command_line));
        out.push_back(
            {.bank = bank, .kernel = digests.kernel, .initrd = digests.initrd, .load_options = digests.load_options});
    }
    return out;
}

std::optional<request::PcrSelection> wanted_quote(const Policy &policy) {
    if (!policy.vtpm)
        return std::nullopt;
    request::PcrSelection out{.bank = policy.vtpm->bank, .mask = firmware_and_kernel};
    if (policy.pcrs)
        for (const auto &[pcr, values] : *policy.pcrs)
            out.mask |= 1u << pcr;
    return out;
}

} // namespace cvmin
