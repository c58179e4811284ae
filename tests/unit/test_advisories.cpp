// Advisories: the carried file reads, every floor is at the level of its source, and each kind of demand is looked at.
#include "tests/unit/cmocka.hpp"

#include "host-tools/appraise/advisories.hpp"

#include <functional>

using namespace cvmin;

static Json carried() {
    return parse_json(test::data("../../policies/advisories.json"), "policy").value();
}
static std::expected<std::vector<Advisory>, PolicyError> read(const Json &json) {
    return parse_advisories(as_bytes(json.dump()));
}

static SnpReport report_of(Product product, CpuId part, const Tcb &tcb) {
    SnpReport report{};
    report.version = 5;
    report.policy = 0x30000;
    report.cpuid_family = part.family;
    report.cpuid_model = part.model;
    report.cpuid_stepping = part.stepping;
    report.current_tcb = report.committed_tcb = report.launch_tcb = report.reported_tcb = encode_tcb(product, tcb);
    return report;
}
static AdvisoryState state(const char *advisory, const SnpReport &report, Product product) {
    const AdvisoryResult result = judge_advisory(*find_advisory(advisory), report, product);
    assert_int_equal(result.why.empty(), result.state == AdvisoryState::met);
    return result.state;
}

static void carried_advisories_are_those_of_the_file(void **) {
    const Json json = carried();
    assert_int_equal(advisories().size(), json["advisories"].size());
    assert_true(advisories().size() >= 12);
    for (std::size_t i = 0; i < advisories().size(); ++i) {
        const Advisory &one = advisories()[i];
        assert_true(json["advisories"][i]["id"] == one.id.c_str() && !one.sources.empty() && !one.what.empty());
        assert_true(find_advisory(one.id) == &one);
        for (const std::string &other : one.also)
            assert_true(find_advisory(other) == &one);
        assert_true(one.what.size() < 120); // a row of a verdict
    }
    for (const char *const name : {"", "AMD-SB-3019 ", "amd-sb-3019", "AMD-SB-9999"})
        assert_null(find_advisory(name));
}

// Typed from the sources, and not from the file.
static void entrysign_needs_the_level_of_the_part(void **) {
    const struct {
        Product product;
        CpuId part;
        std::uint8_t snp, microcode;
    } cases[] = {{Product::milan, {0x19, 0x01, 1}, 0x18, 0xdb},
                 {Product::milan, {0x19, 0x01, 2}, 0x18, 0x44},
                 {Product::genoa, {0x19, 0x11, 1}, 0x17, 0x54},
                 {Product::genoa, {0x19, 0x11, 2}, 0x17, 0x4f},
                 {Product::genoa, {0x19, 0xa0, 2}, 0x17, 0x19}};
    for (const auto &[product, part, snp, microcode] : cases) {
        const auto with = [&](int s, int m) {
            return report_of(product, part,
                             Tcb{.level = {0, 4, 0, static_cast<std::uint8_t>(s), static_cast<std::uint8_t>(m)}});
        };
        assert_true(state("AMD-SB-3019", with(snp, microcode), product) == AdvisoryState::met);
        assert_true(state("AMD-SB-3019", with(snp - 1, microcode), product) == AdvisoryState::unmet);
        assert_true(state("AMD-SB-3019", with(snp, microcode - 1), product) == AdvisoryState::unmet);
        assert_true(state("AMD-SB-3019", with(snp + 1, microcode - 1), product) == AdvisoryState::unmet);
        assert_true(state("AMD-SB-7033", with(snp - 1, microcode), product) == AdvisoryState::met);
        // each of the four counts
        for (std::uint64_t SnpReport::*const field :
             {&SnpReport::reported_tcb, &SnpReport::committed_tcb, &SnpReport::launch_tcb, &SnpReport::current_tcb}) {
            SnpReport report = with(snp, microcode);
            report.*field = encode_tcb(product, Tcb{.level = {0, 4, 0, snp, 0}});
            assert_true(state("AMD-SB-3019", report, product) == AdvisoryState::unmet);
        }
        // another stepping, or no CPUID bytes: nobody knows
        SnpReport report = with(snp, 0xff);
        report.cpuid_stepping = 7;
        assert_true(state("AMD-SB-3019", report, product) == AdvisoryState::unknown);
        report = with(snp, 0xff);
        report.version = 2;
        assert_true(state("AMD-SB-3019", report, product) == AdvisoryState::unknown);
        report = with(snp - 1, 0xff); // but what is too low for the whole line is too low
        report.version = 2;
        assert_true(state("AMD-SB-3019", report, product) == AdvisoryState::unmet);
        report = with(snp, 0xff);
        report.version = 9; // whose CPUID bytes may be something else
        assert_true(state("AMD-SB-3019", report, product) == AdvisoryState::unknown);
    }
    assert_true(state("AMD-SB-3019", report_of(Product::turin, {0x1a, 2, 1}, {}), Product::turin) ==
                AdvisoryState::unknown);
}

