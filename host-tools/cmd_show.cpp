// cvmin show: prints a report, a certificate, a revocation list, claims, evidence or a log. Verifies nothing.
#include "host-tools/base/os.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/present/show.hpp"
#include "host-tools/present/timeline.hpp"

#include <cstdio>

namespace cvmin {

int cmd_show(int argc, char **argv) {
    constexpr const char *command = "show";
    std::string kind, path;
    std::optional<std::string> product, html;
    bool as_json = false;
    std::vector<std::string> kinds;
    std::string list;
    for (const ShowKind &each : show_kinds()) {
        kinds.emplace_back(each.name);
        std::string line = "  " + std::string{each.name};
        line.resize(15, ' ');
        list += line + std::string{each.summary} + "\n";
    }
    CLI::App app{"Print what is in a file of attestation, for people. Nothing of it is verified: see cvmin verify.",
                 "cvmin show"};
    app.add_option("kind", kind, "what the file is")->required()->check(CLI::IsMember(kinds));
    app.add_option("file", path, "the file, binary, PEM or hex digits; - is standard input")->required();
    app.add_option("--product", product, "product of a version 2 report, which does not say it: splits its TCBs")
        ->check(CLI::IsMember({"Milan", "Genoa", "Turin"}));
    app.add_flag("--json", as_json, "print JSON (schema 1)");
    app.add_option("--html", html, "write a page, too: the events of a log along a line for each PCR");
    app.footer("Kinds:\n" + list +
               "\nExamples:\n"
               "  cvmin show report report.bin\n"
               "  cvmin show cert vcek.der --json\n"
               "  cvmin show evidence evidence.cbor\n"
               "  cvmin show eventlog /sys/kernel/security/tpm0/binary_bios_measurements --html boot.html\n\n"
               "Exit codes: 0 done, 2 usage, 3 not such a file, 4 system.");
    if (const auto done = parse_options(app, argc, argv))
        return *done;

    const auto file = read_file(path, max_shown_size);
    if (!file)
        return report_error(command, file.error(), path);
    ShowOptions options;
    if (product)
        options.product = product_by_name(*product);
    for (const ShowKind &each : show_kinds()) {
        if (each.name != kind)
            continue;
        const auto items = each.show(decoded(*file), options);
        if (!items)
            return report_error(command, items.error(), path.append(": not a readable ").append(kind));
        if (html) {
            const auto written = write_file(*html, as_bytes(timeline_html(kind, path, *items)));
            if (!written)
                return report_error(command, written.error(), *html);
        }
        if (as_json)
            print_json(show_json(kind, *items));
        else
            std::fputs(show_text(*items).c_str(), stdout);
        return Exit::ok;
    }
    return report_error(command, Exit::usage, "no kind '" + kind + "'");
}

} // namespace cvmin
