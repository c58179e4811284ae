// cvmin certs: certificates and revocation lists from AMD, and the signed bundle of them for verifying offline.
#include "common/evidence.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/attest_live.hpp"
#include "host-tools/base/mbed.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/collateral/bundle.hpp"
#include "host-tools/collateral/collateral.hpp"
#include "host-tools/endorsements.hpp"
#include "host-tools/signals.hpp"

#include <cstdio>

namespace cvmin {

namespace {

constexpr const char *command = "certs";
constexpr unsigned default_timeout_s = 180; // the service makes a client wait ten seconds between two VCEKs
constexpr unsigned max_retries = 20;
constexpr std::size_t max_private_key_size = 16u << 10; // a P-384 key in PEM has under 400 bytes
constexpr std::size_t max_input_files = 4096;           // of --from: more than a bundle can hold

struct FetchArgs {
    std::string report, evidence, product, chip_id, tcb, out;
    std::string kds{amd_kds};
    std::string ca_file;
    std::optional<std::string> emulated_ark;
    unsigned timeout_s = default_timeout_s;
    unsigned retries = default_retries;
    bool vlek = false, no_crl = false, offline = false, refresh = false, json = false;
};

struct BundleArgs {
    std::vector<std::string> from;
    std::string key, expires, out, minimum_tcb;
    std::optional<std::string> emulated_ark;
    bool json = false;
};

struct ShowArgs {
    std::string file;
    std::optional<std::string> key;
    bool json = false;
};

// ---- fetch ----------------------------------------------------------------------------------------------------------

std::optional<std::string> usage_problem(const FetchArgs &args) {
    const bool direct = !args.chip_id.empty() || !args.tcb.empty();
    if (!args.report.empty() + !args.evidence.empty() + direct > 1)
        return "wanted one of: --report FILE, --evidence FILE, --chip-id with --tcb";
    if (args.chip_id.empty() != args.tcb.empty())
        return "--chip-id and --tcb go together: a VCEK is of one chip at one TCB";
    if (args.report.empty() && args.evidence.empty() && args.product.empty())
        return "wanted one of: --report FILE, --evidence FILE, --product NAME";
    if (args.vlek && (direct || !args.report.empty() || !args.evidence.empty()))
        return "--vlek goes with --product alone: AMD publishes no VLEKs, only what is above them";
    if (args.offline && args.refresh)
        return "--offline and --refresh exclude each other";
    return std::nullopt;
}

Explained<CollateralRequest> read_request(const FetchArgs &args) {
    CollateralRequest request;
    request.now = std::time(nullptr);
    request.crl = !args.no_crl;
    request.kind = args.vlek ? VekKind::vlek : VekKind::vcek;
    std::optional<Product> product;
    if (!args.product.empty()) {
        product = product_by_name(args.product);
        if (!product)
            return explain(Errc::usage, "--product: wanted Milan, Genoa or Turin");
        request.product = *product;
    }
    if (args.emulated_ark) {
        auto ark = read_emulated_ark(*args.emulated_ark);
        if (!ark)
            return explain(ark.error(), *args.emulated_ark);
        request.emulated_ark = std::move(*ark);
    }
    if (!args.chip_id.empty()) {
        const auto chip = parse_hex(args.chip_id, "--chip-id");
        if (!chip)
            return explain(Errc::usage, "--chip-id: wanted 64 bytes in hexadecimal (8 for Turin)");
        const auto tcb = parse_tcb(*product, args.tcb);
        if (!tcb)
            return explain(Errc::usage, "--tcb: " + tcb.error().text);
        auto id = vcek_id(*product, *chip, *tcb);
        if (!id)
            return explain(Errc::usage, "--chip-id: " + id.error().text);
        request.vcek = std::move(*id);
        return request;
    }
    const std::string &file = args.report.empty() ? args.evidence : args.report;
    if (file.empty())
        return request;
    const auto bytes = read_file(file, args.report.empty() ? max_evidence_size : snp_report_size);
    if (!bytes)
        return explain(bytes.error(), file);
    request.report = *bytes;
    if (args.report.empty()) {
        auto evidence = parse_evidence(*bytes);
        if (!evidence)
            return explain(evidence.error(), file);
        request.report = std::move(evidence->report);
    }
    const auto report = parse_snp_report(request.report);
    if (!report)
        return explain(report.error(), file);
    auto of = product_of_report(*report, product);
    if (!of)
        return explain(of.error().code, file + ": " + of.error().text);
    request.product = *of;
    switch (report->signing_key()) {
    case SigningKey::vcek: {
        auto id = vcek_id(*report, product);
        if (!id)
            return explain(id.error().code, file + ": " + id.error().text);
        request.vcek = std::move(*id);
        return request;
    }
    case SigningKey::vlek:
        note(
            "the report is signed by a VLEK, which AMD does not publish: it comes with the host. Its chain is fetched");
        request.kind = VekKind::vlek;
        return request;
    case SigningKey::none:
        break;
    }
    return explain(Errc::unsupported, file + ": the report says that no VCEK or VLEK signed it");
}

struct NamedFile {
    std::string what, name;
    Bytes bytes;
};

// Names say what is inside, so that those of many chips lie beside each other.
std::vector<NamedFile> files_of(const CollateralRequest &request, const Collateral &got) {
    std::string product{name(request.product)};
    for (char &c : product)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    std::vector<NamedFile> files;
    if (got.vek) {
        ByteArray<8> tcb;
        store_be(tcb, encode_tcb(request.product, request.vcek->tcb));
        files.push_back({"VCEK", product + "-vcek-" + hex(request.vcek->hwid).substr(0, 16) + '-' + hex(tcb) + ".der",
                         to_bytes(got.vek->der())});
    }
    const bool vlek = request.kind == VekKind::vlek;
    files.push_back(
        {vlek ? "ASVK" : "ASK", product + (vlek ? "-asvk.der" : "-ask.der"), to_bytes(got.intermediate->der())});
    files.push_back({"ARK", product + "-ark.der", to_bytes(got.ark->der())});
    if (got.crl)
        files.push_back({"CRL", product + (vlek ? "-vlek.crl" : "-vcek.crl"), to_bytes(got.crl->der())});
    return files;
}

// Missing parents are not made: a mistyped path is more likely than a wish for it.
Explained<void> write_files(const std::string &directory, const std::vector<NamedFile> &files) {
    std::error_code error;
    if (!std::filesystem::is_directory(directory, error) && !std::filesystem::create_directory(directory, error))
        return explain(Error{Errc::system, "directory", static_cast<std::uint64_t>(error.value())}, directory);
    for (const NamedFile &file : files)
        if (const auto written = write_file(directory + '/' + file.name, file.bytes); !written)
            return explain(written.error(), directory + '/' + file.name);
    return {};
}

void print_fetched(const FetchArgs &args, const CollateralRequest &request, const Collateral &got) {
    const auto files = files_of(request, got);
    if (!args.json) {
        if (got.chain.emulated)
            std::printf("EMULATED: under the root that --trust-emulated names, not AMD's\n");
        std::printf("chain  %s\n", got.chain.path.c_str());
        if (got.crl)
            std::printf("list   of %s, next on %s, %zu entries, none of this chain\n",
                        format_time(got.crl->this_update()).c_str(), format_time(*got.crl->next_update()).c_str(),
                        got.crl->entries());
        for (const NamedFile &file : files)
            std::printf("%-6s %s  sha256 %s\n", file.what.c_str(),
                        args.out.empty() ? "(kept in the cache)" : (args.out + '/' + file.name).c_str(),
                        hex(sha256(file.bytes)).c_str());
        return;
    }
    Json json{{"schema", 1},
              {"product", name(request.product)},
              {"emulated", got.chain.emulated},
              {"chain", got.chain.path},
              {"answers", Json::array()},
              {"files", Json::array()}};
    for (const auto &item : got.items)
        json["answers"].push_back({{"what", item.what}, {"url", item.url}, {"cached", item.cached}});
    for (const NamedFile &file : files)
        json["files"].push_back({{"what", file.what},
                                 {"file", args.out.empty() ? Json{} : Json(args.out + '/' + file.name)},
                                 {"sha256", hex(sha256(file.bytes))}});
    if (got.crl)
        json["crl"] = {{"this_update", format_time(got.crl->this_update())},
                       {"next_update", format_time(*got.crl->next_update())},
                       {"entries", got.crl->entries()}};
    print_json(json);
}

int fetch_certs(const FetchArgs &args) {
    if (const auto problem = usage_problem(args))
        return report_error(command, Exit::usage, *problem);
    auto address = parse_service_address(args.kds);
    if (!address)
        return report_error(command, Exit::usage, "--kds: " + address.error().text);
    const auto request = read_request(args);
    if (!request)
        return report_error(command, request.error());

    Signals signals;
    RealPacing pacing{signals};
    CurlClient client{args.ca_file, [&signals] { return signals.arrived(); }};
    KdsCache cache{cache_directory() / "kds", *address};
    CollateralAccess access{.address = std::move(*address),
                            .http = client,
                            .pacing = pacing,
                            .cache = cache,
                            .note = [](std::string_view text) { note(text); },
                            .deadline = pacing.now() + std::chrono::seconds{args.timeout_s},
                            .retries = args.retries,
                            .offline = args.offline,
                            .refresh = args.refresh};
    const auto got = fetch_collateral(*request, access);
    signals.arrived();
    signals.end_by_it();
    if (!got)
        return report_error(command, got.error());
    if (args.out.empty() && !std::ranges::all_of(got->items, &Collateral::Item::kept))
        return report_error(command, Exit::system_failure,
                            "the cache cannot be written, and without --out nothing would be left of what was fetched");
    if (!args.out.empty())
        if (const auto written = write_files(args.out, files_of(*request, *got)); !written)
            return report_error(command, written.error());
    signals.arrived();
    signals.end_by_it(); // what was written is whole
    print_fetched(args, *request, *got);
    return Exit::ok;
}

// ---- bundle ---------------------------------------------------------------------------------------------------------

// Files of directories, in the order of their names, so that the same files give the same bundle.
Explained<std::vector<std::string>> input_files(const std::vector<std::string> &from) {
    static constexpr std::string_view endings[] = {".der", ".pem", ".crt", ".cer", ".crl"};
    std::vector<std::string> files;
    for (const std::string &path : from) {
        std::error_code error;
        if (!std::filesystem::is_directory(path, error)) {
            files.push_back(path);
            continue;
        }
        std::vector<std::string> found;
        for (auto entry = std::filesystem::directory_iterator{path, error};
             !error && entry != std::filesystem::directory_iterator{}; entry.increment(error)) {
            const std::string file = entry->path().string();
            if (std::ranges::any_of(endings, [&](std::string_view ending) { return file.ends_with(ending); }))
                found.push_back(file);
            else
                note(file + ": left out, its name is not one of a certificate or list");
        }
        if (error)
            return explain(Error{Errc::system, "directory", static_cast<std::uint64_t>(error.value())}, path);
        std::ranges::sort(found);
        files.insert(files.end(), found.begin(), found.end());
    }
    if (files.size() > max_input_files)
        return explain(Errc::too_large, "--from: " + std::to_string(files.size()) + " files, room for " +
                                            std::to_string(max_input_files));
    return files;
}

Json tcb_json(Product product, const Tcb &tcb) {
    Json json;
    for (const TcbComponent component : all_tcb_components)
        if (tcb_byte(product, component))
            json[std::string{name(component)}] = tcb[component];
    return json;
}

// What is in a bundle, for `bundle` and `show`.
Explained<Json> describe_bundle(const Bundle &bundle) {
    const auto contents = endorsements_of(bundle, {});
    if (!contents)
        return explain(contents.error(), "bundle");
    Json json{{"created", format_time(static_cast<std::time_t>(bundle.created))},
              {"expires", format_time(static_cast<std::time_t>(bundle.expires))},
              {"veks", Json::array()},
              {"intermediates", Json::array()},
              {"crls", Json::array()},
              {"minimum_tcb", Json::object()}};
    for (const auto &certificate : contents->veks) {
        Json entry{{"issuer", certificate->issuer_name()}, {"sha256", hex(sha256(certificate->der()))}};
        if (const auto vek = parse_vek_cert(*certificate)) {
            entry["kind"] = name(vek->kind);
            entry["product"] = vek->product_name;
            entry["tcb"] = tcb_json(vek->product, vek->tcb);
            if (vek->kind == VekKind::vcek)
                entry["hwid"] = hex(vek->hwid);
            else
                entry["csp_id"] = vek->csp_id;
        }
        json["veks"].push_back(std::move(entry));
    }
    for (const auto &certificate : contents->intermediates)
        json["intermediates"].push_back({{"subject", certificate->subject_name()},
                                         {"issuer", certificate->issuer_name()},
                                         {"sha256", hex(sha256(certificate->der()))}});
    for (const auto &list : contents->crls)
        json["crls"].push_back({{"issuer", list->issuer_name()},
                                {"this_update", format_time(list->this_update())},
                                {"next_update", list->next_update() ? Json(format_time(*list->next_update())) : Json{}},
                                {"entries", list->entries()}});
    for (const Product product : all_products)
        for (std::size_t kind = 0; kind < tcb_kind_count; ++kind)
            if (const auto &tcb = bundle.minimum_tcb[static_cast<std::size_t>(product)][kind])
                json["minimum_tcb"][std::string{name(product)}][std::string{tcb_kind_names[kind]}] =
                    tcb_json(product, *tcb);
    return json;
}

std::string text_of(const Json &value) { // of a string; hostile names are cut to what a terminal can show
    std::string out;
    for (const char c : value.is_string() ? value.get<std::string>() : std::string{"none"})
        out += c >= 0x20 && c < 0x7f ? c : '?';
    return out;
}

std::string tcb_text(const Json &tcb) {
    std::string out;
    for (const auto &[component, level] : tcb.items())
        out += (out.empty() ? "" : ", ") + component + ' ' + std::to_string(level.get<unsigned>());
    return out;
}

void print_bundle(const Json &json) {
    std::printf("made %s, ends %s\n", text_of(json["created"]).c_str(), text_of(json["expires"]).c_str());
    for (const Json &vek : json["veks"]) {
        if (!vek.contains("kind")) {
            std::printf("key    a certificate that is no VCEK or VLEK, issued by %s\n", text_of(vek["issuer"]).c_str());
            continue;
        }
        const bool vcek = vek.contains("hwid");
        std::printf("%-6s %s, %s %s, %s\n", text_of(vek["kind"]).c_str(), text_of(vek["product"]).c_str(),
                    vcek ? "chip" : "provider",
                    vcek ? text_of(vek["hwid"]).substr(0, 16).c_str() : text_of(vek["csp_id"]).c_str(),
                    tcb_text(vek["tcb"]).c_str());
    }
    for (const Json &certificate : json["intermediates"])
        std::printf("above  %s, issued by %s\n", text_of(certificate["subject"]).c_str(),
                    text_of(certificate["issuer"]).c_str());
    for (const Json &list : json["crls"])
        std::printf("list   of %s, of %s, next on %s, %u entries\n", text_of(list["issuer"]).c_str(),
                    text_of(list["this_update"]).c_str(), text_of(list["next_update"]).c_str(),
                    list["entries"].get<unsigned>());
    for (const auto &[product, kinds] : json["minimum_tcb"].items())
        for (const auto &[kind, tcb] : kinds.items())
            std::printf("at least, for %s, %s: %s\n", product.c_str(), kind.c_str(), tcb_text(tcb).c_str());
}

int make_bundle(const BundleArgs &args) {
    const auto expires = parse_time(args.expires);
    const std::time_t now = std::time(nullptr);
    if (!expires)
        return report_error(command, Exit::usage, "--expires: wanted UTC in the form 2026-01-31T12:00:00Z");
    if (*expires <= now)
        return report_error(command, Exit::usage, "--expires: " + args.expires + " is in the past");
    if (args.out == "-")
        return report_error(command, Exit::usage, "--out: wanted a file");

    MinimumTcb minimum_tcb;
    if (!args.minimum_tcb.empty()) {
        const auto text = read_file(args.minimum_tcb, max_json_size);
        if (!text)
            return report_error(command, text.error(), args.minimum_tcb);
        const auto minimum = parse_minimum_tcb(*text);
        if (!minimum)
            return report_error(command, static_cast<Exit>(exit_code(minimum.error().code)),
                                args.minimum_tcb + ": " + minimum.error().text);
        minimum_tcb = *minimum;
    }
    std::optional<Bytes> emulated_ark;
    if (args.emulated_ark) {
        auto ark = read_emulated_ark(*args.emulated_ark);
        if (!ark)
            return report_error(command, ark.error(), *args.emulated_ark);
        emulated_ark = std::move(*ark);
    }
    P384PrivateKey key;
    {
        auto text = read_file(args.key, max_private_key_size);
        if (!text)
            return report_error(command, text.error(), args.key);
        const Secret wiped{std::move(*text)};
        if (const auto parsed = key.parse(wiped.view(), system_random, nullptr, "private key"); !parsed)
            return report_error(command, parsed.error(), args.key);
    }
    const auto files = input_files(args.from);
    if (!files)
        return report_error(command, files.error());
    BundleMaker maker{now, emulated_ark};
    for (const std::string &file : *files) {
        const auto bytes = read_file(file, max_bundle_size);
        if (!bytes)
            return report_error(command, bytes.error(), file);
        if (const auto added = maker.add(*bytes, file); !added)
            return report_error(command, added.error());
    }
    const auto bundle =
        maker.finish(static_cast<std::uint64_t>(*expires), minimum_tcb, [](std::string_view text) { note(text); });
    if (!bundle)
        return report_error(command, bundle.error());
    const auto signed_file = sign_bundle(*bundle, key, rfc6979_nonce, nullptr);
    if (!signed_file)
        return report_error(command, signed_file.error());
    auto described = describe_bundle(*bundle);
    if (!described)
        return report_error(command, described.error());
    Signals signals; // from here on Ctrl-C waits for the file to be whole
    const auto written = write_file(args.out, *signed_file);
    signals.arrived();
    signals.end_by_it();
    if (!written)
        return report_error(command, written.error(), args.out);
    if (args.json) {
        Json json{{"schema", 1},
                  {"file", args.out},
                  {"sha256", hex(sha256(*signed_file))},
                  {"emulated", emulated_ark.has_value()}};
        json.update(*described);
        print_json(json);
    } else {
        std::printf("%s: %zu bytes, sha256 %s\n", args.out.c_str(), signed_file->size(),
                    hex(sha256(*signed_file)).c_str());
        if (emulated_ark)
            std::printf("EMULATED: of the root that --trust-emulated names, not AMD's\n");
        print_bundle(*described);
    }
    return Exit::ok;
}

// ---- show -----------------------------------------------------------------------------------------------------------

int show_bundle(const ShowArgs &args) {
    const auto file = read_file(args.file, max_bundle_size);
    if (!file)
        return report_error(command, file.error(), args.file);
    std::string signature = "not checked: no --collateral-key was given";
    const auto bundle = read_bundle(*file);
    if (!bundle)
        return report_error(command, bundle.error(), args.file);
    if (args.key) {
        const auto key = read_collateral_key(*args.key);
        if (!key)
            return report_error(command, key.error());
        // its end is shown and not judged here
        const auto opened = open_bundle(*file, *key, static_cast<std::time_t>(bundle->created));
        if (!opened)
            return report_error(command, opened.error().code == Errc::crypto ? Exit::system_failure : Exit::bad_input,
                                args.file + ": " + opened.error().text);
        signature = "by the given key";
    }
    auto described = describe_bundle(*bundle);
    if (!described)
        return report_error(command, described.error());
    if (args.json) {
        Json json{{"schema", 1}, {"file", args.file}, {"signature_checked", args.key.has_value()}};
        json.update(*described);
        print_json(json);
    } else {
        std::printf("signed %s\n", signature.c_str());
        print_bundle(*described);
    }
    return Exit::ok;
}

void describe(CLI::App &app, FetchArgs &args) {
    app.add_option("--report", args.report, "raw SNP report (1184 bytes) whose VCEK is wanted");
    app.add_option("--evidence", args.evidence, "stored evidence of cvmin attest instead of a report");
    app.add_option("--product", args.product,
                   "Milan, Genoa or Turin: with a report of version 2, with --chip-id, or alone for chain and list");
    app.add_option("--chip-id", args.chip_id, "the chip: 64 bytes in hexadecimal (8 for Turin)");
    app.add_option("--tcb", args.tcb, "its TCB: boot_loader=4,tee=0,snp=24,microcode=219 (Turin: and fmc), or 0x...");
    app.add_flag("--vlek", args.vlek, "with --product alone: chain and list of VLEKs");
    app.add_option("--out", args.out, "directory for the files; without it they are only kept in the cache");
    app.add_flag("--no-crl", args.no_crl, "leave the revocation list out");
    app.add_option("--kds", args.kds, "address of the key service")->capture_default_str();
    app.add_option("--ca-file", args.ca_file,
                   "authorities (PEM) to verify the service's TLS certificate with, instead of the system's");
    app.add_flag("--offline", args.offline, "use the cache only");
    app.add_flag("--refresh", args.refresh, "do not use the cache");
    app.add_option("--trust-emulated", args.emulated_ark, "expect this emulated ARK instead of AMD's; for tests");
    app.add_option("--timeout", args.timeout_s, "seconds for all of it, waiting included")
        ->capture_default_str()
        ->check(CLI::Range(1u, 3600u));
    app.add_option("--retries", args.retries, "how often a question is repeated")
        ->capture_default_str()
        ->check(CLI::Range(0u, max_retries));
    app.add_flag("--json", args.json, "print JSON (schema 1)");
    app.footer("Examples:\n"
               "  cvmin certs fetch --evidence evidence.cbor --out certs\n"
               "  cvmin certs fetch --product Milan --chip-id HEX --tcb boot_loader=4,tee=0,snp=24,microcode=219\n\n"
               "Exit codes: 0 fetched and verified, 2 usage, 3 bad input or an answer that does not verify, 4 system,\n"
               "5 the service is unreachable, too slow, or has no such certificate.");
}

void describe(CLI::App &app, BundleArgs &args) {
    app.add_option("--from", args.from, "directories and files of certificates and lists, DER or PEM")->required();
    app.add_option("--key", args.key, "private key on P-384 (PEM or DER) to sign with")->required();
    app.add_option("--expires", args.expires, "when the bundle ends (2026-01-31T12:00:00Z)")->required();
    app.add_option("--out", args.out, "file for the bundle")->required();
    app.add_option("--minimum-tcb", args.minimum_tcb, "minimum TCBs (JSON), added to those of every policy");
    app.add_option("--trust-emulated", args.emulated_ark, "take certificates of this emulated ARK; for tests");
    app.add_flag("--json", args.json, "print JSON (schema 1)");
    app.footer("Example:\n"
               "  cvmin certs bundle --from certs --key release-key.pem --expires 2027-01-01T00:00:00Z --out "
               "fleet.collateral\n\n"
               "Exit codes: 0 made, 2 usage, 3 bad input or a certificate that does not verify, 4 system.");
}

void describe(CLI::App &app, ShowArgs &args) {
    app.add_option("file", args.file, "a bundle; - is standard input")->required();
    app.add_option("--collateral-key", args.key, "check that this public key (PEM or DER) signed it");
    app.add_flag("--json", args.json, "print JSON (schema 1)");
    app.footer("Example:\n  cvmin certs show fleet.collateral --collateral-key release-key.pem.pub.pem");
}

} // namespace

int cmd_certs(int argc, char **argv) {
    CLI::App app{"Certificates and revocation lists from AMD, and signed bundles of them for verifying offline.",
                 "cvmin certs"};
    FetchArgs fetch_args;
    BundleArgs bundle_args;
    ShowArgs show_args;
    auto *fetching =
        app.add_subcommand("fetch", "fetch the VCEK of a report, its chain and revocation list, and verify them");
    auto *bundling = app.add_subcommand("bundle", "make one signed file of certificates, lists and minimum TCBs");
    auto *showing = app.add_subcommand("show", "print what is in such a file");
    describe(*fetching, fetch_args);
    describe(*bundling, bundle_args);
    describe(*showing, show_args);
    app.require_subcommand(1);
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (fetching->parsed())
        return fetch_certs(fetch_args);
    return bundling->parsed() ? make_bundle(bundle_args) : show_bundle(show_args);
}

} // namespace cvmin
