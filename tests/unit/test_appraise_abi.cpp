// The published interface of the appraisal, through the C++ header down to the C one: real reports and our own evidence
// get the verdict that the command gives, and each wrong use is refused and never accepts.
#include "tests/unit/appraise_fixture.hpp"

#include <cvmin/appraise.hpp>

#include <thread>

using namespace cvmin;
using namespace cvmin::test;
using Call = cvmin_appraise_options;

namespace {

// A real report with everything it needs to be accepted; what a test spoils is spoiled in `options`.
struct Real {
    Bytes report, vek;
    std::string policy;
    Call options = CVMIN_APPRAISE_OPTIONS_INIT;
};

constexpr std::int64_t october_2025 = 1759276800;

cvmin_appraise_bytes given(ByteView bytes) {
    return {bytes.data(), bytes.size()};
}

std::string milan_policy() { // what no site shares with the report is skipped
    Json policy = parse_json(data("../../policies/milan.json"), "policy").value();
    policy["report_versions"] = {3};
    policy["signing_key"] = {"vcek"};
    policy["masked_chip_id"] = true;
    const auto skip_all = [](Json &object) {
        for (auto &[name, value] : object.items())
            if (name != "comment")
                value = "skip";
    };
    skip_all(policy["guest_policy"]);
    skip_all(policy["platform_info"]);
    skip_all(policy["minimum_tcb"]["Milan"]);
    for (const char *member : {"require", "provisional_firmware", "report_id_ma"})
        if (policy.contains(member))
            policy[member] = "skip";
    return policy.dump();
}

const Real &real() {
    static const Real made = [] {
        Real out;
        out.report = data("oak/milan-v3-oc-release/report.bin");
        out.vek = data("oak/milan-v3-oc-release/vcek.der");
        out.policy = milan_policy();
        return out;
    }();
    return made;
}

Call good_call() {
    const Real &r = real();
    Call options = CVMIN_APPRAISE_OPTIONS_INIT;
    options.time = october_2025;
    options.evidence = given(r.report);
    options.vek = given(r.vek);
    options.policy = given(as_bytes(r.policy));
    options.measurements = given(ByteView{r.report}.subspan(0x90, 48));
    options.report_data = given(ByteView{r.report}.subspan(0x50, 64));
    return options;
}

int call(const Call &options, std::string *error = nullptr, Json *verdict = nullptr) {
    std::string json(CVMIN_APPRAISE_VERDICT_SIZE, '#');
    char text[256] = "#";
    std::size_t size = json.size();
    const int status = cvmin_appraise(&options, json.data(), &size, text, sizeof text);
    const bool has_verdict = status == CVMIN_APPRAISE_ACCEPTED || status == CVMIN_APPRAISE_REFUSED;
    assert_int_equal(json[0] == '{', has_verdict);
    assert_int_equal(text[0] == '\0', has_verdict);
    assert_int_equal(size != 0, has_verdict);
    if (error)
        *error = text;
    if (verdict && has_verdict)
        *verdict = Json::parse(json.substr(0, size));
    return status;
}

void appraise_accepts_a_real_report(void **) {
    Json verdict;
    assert_int_equal(call(good_call(), nullptr, &verdict), CVMIN_APPRAISE_ACCEPTED);
    assert_true(verdict["accepted"] == true && verdict["genuine"] == "amd" && verdict["subject"] == "report");
    attestation::Options options;
    options.time = std::chrono::sys_seconds{std::chrono::seconds{october_2025}};
    options.evidence = real().report;
    options.vek = real().vek;
    options.policy = real().policy;
    options.measurements = ByteView{real().report}.subspan(0x90, 48);
    options.skip = CVMIN_APPRAISE_SKIP_REPORT_DATA;
    const auto result = attestation::appraise(options);
    assert_true(result && result->accepted);
    assert_true(Json::parse(result->json)["accepted"] == true);
    options.time = {};
    const auto failed = attestation::appraise(options);
    assert_true(!failed && failed.error().status == attestation::Status::invalid_argument);
    assert_string_equal(failed.error().text.c_str(), "options.time is not set");
}

void appraise_accepts_a_certificate_table(void **) {
    Call options = good_call();
    const Bytes table = encode_cert_table({.vcek = real().vek, .vlek = {}, .ask = {}, .ark = {}, .crl = {}});
    options.vek = {};
    options.certificates = given(table);
    assert_int_equal(call(options), CVMIN_APPRAISE_ACCEPTED);
}

void appraise_refuses_what_is_not_genuine_or_not_wanted(void **) {
    for (const std::size_t at : {0x00ul, 0x50ul, 0x90ul, 0x1a0ul, 0x2a0ul, 0x2e8ul}) {
        Bytes report = real().report;
        report[at] ^= std::byte{1};
        Call options = good_call();
        options.evidence = given(report);
        assert_int_equal(call(options), CVMIN_APPRAISE_REFUSED);
    }
    for (const std::size_t size : {1ul, 1183ul}) {
        Call options = good_call();
        options.evidence.size = size;
        assert_int_equal(call(options), CVMIN_APPRAISE_REFUSED);
    }
    Call options = good_call();
    const Bytes other(48, std::byte{7});
    options.measurements = given(other);
    Json verdict;
    assert_int_equal(call(options, nullptr, &verdict), CVMIN_APPRAISE_REFUSED);
    assert_true(verdict["genuine"] == "amd" && verdict["accepted"] == false);
    options = good_call();
    options.time = 1; // 1970: before every certificate
    assert_int_equal(call(options), CVMIN_APPRAISE_REFUSED);
    options = good_call();
    options.vek = {};
    assert_int_equal(call(options), CVMIN_APPRAISE_REFUSED);
    const Bytes another = data("appraise/vcek-genoa.der");
    options.vek = given(another);
    assert_int_equal(call(options), CVMIN_APPRAISE_REFUSED);
}

// By the policy's word alone, and never evidence of an agent.
void appraise_takes_a_report_of_which_the_policy_skips_digest_and_question(void **) {
    Json json = parse_json(as_bytes(real().policy), "policy").value();
    json["measurement"] = json["report_data"] = "skip";
    const std::string skip = json.dump();
    Call options = good_call();
    options.policy = given(as_bytes(skip));
    options.measurements = options.report_data = {};
    Json verdict;
    assert_int_equal(call(options, nullptr, &verdict), CVMIN_APPRAISE_ACCEPTED);
    for (const Json &check : verdict["checks"])
        if (check["check"] == "snp.measurement" || check["check"] == "binding.report_data")
            assert_true(check["outcome"] == "skipped");
    const Bytes other(64, std::byte{7});
    options.report_data = given(other);
    assert_int_equal(call(options), CVMIN_APPRAISE_REFUSED);
    options.report_data = {};
    options.measurements = given(ByteView{other}.first(48));
    assert_int_equal(call(options), CVMIN_APPRAISE_REFUSED);
    options.measurements = {};
    json["measurement"] = Json::array({std::string(96, '7')});
    const std::string listed = json.dump();
    options.policy = given(as_bytes(listed));
    assert_int_equal(call(options), CVMIN_APPRAISE_REFUSED);
    options.subject = CVMIN_APPRAISE_SUBJECT_EVIDENCE;
    options.policy = given(as_bytes(skip));
    options.vek = {};
    options.skip = CVMIN_APPRAISE_SKIP_EXPORTER | CVMIN_APPRAISE_SKIP_PEER_KEY;
    options.nonce = given(ByteView{other}.first(32));
    std::string error;
    assert_int_equal(call(options, &error), CVMIN_APPRAISE_INVALID_ARGUMENT);
    assert_true(error.contains("options.measurements"));
}

void appraise_judges_evidence_of_the_agent(void **) {
    const Case c = good_case();
    const Bytes evidence = make_evidence(c), ark = der("ark"), policy = data("../../policies/emulated.json");
    Bytes measurement(48, std::byte{0xaa}), exporter(32, std::byte{0x33}), key(48, std::byte{0x11});
    key.resize(96, std::byte{0x22});
    Call options = CVMIN_APPRAISE_OPTIONS_INIT;
    options.subject = CVMIN_APPRAISE_SUBJECT_EVIDENCE;
    options.time = c.want.now;
    options.evidence = given(evidence);
    options.policy = given(policy);
    options.measurements = given(measurement);
    options.emulated_ark = given(ark);
    options.nonce = given(c.claims.nonce);
    options.exporter = given(exporter);
    options.peer_key = given(key);
    Json verdict;
    assert_int_equal(call(options, nullptr, &verdict), CVMIN_APPRAISE_ACCEPTED);
    assert_true(verdict["genuine"] == "emulated" && verdict["emulated"] == true);
    const Call good = options;
    options.emulated_ark = {}; // an emulated root is never trusted by itself
    assert_int_equal(call(options), CVMIN_APPRAISE_REFUSED);
    options = good;
    exporter[0] ^= std::byte{1};
    assert_int_equal(call(options), CVMIN_APPRAISE_REFUSED);
    options.exporter = {};
    assert_int_equal(call(options), CVMIN_APPRAISE_INVALID_ARGUMENT);
    options.skip = CVMIN_APPRAISE_SKIP_EXPORTER;
    assert_int_equal(call(options), CVMIN_APPRAISE_ACCEPTED);
    options.nonce = {};
    assert_int_equal(call(options), CVMIN_APPRAISE_INVALID_ARGUMENT);
}

void appraise_wants_the_caller_s_manifest(void **) {
    Case c = good_case();
    const Bytes manifest(32, std::byte{0x0d}), other(32, std::byte{0x0e}); // HOST_DATA of the case is the former
    std::ranges::copy(manifest, c.claims.manifest.emplace().begin());
    const Bytes evidence = make_evidence(c), ark = der("ark"), policy = data("../../policies/emulated.json");
    const Bytes measurement(48, std::byte{0xaa});
    Call options = CVMIN_APPRAISE_OPTIONS_INIT;
    options.subject = CVMIN_APPRAISE_SUBJECT_EVIDENCE;
    options.skip = CVMIN_APPRAISE_SKIP_EXPORTER | CVMIN_APPRAISE_SKIP_PEER_KEY;
    options.time = c.want.now;
    options.evidence = given(evidence);
    options.policy = given(policy);
    options.measurements = given(measurement);
    options.emulated_ark = given(ark);
    options.nonce = given(c.claims.nonce);
    const auto failed = [&] {
        Json verdict;
        std::string names;
        call(options, nullptr, &verdict);
        for (const Json &check : verdict["checks"])
            if (check["outcome"] == "failed")
                names += check["check"].get<std::string>() + " ";
        return names;
    };
    options.manifest = given(manifest);
    assert_int_equal(call(options), CVMIN_APPRAISE_ACCEPTED);
    options.manifest = given(other);
    assert_int_equal(call(options), CVMIN_APPRAISE_REFUSED);
    assert_true(failed() == "snp.host_data claims.manifest ");
    options.manifest = given(ByteView{other}.first(31));
    std::string error;
    assert_int_equal(call(options, &error), CVMIN_APPRAISE_INVALID_ARGUMENT);
    assert_true(error.contains("options.manifest"));
    // a caller who was compiled before the member was there: what lies behind his structure is not looked at
    options.manifest = given(other);
    options.struct_size = CVMIN_APPRAISE_OPTIONS_LEAST_SIZE;
    assert_int_equal(call(options), CVMIN_APPRAISE_ACCEPTED);

    Call report = good_call(); // of a report by itself HOST_DATA alone tells
    report.manifest = given(other);
    assert_int_equal(call(report), CVMIN_APPRAISE_REFUSED);
    const Bytes there = to_bytes(ByteView{real().report}.subspan(0xc0, 32));
    report.manifest = given(there);
    assert_int_equal(call(report), CVMIN_APPRAISE_ACCEPTED);
}

void appraise_refuses_wrong_use(void **) {
    static const Bytes large((1u << 20) + 48);
    const Bytes junk(100, std::byte{'x'});
    const struct {
        void (*spoil)(Call &);
        int status;
        std::string_view text;
    } wrong[] = {
        {[](Call &o) { o.struct_size -= 8; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "struct_size"},
        {[](Call &o) { o.struct_size = CVMIN_APPRAISE_OPTIONS_LEAST_SIZE - 8; }, CVMIN_APPRAISE_INVALID_ARGUMENT,
         "size"},
        {[](Call &o) { o.struct_size = 0; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "struct_size"},
        {[](Call &o) { o.struct_size = 1u << 20; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "struct_size"},
        {[](Call &o) { o.subject = 0; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "subject"},
        {[](Call &o) { o.subject = 3; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "subject"},
        {[](Call &o) { o.subject = 2; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "subject"},
        {[](Call &o) { o.skip = 1; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "report_data or its skip"},
        {[](Call &o) { o.report_data = {}; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "report_data or its skip"},
        {[](Call &o) { o.skip = 2; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "skip"},
        {[](Call &o) { o.skip = 8; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "skip"},
        {[](Call &o) { o.time = 0; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "time"},
        {[](Call &o) { o.time = -1; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "time"},
        {[](Call &o) { o.evidence = {}; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "evidence"},
        {[](Call &o) { o.evidence.data = nullptr; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "evidence"},
        {[](Call &o) { o.evidence.size = 0; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "evidence"},
        {[](Call &o) { o.evidence = given(large); }, CVMIN_APPRAISE_TOO_LARGE, "evidence"},
        {[](Call &o) { o.policy = {}; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "policy"},
        {[](Call &o) { o.policy.size -= 1; }, CVMIN_APPRAISE_INVALID_POLICY, "policy"},
        {[](Call &o) { o.policy = given(large); }, CVMIN_APPRAISE_TOO_LARGE, "policy"},
        {[](Call &o) { o.measurements = {}; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "measurements"},
        {[](Call &o) { o.measurements.size = 47; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "measurements"},
        {[](Call &o) { o.measurements = given(ByteView{large}.first(257 * 48)); }, CVMIN_APPRAISE_TOO_LARGE, "measure"},
        {[](Call &o) { o.report_data.size = 63; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "report_data"},
        {[](Call &o) { o.nonce = o.report_data; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "nonce"},
        {[](Call &o) { o.peer_key = o.report_data; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "peer_key"},
        {[](Call &o) { o.exporter = o.report_data; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "exporter"},
        {[](Call &o) { o.certificates = o.vek; }, CVMIN_APPRAISE_INVALID_ARGUMENT, "certificates"},
        {[](Call &o) { o.vek = given(ByteView{large}.first(8193)); }, CVMIN_APPRAISE_TOO_LARGE, "vek"},
        {[](Call &o) { o.crl = o.report_data; }, CVMIN_APPRAISE_MALFORMED, "crl"},
        {[](Call &o) { o.ask = o.report_data; }, CVMIN_APPRAISE_MALFORMED, "ask"},
        {[](Call &o) { o.emulated_ark = o.report_data; }, CVMIN_APPRAISE_MALFORMED, "emulated_ark"},
    };
    for (const auto &w : wrong) {
        Call options = good_call();
        w.spoil(options);
        std::string error;
        const int status = call(options, &error);
        if (status != w.status || !error.contains(w.text))
            print_error("%s: status %d, %s\n", std::string{w.text}.c_str(), status, error.c_str());
        assert_int_equal(status, w.status);
        assert_true(error.contains(w.text));
    }
    // members of a later version
    struct {
        Call known;
        std::uint64_t more;
    } longer{good_call(), 0};
    longer.known.struct_size = sizeof longer;
    std::size_t none = 0;
    assert_int_equal(cvmin_appraise(&longer.known, nullptr, nullptr, nullptr, 0), CVMIN_APPRAISE_ACCEPTED);
    longer.more = 1;
    assert_int_equal(cvmin_appraise(&longer.known, nullptr, nullptr, nullptr, 0), CVMIN_APPRAISE_UNSUPPORTED);
    // outputs
    const Call good = good_call();
    char c = '#';
    assert_int_equal(cvmin_appraise(nullptr, nullptr, nullptr, nullptr, 0), CVMIN_APPRAISE_INVALID_ARGUMENT);
    assert_int_equal(cvmin_appraise(&good, &c, nullptr, nullptr, 0), CVMIN_APPRAISE_INVALID_ARGUMENT);
    assert_int_equal(cvmin_appraise(&good, nullptr, nullptr, nullptr, 1), CVMIN_APPRAISE_INVALID_ARGUMENT);
    none = 1;
    assert_int_equal(cvmin_appraise(&good, nullptr, &none, nullptr, 0), CVMIN_APPRAISE_INVALID_ARGUMENT);
    assert_int_equal(none, 0);
}

void appraise_negotiates_the_verdicts_size(void **) {
    const Call options = good_call();
    std::size_t needed = 0;
    char error[256];
    assert_int_equal(cvmin_appraise(&options, nullptr, &needed, error, sizeof error), CVMIN_APPRAISE_BUFFER_TOO_SMALL);
    assert_true(needed > 1000 && needed < CVMIN_APPRAISE_VERDICT_SIZE);
    std::string buffer(needed + 1, '#');
    std::size_t size = needed - 1;
    assert_int_equal(cvmin_appraise(&options, buffer.data(), &size, error, sizeof error),
                     CVMIN_APPRAISE_BUFFER_TOO_SMALL);
    assert_int_equal(size, needed);
    assert_true(buffer[0] == '\0' && buffer[1] == '#');
    assert_int_equal(cvmin_appraise(&options, buffer.data(), &size, error, sizeof error), CVMIN_APPRAISE_ACCEPTED);
    assert_int_equal(size, needed - 1);
    assert_true(buffer[needed - 1] == '\0' && buffer[needed] == '#'); // not a byte beyond
    assert_int_equal(std::strlen(buffer.c_str()), size);
}

void appraise_runs_in_many_threads(void **) {
    std::atomic<int> accepted = 0, refused = 0;
    {
        std::vector<std::jthread> threads;
        threads.reserve(8);
        for (int i = 0; i < 8; ++i)
            threads.emplace_back([&, i] {
                Bytes report = real().report;
                report[0x50] ^= static_cast<std::byte>(i % 2);
                Call options = good_call();
                options.evidence = given(report);
                for (int n = 0; n < 4; ++n) {
                    const int status = cvmin_appraise(&options, nullptr, nullptr, nullptr, 0);
                    accepted += status == CVMIN_APPRAISE_ACCEPTED && i % 2 == 0;
                    refused += status == CVMIN_APPRAISE_REFUSED && i % 2 == 1;
                }
            });
    }
    assert_int_equal(accepted, 16);
    assert_int_equal(refused, 16);
}

void statuses_have_texts(void **) {
    for (int status = 0; status <= CVMIN_APPRAISE_INTERNAL; ++status)
        assert_string_not_equal(cvmin_appraise_status_text(status), "not a status of this version");
    assert_string_equal(cvmin_appraise_status_text(-1), "not a status of this version");
    assert_string_equal(cvmin_appraise_version(), CVMIN_VERSION);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(appraise_runs_in_many_threads), // first: while nothing is initialised
        cmocka_unit_test(appraise_accepts_a_real_report),
        cmocka_unit_test(appraise_accepts_a_certificate_table),
        cmocka_unit_test(appraise_refuses_what_is_not_genuine_or_not_wanted),
        cmocka_unit_test(appraise_takes_a_report_of_which_the_policy_skips_digest_and_question),
        cmocka_unit_test(appraise_judges_evidence_of_the_agent),
        cmocka_unit_test(appraise_wants_the_caller_s_manifest),
        cmocka_unit_test(appraise_refuses_wrong_use),
        cmocka_unit_test(appraise_negotiates_the_verdicts_size),
        cmocka_unit_test(statuses_have_texts),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
