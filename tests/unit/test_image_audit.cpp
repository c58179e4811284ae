// audit.json and the texts it is made of: what is taken, that it comes back the same, and every refusal.
#include "tests/unit/cmocka.hpp"

#include "image/hardening.hpp"

using namespace cvmin;
using namespace std::string_literals;

static Json sample() {
    Json option{{"name", "SMP"}, {"value", "y"}, {"base", "n"}, {"origin", "asked"}, {"reason", "more than one vCPU"}};
    Json selected{
        {"name", "XARRAY_MULTI"}, {"value", "y"}, {"base", "n"}, {"origin", "selected"}, {"reason", "SMP, MMU"}};
    Json parameter{{"parameter", "quiet"}, {"reason", "nothing is shown"}};
    Json recommendation{{"kind", "config"}, {"name", "KFENCE"}, {"wanted", "y"},
                        {"by", "kspp"},     {"ours", "n"},      {"reason", "nobody reads it"}};
    Json source{{"name", "musl-dev"}, {"version", "1.2.5-3"}, {"part", "agent"}, {"licence", "MIT"}};
    return {{"schema", 1},
            {"kind", "cvmin-image-audit"},
            {"kernel_base", "allnoconfig"},
            {"kernel_options", Json::array({option, selected})},
            {"command_line", Json::array({parameter})},
            {"hardening", Json::array({recommendation})},
            {"sources", Json::array({source})}};
}
static Result<ImageAudit> parse(const Json &json) {
    return parse_image_audit(as_bytes(json.dump()));
}

static void parse_image_audit_gives_back_what_is_written(void **) {
    const auto audit = parse(sample());
    assert_true(audit.has_value());
    assert_true(audit->options[0] == (KernelOption{"SMP", "y", "n", "asked", "more than one vCPU"}));
    assert_true(audit->parameters[0] == (CommandLineParameter{"quiet", "nothing is shown"}));
    assert_true(audit->hardening[0] == (Recommendation{"config", "KFENCE", "y", "kspp", "n", "nobody reads it"}));
    assert_true(audit->sources[0] == (SourceLicence{"musl-dev", "1.2.5-3", "agent", "MIT"}));
    assert_string_equal(to_json(*audit).dump().c_str(), sample().dump().c_str());
}

static void parse_image_audit_refuses_other_shapes(void **) {
    const auto refused = [](auto change) {
        Json json = sample();
        change(json);
        return !parse(json).has_value();
    };
    for (const char *member :
         {"schema", "kind", "kernel_base", "kernel_options", "command_line", "hardening", "sources"})
        assert_true(refused([&](Json &j) { j.erase(member); }));
    assert_true(refused([](Json &j) { j["schema"] = 2; }));
    assert_true(refused([](Json &j) { j["kind"] = "cvmin-image"; }));
    assert_true(refused([](Json &j) { j["kernel_base"] = "defconfig"; }));
    assert_true(refused([](Json &j) { j["more"] = 1; }));
    assert_true(refused([](Json &j) { j["sources"] = Json::object(); }));
    assert_true(refused([](Json &j) { j["kernel_options"][0]["origin"] = "guessed"; }));
    assert_true(refused([](Json &j) { j["kernel_options"][0]["reason"] = ""; }));
    assert_true(refused([](Json &j) { j["kernel_options"][0]["reason"] = "two\nlines"; }));
    assert_true(refused([](Json &j) { j["kernel_options"][0]["value"] = 1; }));
    assert_true(refused([](Json &j) { j["kernel_options"][0]["name"] = "A-B"; }));
    assert_true(refused([](Json &j) { j["kernel_options"][0]["name"] = "ZZZ"; })); // not sorted
    assert_true(refused([](Json &j) { j["kernel_options"][1]["name"] = "SMP"; })); // twice
    assert_true(refused([](Json &j) { j["kernel_options"][0]["more"] = "x"; }));
    assert_true(refused([](Json &j) { j["kernel_options"][0].erase("base"); }));
    assert_true(refused([](Json &j) { j["command_line"][0] = "quiet"; }));
    assert_true(refused([](Json &j) { j["hardening"][0]["reason"] = ""; })); // not followed, and nobody knows why
    assert_true(refused([](Json &j) { j["hardening"][0]["kind"] = "module"; }));
    assert_true(refused([](Json &j) { j["hardening"][0]["ours"] = ""; }));
    assert_true(refused([](Json &j) { j["hardening"][0].erase("by"); }));
    assert_true(refused([](Json &j) { j["sources"][0]["part"] = "host"; }));
    assert_true(refused([](Json &j) { j["sources"][0]["licence"] = ""; }));
    assert_true(refused([](Json &j) {
        for (std::size_t i = 0; i <= max_audit_entries; ++i)
            j["command_line"].push_back("x");
    }));
    assert_false(parse_image_audit(as_bytes("[]")).has_value());
}

