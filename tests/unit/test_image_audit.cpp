// audit.json and the two texts it is made of: what is taken, that it comes back the same, and every refusal.
#include "tests/unit/cmocka.hpp"

#include "image/image_audit.hpp"

using namespace cvmin;
using namespace std::string_literals;

static Json sample() {
    Json option{{"name", "SMP"}, {"value", "y"}, {"base", "n"}, {"origin", "asked"}, {"reason", "more than one vCPU"}};
    Json selected{
        {"name", "XARRAY_MULTI"}, {"value", "y"}, {"base", "n"}, {"origin", "selected"}, {"reason", "SMP, MMU"}};
    Json parameter{{"parameter", "quiet"}, {"reason", "nothing is shown"}};
    Json source{{"name", "musl-dev"}, {"version", "1.2.5-3"}, {"part", "agent"}, {"licence", "MIT"}};
    return {{"schema", 1},
            {"kind", "cvmin-image-audit"},
            {"kernel_base", "allnoconfig"},
            {"kernel_options", Json::array({option, selected})},
            {"command_line", Json::array({parameter})},
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
    assert_true(audit->sources[0] == (SourceLicence{"musl-dev", "1.2.5-3", "agent", "MIT"}));
    assert_string_equal(to_json(*audit).dump().c_str(), sample().dump().c_str());
}

static void parse_image_audit_refuses_other_shapes(void **) {
    const auto refused = [](auto change) {
        Json json = sample();
        change(json);
        return !parse(json).has_value();
    };
    for (const char *member : {"schema", "kind", "kernel_base", "kernel_options", "command_line", "sources"})
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

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(parse_image_audit_gives_back_what_is_written),
        cmocka_unit_test(parse_image_audit_refuses_other_shapes),
        cmocka_unit_test(parse_kernel_options_wants_five_fields_sorted),
        cmocka_unit_test(parse_licences_takes_one_line_per_package),
        cmocka_unit_test(parse_commented_parameters_wants_a_reason_for_each),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
