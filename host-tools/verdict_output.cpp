#include "host-tools/verdict_output.hpp"

#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/present/ear.hpp"
#include "host-tools/present/html.hpp"
#include "host-tools/signing/key_file.hpp"

#include <cstdio>

namespace cvmin {

void add_output_options(CLI::App &app, OutputArgs &args) {
    app.add_flag("--json", args.json, "print the verdict as JSON (schema 1)");
    add_verdict_files(app, args);
}

void add_verdict_files(CLI::App &app, OutputArgs &args) {
    app.add_option("--html", args.html, "write the verdict as a page to this file, too");
    app.add_option("--ear", args.ear, "write it as an attestation result (EAR, a JWT) to this file, too");
    app.add_option("--ear-key", args.ear_key, "with --ear: the P-384 private key that signs it (PEM or DER)");
    app.add_option("--ear-profile", args.ear_profile,
                   "with --ear: ietf (ear_status, ...) or veraison (ear.status, ..., the older names)")
        ->capture_default_str()
        ->check(CLI::IsMember({"ietf", "veraison"}));
}

std::optional<std::string> usage_problem(const OutputArgs &args) {
    if (args.ear.has_value() != args.ear_key.has_value())
        return "--ear FILE and --ear-key KEY go together: a result that nobody signed is worth nothing";
    return std::nullopt;
}

static Explained<void> read_ear_key(P384PrivateKey &key, const std::string &path) {
    auto text = read_file(path, max_key_file);
    if (!text)
        return explain(text.error(), path);
    const Secret secret{std::move(*text)};
    if (const auto read = read_private_key(key, secret.view()); !read)
        return explain(read.error(), path);
    return {};
}

Explained<void> check_output(const OutputArgs &args) {
    P384PrivateKey key;
    return args.ear_key ? read_ear_key(key, *args.ear_key) : Explained<void>{};
}

static Explained<void> write_ear(const Appraisal &appraisal, const Expectations &expectations, const OutputArgs &args) {
    P384PrivateKey key;
    if (auto read = read_ear_key(key, *args.ear_key); !read)
        return read;
    const auto profile = ear_profile_by_name(args.ear_profile);
    const auto claims = ear_claims(
        appraisal, expectations,
        {.profile = profile.value_or(EarProfile::ietf), .issued = std::time(nullptr), .expires = std::nullopt});
    if (!claims)
        return explain(Errc::usage, "--ear needs a nonce or --report-data HEX: a result that is bound to no question "
                                    "could be replayed");
    const auto jwt = sign_jwt(*claims, key);
    if (!jwt)
        return explain(jwt.error(), *args.ear_key);
    if (const auto written = write_file(*args.ear, as_bytes(*jwt + "\n")); !written)
        return explain(written.error(), *args.ear);
    return {};
}

Explained<void> write_verdict_files(const Appraisal &appraisal, const Expectations &expectations,
                                    const OutputArgs &args) {
    if (args.ear)
        if (auto written = write_ear(appraisal, expectations, args); !written)
            return written;
    if (args.html) {
        const std::string page = verdict_html(appraisal, expectations);
        if (const auto written = write_file(*args.html, as_bytes(page)); !written)
            return explain(written.error(), *args.html);
    }
    return {};
}

Explained<void> give_out(const Appraisal &appraisal, const Expectations &expectations, const OutputArgs &args) {
    CVMIN_CHECK(write_verdict_files(appraisal, expectations, args));
    if (args.json)
        print_json(verdict_json(appraisal, expectations));
    else
        std::fputs(verdict_table(appraisal, expectations).c_str(), stdout);
    return {};
}

} // namespace cvmin