static void parse_kernel_options_wants_five_fields_sorted(void **) {
    const auto options =
        parse_kernel_options(as_bytes("HZ\t100\t250\tdefault\tkernel/Kconfig.hz\nSMP\ty\tn\tasked\twhy\n"));
    assert_true(options && options->size() == 2);
    assert_true((*options)[0] == (KernelOption{"HZ", "100", "250", "default", "kernel/Kconfig.hz"}));
    for (const char *bad :
         {"HZ\t100\t250\tdefault\n", "HZ\t100\t250\tdefault\t\n", "HZ\t\t250\tdefault\tx\n", "HZ\t1\t2\tother\tx\n",
          "\t1\t2\tasked\tx\n", "B\ty\tn\tasked\tx\nA\ty\tn\tasked\tx\n", "\n", "A\ty\tn\tasked\tx\ty\n"})
        assert_true(parse_kernel_options(as_bytes(bad)).error().code == Errc::malformed);
}

static void parse_licences_takes_one_line_per_package(void **) {
    const auto licences =
        parse_licences(as_bytes("# why\n\nmbedtls agent Apache-2.0 OR GPL-2.0-or-later\ntool - MIT\n"));
    assert_true(licences && licences->size() == 2);
    assert_true((*licences)[0] == (SourceLicence{"mbedtls", "", "agent", "Apache-2.0 OR GPL-2.0-or-later"}));
    assert_true(parse_licences(as_bytes("mbedtls agent")).error() == (Error{Errc::malformed, "licences", 1}));
    assert_true(parse_licences(as_bytes("\nmbedtls MIT agent")).error() == (Error{Errc::malformed, "licences", 2}));
    assert_true(parse_licences(as_bytes("a agent MIT\na agent MIT")).error() == (Error{Errc::mismatch, "licences", 2}));
}

static void parse_commented_parameters_wants_a_reason_for_each(void **) {
    const auto parameters = parse_commented_parameters(as_bytes("# head\nquiet  # hush\nswiotlb=8192 # the same\n"));
    assert_true(parameters && parameters->size() == 2);
    assert_true((*parameters)[1] == (CommandLineParameter{"swiotlb=8192", "hush"}));
    assert_true(parse_commented_parameters(as_bytes("\nquiet\n")).error() == (Error{Errc::malformed, "cmdline", 2}));
    assert_true(parse_commented_parameters(as_bytes("quiet #\n")).error().code == Errc::malformed);
}

static void parse_recommendations_wants_four_words_and_of_a_sysctl_five_and_a_reason(void **) {
    const auto list = parse_recommendations(as_bytes("# who\n\nconfig BUG y kspp\nconfig IOMMU y linux # none\n"
                                                     "cmdline iommu force clipos # the same\n"
                                                     "sysctl kernel.sysrq 0 checker none # CONFIG_MAGIC_SYSRQ=n\n"));
    assert_true(list && list->size() == 4);
    assert_true((*list)[0] == (Recommendation{"config", "BUG", "y", "kspp", "", ""}));
    assert_true((*list)[2] == (Recommendation{"cmdline", "iommu", "force", "clipos", "", "none"}));
    assert_true((*list)[3] ==
                (Recommendation{"sysctl", "kernel.sysrq", "0", "checker", "none", "CONFIG_MAGIC_SYSRQ=n"}));
    for (const char *bad : {"config BUG y", "config BUG y kspp n", "module BUG y kspp", "config BUG y kspp #",
                            "sysctl a 0 kspp # why", "sysctl a 0 kspp 0", "config B\x01G y kspp"})
        assert_true(parse_recommendations(as_bytes(bad)).error() == (Error{Errc::malformed, "hardening", 1}));
    assert_true(parse_recommendations(as_bytes("config A y kspp\nconfig A n kspp")).error() ==
                (Error{Errc::mismatch, "hardening", 2}));
}

