// cvmin policy: makes an appraisal policy to start from, names everything that is wrong with one, and says one in
// words.
#include "host-tools/appraise/policy_text.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/cli.hpp"

#include <cerrno>
#include <cstdio>

namespace cvmin {

namespace {

constexpr const char *command = "policy";
constexpr mode_t for_everybody = 0644;

struct Args {
    std::vector<std::string> products;
    std::string out, file;
    bool skip_all = false;
    bool force = false;
    bool json = false;
};

int init(const Args &args) {
    std::vector<Product> products;
    for (const Product product : all_products)
        if (args.products.empty() || std::ranges::contains(args.products, name(product)))
            products.push_back(product);
    const std::string text = new_policy(products, args.skip_all).dump(2) + "\n";
    if (args.out.empty()) {
        std::fwrite(text.data(), 1, text.size(), stdout);
        return Exit::ok;
    }
    const auto written =
        args.force ? write_file(args.out, as_bytes(text)) : write_new_file(args.out, as_bytes(text), for_everybody);
    if (!written && written.error().code == Errc::system && written.error().detail == EEXIST)
        return report_error(command, Exit::bad_input,
                            args.out + ": is there already, and is kept; --force replaces it");
    if (!written)
        return report_error(command, written.error(), args.out);
    note("wrote " + args.out + "; cvmin policy explain says it in words");
    return Exit::ok;
}

Json problem_json(const PolicyError &problem) {
    const std::string text = to_string(problem);
    const bool named = !problem.member.empty();
    return {{"path", named ? "$." + problem.member : "$"},
            {"problem", printable_line(named ? text.substr(problem.member.size() + 2) : text)}};
}

int check(const Args &args) {
    const auto text = read_file(args.file, max_json_size);
    if (!text)
        return report_error(command, text.error(), args.file);
    const auto policy = check_policy(*text);
    Json problems = Json::array();
    if (!policy)
        for (const PolicyError &problem : policy.error())
            problems.push_back(problem_json(problem));
    if (args.json)
        print_json({{"schema", 1}, {"ok", policy.has_value()}, {"problems", problems}});
    else if (policy)
        std::printf("ok\n");
    else
        for (const Json &problem : problems)
            report_error(command, Exit::bad_input,
                         args.file + ": " + printable_line(problem["path"].get<std::string>()) + ": " +
                             problem["problem"].get<std::string>());
    return policy ? Exit::ok : Exit::bad_input;
}

void print_lines(const std::vector<PolicyLine> &lines, bool skipped) {
    std::string reason;
    for (const PolicyLine &line : lines) {
        if (line.skipped != skipped)
            continue;
        const std::string value = skipped ? "" : " = " + line.value;
        std::printf("  %s\n      %s\n", printable_line(line.path + value).c_str(),
                    printable_line(line.meaning).c_str());
        if (!skipped && !line.reason.empty() && line.reason != reason)
            std::printf("      why: %s\n", printable_line(line.reason).c_str());
        reason = line.reason;
    }
}

int explain_file(const Args &args) {
    const auto text = read_file(args.file, max_json_size);
    if (!text)
        return report_error(command, text.error(), args.file);
    if (const auto policy = parse_policy(*text); !policy) // a policy that says nothing cannot be said in words
        return report_error(command, Exit::bad_input,
                            args.file + ": " + printable_line(to_string(policy.error())) + "; see cvmin policy check");
    const auto json = parse_json(*text, "policy");
    if (!json)
        return report_error(command, json.error(), args.file);
    const auto lines = explain_policy(*json);
    if (args.json) {
        Json skipped = Json::array(), checked = Json::array();
        for (const PolicyLine &line : lines) {
            Json entry{{"path", line.path}, {"meaning", line.meaning}};
            if (!line.skipped) {
                entry["value"] = line.value;
                entry["reason"] = line.reason;
            }
            (line.skipped ? skipped : checked).push_back(std::move(entry));
        }
        print_json({{"schema", 1}, {"skipped", std::move(skipped)}, {"checked", std::move(checked)}});
        return Exit::ok;
    }
    std::printf("not checked, because the policy says \"skip\":\n");
    print_lines(lines, true);
    std::printf("\nchecked:\n");
    print_lines(lines, false);
    std::printf("\nalways checked, and in no policy: format, signature and chain of the report, that its certificate\n"
                "agrees with it about product, TCB and chip, bits that nobody knows, and for evidence of an agent the\n"
                "launch digest.\n");
    return Exit::ok;
}

} // namespace

int cmd_policy(int argc, char **argv) {
    Args args;
    CLI::App app{"Make, check and explain appraisal policies.", "cvmin policy"};
    app.require_subcommand(1);
    app.footer("Examples:\n"
               "  cvmin policy init --product Genoa --out policy.json\n"
               "  cvmin policy check policy.json\n"
               "  cvmin policy explain policy.json\n\n"
               "Exit codes: 0 done, 2 usage, 3 bad input: a policy with problems, or a file that is there, 4 system.");
    CLI::App *init_app = app.add_subcommand("init", "write a policy to start from");
    init_app->add_option("--product", args.products, "Milan, Genoa or Turin; repeatable (default: all of them)")
        ->check(CLI::IsMember({"Milan", "Genoa", "Turin"}));
    init_app->add_flag("--skip-all", args.skip_all,
                       "every member that depends on the site is \"skip\"; signature, chain, format and product are "
                       "checked all the same");
    init_app->add_option("--out", args.out, "file to write (default: standard output)");
    init_app->add_flag("--force", args.force, "replace a file that is there");
    CLI::App *check_app = app.add_subcommand("check", "name everything that is wrong with a policy");
    check_app->add_option("file", args.file, "policy; - is standard input")->required();
    check_app->add_flag("--json", args.json, "print JSON (schema 1)");
    CLI::App *explain_app = app.add_subcommand("explain", "say a policy in words, what is skipped first");
    explain_app->add_option("file", args.file, "policy; - is standard input")->required();
    explain_app->add_flag("--json", args.json, "print JSON (schema 1)");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (init_app->parsed())
        return init(args);
    return check_app->parsed() ? check(args) : explain_file(args);
}

} // namespace cvmin