static void bits_and_masks_are_looked_at(void **) {
    const Product genoa = Product::genoa;
    SnpReport report = report_of(genoa, {0x19, 0x11, 1}, Tcb{.level = {0, 10, 0, 27, 84}});
    assert_true(state("BadRAM", report, genoa) == AdvisoryState::unmet);
    report.platform_info = 0x20;
    assert_true(state("BadRAM", report, genoa) == AdvisoryState::met);
    assert_true(state("Heracles", report, genoa) == AdvisoryState::unmet);
    report.policy |= 1u << 25;
    assert_true(state("Heracles", report, genoa) == AdvisoryState::met);
    report.current_mit_vector = 3; // a bit mask: 8 is not enough for 4
    assert_true(state("AMD-SB-3016", report, genoa) == AdvisoryState::unmet);
    report.current_mit_vector = 8;
    assert_true(state("AMD-SB-3016", report, genoa) == AdvisoryState::unmet);
    report.current_mit_vector = 4;
    assert_true(state("AMD-SB-3016", report, genoa) == AdvisoryState::met);
    report.version = 3; // which has no such field
    assert_true(state("AMD-SB-3016", report, genoa) == AdvisoryState::unmet);
    assert_true(judge_advisory(*find_advisory("BadRAM"), report_of(genoa, {0x19, 0x11, 1}, {}), genoa).why ==
                "platform_info.alias_check_complete is clear");
}

static void parse_advisories_refuses_what_could_be_misread(void **) {
    const auto refused = [](const std::function<void(Json &)> &change) {
        Json json = carried();
        change(json);
        const auto read_back = read(json);
        if (read_back)
            abort();
        return read_back.error().member;
    };
    assert_true(refused([](Json &j) { j["schema"] = 2; }) == "schema");
    assert_true(refused([](Json &j) { j["advisories"] = Json::array(); }) == "advisories");
    assert_true(refused([](Json &j) { j["advisories"][0]["more"] = 1; }) == "advisories[0].more");
    assert_true(refused([](Json &j) { j["advisories"][1]["id"] = "AMD-SB-3015"; }) == "advisories: AMD-SB-3015");
    assert_true(refused([](Json &j) { j["advisories"][1]["also"] = {"BadRAM"}; }) == "advisories: AMD-SB-3019");
    assert_true(refused([](Json &j) { j["advisories"][0]["status"] = "likely"; }) == "advisories[0].status");
    assert_true(refused([](Json &j) { j["advisories"][0]["source"] = Json::array(); }) == "advisories[0].source");
    assert_true(refused([](Json &j) { j["advisories"][0]["products"].erase("Turin"); }) ==
                "advisories[0].products.Turin");
    const auto floor = [&](const Json &value) {
        return refused([&](Json &j) { j["advisories"][0]["products"]["Milan"] = Json::array({value}); });
    };
    const std::string at = "advisories[0].products.Milan[0]";
    assert_true(floor(Json::object()) == at); // that everything meets
    assert_true(floor({{"tcb", Json::object()}}) == at);
    assert_true(floor({{"tcb", {{"fmc", 1}}}}) == at + ".tcb.fmc");
    assert_true(floor({{"tcb", {{"snp", 256}}}}) == at + ".tcb.snp");
    assert_true(floor({{"platform_info", {{"smt", "skip"}}}}) == at + ".platform_info.smt");
    assert_true(floor({{"guest_policy", {{"debugging", false}}}}) == at + ".guest_policy.debugging");
    for (const char *const cpuid : {"19/11/1", "19/1/1", "19/01/01", "1901001", "19/0g/1", "19-01-1"})
        assert_true(floor({{"cpuid", cpuid}, {"tcb", {{"snp", 1}}}}) == at + ".cpuid"); // the first is a Genoa
    assert_true(refused([](Json &j) { j["advisories"][0]["products"]["Milan"] = "none"; }) ==
                "advisories[0].products.Milan");
    for (const std::string_view text : {"", "[]", "{}", "null"})
        assert_false(parse_advisories(as_bytes(text)).has_value());
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(carried_advisories_are_those_of_the_file),
        cmocka_unit_test(entrysign_needs_the_level_of_the_part),
        cmocka_unit_test(bits_and_masks_are_looked_at),
        cmocka_unit_test(parse_advisories_refuses_what_could_be_misread),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