// What the failure says about one line, with this configuration and command line.
static std::string held(const char *line, const char *config, std::vector<CommandLineParameter> parameters = {}) {
    auto list = parse_recommendations(as_bytes(line));
    assert_true(list.has_value());
    const auto done = hold_recommendations(*list, as_bytes(config), parameters);
    return done ? "held" : done.error().text;
}

static void hold_recommendations_wants_a_reason_exactly_where_one_is_not_followed(void **) {
    static constexpr const char *config = "CONFIG_BUG=y\n# CONFIG_AIO is not set\nCONFIG_HZ=100\nCONFIG_BUGS=n2\n";
    assert_string_equal(held("config BUG y kspp", config).c_str(), "held");
    assert_string_equal(held("config AIO n kspp", config).c_str(), "held");
    assert_string_equal(held("config NOWHERE n kspp", config).c_str(), "held");
    assert_string_equal(held("config HZ 250 kspp # fewer ticks", config).c_str(), "held");
    assert_string_equal(held("config HZ 250 kspp", config).c_str(),
                        "config HZ is 100, and no reason says why not 250 (kspp)");
    assert_string_equal(held("config AIO y kspp", config).c_str(),
                        "config AIO is n, and no reason says why not y (kspp)");
    assert_string_equal(held("config BUG y kspp # old", config).c_str(),
                        "config BUG is y as recommended, but a reason says why not");
    // of a command line: the last of a name holds
    assert_string_equal(held("cmdline quiet set kspp", "", {{"quiet", ""}}).c_str(), "held");
    assert_string_equal(held("cmdline nopti absent kspp", "", {{"quiet", ""}}).c_str(), "held");
    assert_string_equal(held("cmdline nopti absent kspp", "", {{"nopti", ""}}).c_str(),
                        "cmdline nopti is set, and no reason says why not absent (kspp)");
    assert_string_equal(held("cmdline a 1 kspp", "", {{"a=0", ""}, {"a=1", ""}}).c_str(), "held");
    assert_string_equal(held("cmdline a 1 kspp", "", {{"a=1", ""}, {"a=0", ""}}).c_str(),
                        "cmdline a is 0, and no reason says why not 1 (kspp)");
    for (const char *parameter : {"quiet", "mds=full"})
        assert_string_equal(held("cmdline mds not-off kspp", "", {{parameter, ""}}).c_str(), "held");
    assert_string_equal(held("cmdline mds not-off kspp", "", {{"mds=off", ""}}).c_str(),
                        "cmdline mds is off, and no reason says why not not-off (kspp)");
    // of sysctl the list itself says what is; every failure is named
    assert_string_equal(held("sysctl a 1 kspp 1 # default\nsysctl b 1 kspp 0 # no use", "").c_str(), "held");
    assert_string_equal(
        held("config A y kspp\nconfig B y kspp", "").c_str(),
        "config A is n, and no reason says why not y (kspp); config B is n, and no reason says why not y (kspp)");
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(parse_image_audit_gives_back_what_is_written),
        cmocka_unit_test(parse_image_audit_refuses_other_shapes),
        cmocka_unit_test(parse_kernel_options_wants_five_fields_sorted),
        cmocka_unit_test(parse_licences_takes_one_line_per_package),
        cmocka_unit_test(parse_commented_parameters_wants_a_reason_for_each),
        cmocka_unit_test(parse_recommendations_wants_four_words_and_of_a_sysctl_five_and_a_reason),
        cmocka_unit_test(hold_recommendations_wants_a_reason_exactly_where_one_is_not_followed),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
