// The negative corpus (tests/data/negative, docs/negative-corpus.md), read the way `cvmin verify` reads files: each
// entry fails exactly the checks that its index names, and what the others differ from is accepted.
#include "tests/unit/every_check.hpp"

#include "common/evidence.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/report_input.hpp"

using namespace cvmin;
using namespace cvmin::test;

static const std::string folder = std::string{CVMIN_TEST_DATA} + "/negative/";

static const Json &entries() {
    static const Json index = parse_json(data("negative/index.json"), "index.json").value();
    return index["entries"];
}

static std::optional<std::string> text(const Json &entry, const char *member) {
    return entry.contains(member) ? std::optional{entry[member].get<std::string>()} : std::nullopt;
}
static std::optional<std::string> path(const Json &entry, const char *member) {
    return entry.contains(member) ? std::optional{folder + entry[member].get<std::string>()} : std::nullopt;
}
static std::set<std::string> names(const Json &list) {
    return list.get<std::set<std::string>>();
}
static std::set<std::string> with_outcome(const Verdict &verdict, Outcome outcome) {
    std::set<std::string> found;
    for (const Check &check : verdict.checks())
        if (check.outcome == outcome)
            found.emplace(check.name);
    return found;
}

static Expectations wanted_of(const Json &entry) {
    Expectations wanted;
    Json policy = parse_json(data("negative/" + entry["policy"].get<std::string>()), "policy").value();
    policy.merge_patch(entry["policy_changes"]);
    wanted.policy = parse_policy(as_bytes(policy.dump())).value();
    wanted.now = parse_time(entry["time"].get<std::string>()).value();
    for (const Json &digest : entry["measurement"])
        wanted.measurements.push_back(parse_hex_exactly<48>(digest.get<std::string>(), "index").value());
    wanted.measurement_source = "the index";
    if (const auto ark = text(entry, "trust_emulated"))
        wanted.emulated_ark = data("negative/" + *ark);
    if (const auto root = text(entry, "ek_root"))
        assert_true(wanted.ek_authorities.add(data("negative/" + *root)).has_value());
    if (entry.contains("boot_files")) {
        const auto digest = [&](const char *file) {
            return TpmDigest{parse_hex(entry["boot_files"][file].get<std::string>(), "index").value()};
        };
        wanted.boot_files.push_back({.bank = TpmAlg::sha256,
                                     .kernel = digest("kernel"),
                                     .initrd = digest("initrd"),
                                     .load_options = digest("load_options")});
    }
    if (const auto crl = text(entry, "crl"))
        wanted.endorsements.crl =
            std::make_shared<const RevocationList>(RevocationList::parse(data("negative/" + *crl), "index").value());
    return wanted;
}

// What only the holder of a connection knows of a TPM.
static void connection(const Json &entry, ByteView bytes, Expectations &wanted) {
    const auto activation = text(entry, "activation");
    if (!activation)
        return;
    const auto evidence = parse_evidence(bytes).value();
    TpmActivation ours{.answered = *activation != "refused", .found = *activation};
    if (evidence.tpm) {
        ours.ek_public = sha256(evidence.tpm->ek_public);
        ours.ak_public = sha256(evidence.tpm->ak_public);
    }
    if (*activation == "other-keys")
        ours.ek_public[0] ^= std::byte{1};
    wanted.activation = ours;
    if (entry.contains("pcrs"))
        wanted.pcrs =
            request::PcrSelection{.bank = TpmAlg::sha256, .mask = entry["pcrs"]["sha256"].get<std::uint32_t>()};
    if (entry.contains("earlier_quote")) {
        const Json &earlier = entry["earlier_quote"];
        wanted.earlier_quote = TpmEpoch{.ak_public = ours.ak_public,
                                        .clock = earlier["clock"].get<std::uint64_t>(),
                                        .reset_count = earlier["reset"].get<std::uint32_t>(),
                                        .restart_count = earlier["restart"].get<std::uint32_t>()};
    }
}

