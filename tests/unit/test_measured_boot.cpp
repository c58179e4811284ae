// The rows of measured boot over what a real swtpm, OVMF and Linux wrote, stored in tests/data/appraise/swtpm: accepted
// as it is, and never when anything is changed that the quote, the claims or the log's head cover. Made evidence in
// which one thing is wrong is in the negative corpus (test_negative).
#include "tests/unit/vtpm_evidence.hpp"

#include "host-tools/base/json.hpp"
#include "host-tools/measured/event_log.hpp"

#include <functional>

using namespace cvmin;
using namespace cvmin::test;

namespace {

constexpr const char *folder = "appraise/swtpm/";

Evidence stored() {
    return parse_evidence(data(std::string{folder} + "evidence.cbor")).value();
}

// As `cvmin verify FILE --session FILE.session.json --image ... --ek-root ...` makes them.
Expectations wanted() {
    Expectations out;
    const Json session = parse_json(data(std::string{folder} + "evidence.cbor.session.json"), "session").value();
    Json policy = parse_json(data("../../policies/emulated-vtpm.json"), "policy").value();
    policy["vtpm"]["ek_certificate"] = "required";
    out.policy = parse_policy(as_bytes(policy.dump())).value();
    out.now = parse_time("2026-11-24T14:00:00Z").value();
    out.emulated_ark = data(std::string{folder} + "ark.der");
    assert_true(out.ek_authorities.add(data(std::string{folder} + "ek-root.pem")).has_value());
    out.nonce = parse_hex(session["nonce"].get<std::string>(), "session").value();
    out.exporter = parse_hex_exactly<exporter_size>(session["exporter"].get<std::string>(), "session").value();
    out.peer_key = PublicKey{parse_hex_exactly<48>(session["key"]["x"].get<std::string>(), "session").value(),
                             parse_hex_exactly<48>(session["key"]["y"].get<std::string>(), "session").value()};
    out.pcrs = request::PcrSelection{.bank = TpmAlg::sha256, .mask = max_pcr_mask};
    out.activation = Skip{};
    const auto digest = [](std::string_view hex) { return TpmDigest{parse_hex(hex, "test").value()}; };
    out.measurements = {parse_hex_exactly<48>("7489e671fec513a33de84c723454b8d207602adc57fa84405a631722955fadc22688"
                                              "25e64af099de78017c9608914489",
                                              "test")
                            .value()};
    // of that image: sha256sum says so of the initramfs, and of "initrd=initrd ", the command line and a zero in UTF-16
    out.boot_files = {{.bank = TpmAlg::sha256,
                       .kernel = digest("5a06f74ba2d90ea34edfac5866eff31b617d887b7cbe872a715aeff780a80fb5"),
                       .initrd = digest("29b725db6c3542aaf8b099c9997e081810e8283d63480396c313239120bd5f3e"),
                       .load_options = digest("a7af4a529449a919e81790e7b57b6b38494ccae111c90f60409deb24b72a5eed")}};
    return out;
}

Appraisal appraise_with(const std::function<void(Evidence &)> &change, const Expectations &want) {
    Evidence evidence = stored();
    change(evidence);
    return appraise(encode_evidence(evidence), want);
}

bool failed(const Appraisal &appraisal, CheckId id) {
    return appraisal.verdict[id].outcome == Outcome::failed;
}

void real_evidence_with_a_vtpm_is_accepted(void **) {
    const Expectations want = wanted();
    const Appraisal appraisal = appraise(data(std::string{folder} + "evidence.cbor"), want);
    if (!appraisal.accepted)
        print_error("%s", verdict_table(appraisal, want).c_str());
    assert_true(appraisal.accepted.has_value() && appraisal.vtpm == "host-run vTPM");
    for (const CheckId id : {CheckId::tpm_quote, CheckId::tpm_ak, CheckId::tpm_signature, CheckId::tpm_extra_data,
                             CheckId::tpm_pcr_digest, CheckId::tpm_clock, CheckId::tpm_ek, CheckId::tpm_event_log,
                             CheckId::tpm_boot_events, CheckId::runtime_log_replay, CheckId::runtime_log_events,
                             CheckId::ima_replay, CheckId::ima_boot_aggregate, CheckId::ima_allowed})
        assert_int_equal(appraisal.verdict[id].outcome, Outcome::passed);
    assert_int_equal(appraisal.verdict[CheckId::tpm_credential].outcome, Outcome::skipped); // the connection is over
}

void no_byte_of_a_quote_or_a_replayed_log_may_change(void **) {
    const Expectations want = wanted();
    const Evidence good = stored();
    const std::vector<std::pair<const char *, std::function<Bytes &(Evidence &)>>> parts = {
        {"attest", [](Evidence &e) -> Bytes & { return e.tpm->attest; }},
        {"signature", [](Evidence &e) -> Bytes & { return e.tpm->signature; }},
        {"ak", [](Evidence &e) -> Bytes & { return e.tpm->ak_public; }},
        {"ek certificate", [](Evidence &e) -> Bytes & { return e.tpm->ek_certificate; }},
        {"pcr 0", [](Evidence &e) -> Bytes & { return e.tpm->pcr_values.values[0].digest; }},
        {"pcr 23", [](Evidence &e) -> Bytes & { return e.tpm->pcr_values.values[23].digest; }},
        {"ima log", [](Evidence &e) -> Bytes & { return e.ima_log; }},
        {"runtime log", [](Evidence &e) -> Bytes & { return e.runtime_log; }}};
    std::size_t tried = 0;
    for (const auto &[what, part] : parts) {
        Evidence changed = good;
        for (std::size_t at = 0; at < part(changed).size(); ++at, ++tried) {
            std::byte &byte = part(changed)[at];
            const std::byte was = byte;
            byte ^= std::byte{1} << (at % 8);
            const bool accepted = appraise(encode_evidence(changed), want).accepted.has_value();
            if (accepted)
                print_error("%s: byte %zu\n", what, at);
            assert_false(accepted);
            byte = was;
        }
        Bytes &whole = part(changed);
        if (whole.size() > 64) { // cut off, and with something behind it
            whole.pop_back();
            assert_false(appraise(encode_evidence(changed), want).accepted.has_value());
            whole = part(const_cast<Evidence &>(good));
            whole.push_back(std::byte{0});
            assert_false(appraise(encode_evidence(changed), want).accepted.has_value());
        }
    }
    assert_true(tried > 1500);
}

// Of an event that is extended the quote covers the digest; its data are for people.
void no_digest_of_the_event_log_may_change(void **) {
    const Expectations want = wanted();
    const Evidence good = stored();
    const EventLog log = parse_event_log(good.event_log).value();
    const std::size_t bank = log.bank(TpmAlg::sha256).value();
    std::size_t tried = 0;
    for (const auto &event : log.events) {
        if (!event.extends() || event.digest_at[bank] == 0)
            continue;
        Evidence changed = good;
        changed.event_log[event.digest_at[bank] + event.number % 32] ^= std::byte{0x10};
        const Appraisal appraisal = appraise(encode_evidence(changed), want);
        assert_true(!appraisal.accepted && failed(appraisal, CheckId::tpm_event_log));
        // the event itself is named
        if (event.pcr < 10)
            assert_true(appraisal.verdict[CheckId::tpm_event_log].found.contains("PCR " + std::to_string(event.pcr)));
        ++tried;
    }
    assert_true(tried > 20);
    for (std::size_t size = 0; size < good.event_log.size(); size += 97) {
        Evidence changed = good;
        changed.event_log.resize(size);
        assert_false(appraise(encode_evidence(changed), want).accepted.has_value());
    }
}

void what_a_host_can_leave_out_is_missed(void **) {
    const Expectations want = wanted();
    const std::pair<CheckId, std::function<void(Evidence &)>> parts[] = {
        {CheckId::tpm_quote, [](Evidence &e) { e.tpm.reset(); }},
        {CheckId::tpm_ek, [](Evidence &e) { e.tpm->ek_certificate.clear(); }},
        {CheckId::tpm_event_log, [](Evidence &e) { e.event_log.clear(); }},
        {CheckId::ima_replay, [](Evidence &e) { e.ima_log.clear(); }},
        {CheckId::runtime_log_replay, [](Evidence &e) { e.runtime_log.clear(); }}};
    for (const auto &[id, change] : parts) {
        const Appraisal appraisal = appraise_with(change, want);
        assert_true(!appraisal.accepted && failed(appraisal, id));
    }
    // and what a caller can: everything that the policy demands
    Expectations less = wanted();
    less.boot_files.clear();
    assert_true(failed(appraise_with([](Evidence &) {}, less), CheckId::tpm_boot_events));
    less = wanted();
    less.pcrs.reset(); // then the policy's selection counts, which this quote is more than
    assert_true(failed(appraise_with([](Evidence &) {}, less), CheckId::tpm_quote));
    less = wanted();
    less.ek_authorities = {};
    assert_true(failed(appraise_with([](Evidence &) {}, less), CheckId::tpm_ek));
    less = wanted();
    less.activation = {};
    const Appraisal unsaid = appraise_with([](Evidence &) {}, less);
    assert_true(!unsaid.accepted && unsaid.verdict[CheckId::tpm_credential].outcome == Outcome::not_made);
}

void an_ek_that_the_connection_does_not_know_is_missed(void **) {
    Expectations want = wanted();
    const Evidence good = stored();
    want.activation = TpmActivation{.ek_public = sha256(good.tpm->ek_public),
                                    .ak_public = sha256(good.tpm->ak_public),
                                    .answered = true,
                                    .found = "the credential came back"};
    assert_true(appraise(encode_evidence(good), want).accepted.has_value());
    for (std::size_t at = 0; at < good.tpm->ek_public.size(); ++at) {
        Evidence changed = good;
        changed.tpm->ek_public[at] ^= std::byte{1} << (at % 8);
        const Appraisal appraisal = appraise(encode_evidence(changed), want);
        assert_true(!appraisal.accepted && failed(appraisal, CheckId::tpm_credential));
    }
}

void another_machine_s_quote_does_not_fit_these_claims(void **) {
    const Bytes other = vtpm_evidence("good-vtpm");
    const Appraisal appraisal = appraise_with(
        [&](Evidence &e) {
            const Evidence theirs = parse_evidence(other).value();
            e.tpm = theirs.tpm;
            e.event_log = theirs.event_log;
            e.ima_log = theirs.ima_log;
        },
        wanted());
    assert_false(appraisal.accepted.has_value());
    for (const CheckId id : {CheckId::tpm_ak, CheckId::tpm_extra_data})
        assert_true(failed(appraisal, id));
    for (const CheckId id : {CheckId::tpm_event_log, CheckId::ima_replay}) // of a quote that is not ours
        assert_int_equal(appraisal.verdict[id].outcome, Outcome::not_made);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(real_evidence_with_a_vtpm_is_accepted),
        cmocka_unit_test(no_byte_of_a_quote_or_a_replayed_log_may_change),
        cmocka_unit_test(no_digest_of_the_event_log_may_change),
        cmocka_unit_test(what_a_host_can_leave_out_is_missed),
        cmocka_unit_test(an_ek_that_the_connection_does_not_know_is_missed),
        cmocka_unit_test(another_machine_s_quote_does_not_fit_these_claims),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