static Appraisal appraise_entry(const Json &entry, Expectations &wanted) {
    if (const auto evidence = text(entry, "evidence")) {
        wanted.nonce = parse_hex(entry["nonce"].get<std::string>(), "index").value();
        wanted.exporter = parse_hex_exactly<exporter_size>(entry["exporter"].get<std::string>(), "index").value();
        const auto point = parse_hex_exactly<96>(entry["key"].get<std::string>(), "index").value();
        PublicKey key;
        std::ranges::copy(ByteView{point}.first(48), key.x.begin());
        std::ranges::copy(ByteView{point}.last(48), key.y.begin());
        wanted.peer_key = key;
        connection(entry, data("negative/" + *evidence), wanted);
        return appraise(data("negative/" + *evidence), wanted);
    }
    const auto input = read_report_input({.report = path(entry, "report").value(),
                                          .vek = path(entry, "vek"),
                                          .ask = path(entry, "ask"),
                                          .ark = path(entry, "ark"),
                                          .report_data = text(entry, "report_data")})
                           .value();
    wanted.report_data = input.report_data;
    if (input.intermediate)
        wanted.endorsements.intermediates.push_back(input.intermediate);
    return appraise_report(input.report, input.certificates, wanted);
}

static void each_entry_fails_the_checks_that_the_index_names_and_no_other(void **) {
    std::size_t wrong = 0;
    std::size_t accepted = 0;
    for (const Json &entry : entries()) {
        Expectations wanted = wanted_of(entry);
        const Appraisal appraisal = appraise_entry(entry, wanted);
        const Verdict &verdict = appraisal.verdict;
        const bool as_wanted = with_outcome(verdict, Outcome::failed) == names(entry["failed"]) &&
                               with_outcome(verdict, Outcome::not_made) == names(entry["not_made"]) &&
                               verdict.accepted() == entry["accepted"].get<bool>() &&
                               name(verdict.genuine()) == entry["genuine"].get<std::string>() &&
                               (!appraisal.accepted || verdict.accepted());
        accepted += verdict.accepted();
        if (as_wanted)
            continue;
        ++wrong;
        print_error("%s: accepted %d, genuine %s\n", entry["name"].get<std::string>().c_str(), verdict.accepted(),
                    std::string{name(verdict.genuine())}.c_str());
        for (const Check &check : verdict.checks())
            if (check.outcome == Outcome::failed || names(entry["failed"]).contains(std::string{check.name}) ||
                (check.outcome == Outcome::not_made) != names(entry["not_made"]).contains(std::string{check.name}))
                print_error("  %s %s: %s\n", std::string{check.name}.c_str(), std::string{name(check.outcome)}.c_str(),
                            check.found.c_str());
    }
    assert_int_equal(wrong, 0);
    assert_true(accepted >= 10 && entries().size() >= 300);
}

static void every_check_has_an_entry_in_which_only_it_fails(void **) {
    std::set<std::string> covered;
    for (const Json &entry : entries())
        if (entry["failed"].size() == 1)
            covered.insert(entry["failed"][0].get<std::string>());
    assert_int_equal(wrongly_covered(covered), 0);
}

// So that a refusal of it is about what it is named after, and not about the same thing as its neighbour.
static void every_entry_has_a_name_and_an_input_of_its_own(void **) {
    std::set<std::string> seen_names, seen_inputs;
    for (const Json &entry : entries()) {
        Json input = entry;
        for (const char *const member : {"name", "what", "accepted", "genuine", "failed", "not_made"})
            input.erase(member);
        assert_true(seen_names.insert(entry["name"].get<std::string>()).second);
        if (!seen_inputs.insert(input.dump()).second)
            print_error("%s\n", entry["name"].get<std::string>().c_str());
        assert_int_equal(seen_inputs.size(), seen_names.size());
        assert_true(entry["accepted"] == entry["failed"].empty());
    }
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(each_entry_fails_the_checks_that_the_index_names_and_no_other),
        cmocka_unit_test(every_check_has_an_entry_in_which_only_it_fails),
        cmocka_unit_test(every_entry_has_a_name_and_an_input_of_its_own),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
