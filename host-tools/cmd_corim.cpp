// cvmin corim: shows, creates, signs and verifies reference values in CoRIM form. The format is host-tools/corim's.
#include "host-tools/base/os.hpp"
#include "host-tools/base/text.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/corim/corim.hpp"
#include "host-tools/reference.hpp"
#include "host-tools/signing/id_block_file.hpp"
#include "qemu/supervisor.hpp"

#include <cerrno>
#include <cstdio>
#include <ctime>

namespace cvmin {

namespace {

constexpr const char *command = "corim";

struct Args {
    std::string file, out, key, image, signer;
    std::optional<std::string> family_id, image_id;
    std::optional<std::uint32_t> guest_svn;
    bool json = false;
};

std::string time_text(std::int64_t seconds) {
    const std::time_t time = seconds;
    std::tm parts{};
    char text[32];
    if (::gmtime_r(&time, &parts) == nullptr || std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return std::to_string(seconds);
    return text;
}

int finish_output() {
    if (std::fflush(stdout) != 0)
        return report_error(command, Error{Errc::system, "standard output", static_cast<std::uint64_t>(errno)});
    return Exit::ok;
}

// ---- show -----------------------------------------------------------------------------------------------------

Json to_json(const std::optional<corim::Validity> &validity) {
    if (!validity)
        return nullptr;
    return {{"not_before", validity->not_before ? Json(time_text(*validity->not_before)) : Json()},
            {"not_after", time_text(validity->not_after)}};
}

Json to_json(const corim::Measurement &measurement) {
    Json out{{"key", measurement.key ? Json(*measurement.key) : Json()}};
    if (measurement.key && !corim::name(*measurement.key).empty())
        out["name"] = corim::name(*measurement.key);
    if (!measurement.version.empty())
        out["version"] = measurement.version;
    if (measurement.svn)
        out["svn"] = {{"value", measurement.svn->value}, {"minimum", measurement.svn->minimum}};
    for (const corim::Digest &digest : measurement.digests)
        out["digests"].push_back(
            {{"algorithm", digest.algorithm != 0 ? Json(digest.algorithm) : Json(digest.algorithm_text)},
             {"value", hex(digest.value)}});
    if (measurement.raw)
        out["raw"] = hex(*measurement.raw);
    if (measurement.raw_mask)
        out["mask"] = hex(*measurement.raw_mask);
    if (measurement.has_more)
        out["has_more"] = true;
    return out;
}

Json to_json(const corim::Environment &environment) {
    Json out = Json::object();
    for (const auto &[name, value] : {std::pair{"class_id", environment.class_id},
                                      {"vendor", environment.vendor},
                                      {"model", environment.model},
                                      {"instance", hex(environment.instance)}})
        if (!value.empty())
            out[name] = value;
    if (environment.has_more)
        out["has_more"] = true;
    return out;
}

Json to_json(const corim::Corim &corim) {
    Json tags = Json::array();
    for (const corim::Comid &comid : corim.tags) {
        Json references = Json::array();
        for (const corim::Reference &reference : comid.references) {
            Json measurements = Json::array();
            for (const corim::Measurement &measurement : reference.measurements)
                measurements.push_back(to_json(measurement));
            references.push_back({{"environment", to_json(reference.environment)}, {"measurements", measurements}});
        }
        Json tag{{"id", comid.id}};
        if (const auto configuration = corim::configuration_of(comid.id)) {
            ByteArray<4> signature{};
            store_be(signature, configuration->signature);
            tag["launch"] = {{"signature", "0x" + hex(signature)}, {"vcpus", configuration->vcpus}};
        }
        tag["references"] = std::move(references);
        tag["other_triples"] = comid.other_triples;
        tags.push_back(std::move(tag));
    }
    Json signature;
    if (corim.signature)
        signature = {{"signer", corim.signature->signer_name},
                     {"uri", corim.signature->signer_uri},
                     {"validity", to_json(corim.signature->validity)},
                     {"checked", false}};
    return {{"schema", 1},
            {"id", corim.id},
            {"profile", corim.profile},
            {"signature", std::move(signature)},
            {"validity", to_json(corim.validity)},
            {"tags", std::move(tags)},
            {"other_tags", corim.other_tags}};
}

std::string values_text(const corim::Measurement &measurement) {
    std::string text;
    const auto add = [&](const std::string &value) { text += (text.empty() ? "" : ", ") + value; };
    if (!measurement.version.empty())
        add("version " + printable_line(measurement.version));
    if (measurement.svn)
        add((measurement.svn->minimum ? "at least " : "") + std::to_string(measurement.svn->value));
    for (const corim::Digest &digest : measurement.digests)
        add((digest.algorithm == corim::digest_sha384 ? std::string{"sha-384"}
             : digest.algorithm != 0                  ? "algorithm " + std::to_string(digest.algorithm)
                                                      : printable_line(digest.algorithm_text)) +
            " " + hex(digest.value));
    if (measurement.raw)
        add(hex(*measurement.raw));
    if (measurement.raw_mask)
        add("mask " + hex(*measurement.raw_mask));
    if (measurement.has_more)
        add("and values not shown");
    return text;
}

void print_text(const corim::Corim &corim) {
    std::printf("CoRIM %s\nprofile %s\n", printable_line(corim.id).c_str(), corim.profile.c_str());
    if (corim.signature)
        std::printf("signed, it says, by %s (cvmin corim verify checks that)\n",
                    printable_line(corim.signature->signer_name).c_str());
    else
        std::puts("not signed");
    if (corim::is_debug_image(corim))
        std::puts("of a DEBUG image: its console is on");
    if (corim.validity)
        std::printf("valid until %s\n", time_text(corim.validity->not_after).c_str());
    std::printf("%zu tags%s\n", corim.tags.size(),
                corim.other_tags != 0 ? (", and " + std::to_string(corim.other_tags) + " that are no CoMID").c_str()
                                      : "");
    for (const corim::Comid &comid : corim.tags) {
        std::printf("\n%s\n", printable_line(corim::describe_launch(comid.id)).c_str());
        for (const corim::Reference &reference : comid.references) {
            const corim::Environment &environment = reference.environment;
            std::printf("  environment %s%s\n",
                        printable_line(environment.class_id.empty() ? environment.vendor + " " + environment.model
                                                                    : environment.class_id)
                            .c_str(),
                        environment.has_more ? ", and more" : "");
            for (const corim::Measurement &measurement : reference.measurements) {
                const std::string key = measurement.key ? std::to_string(*measurement.key) : "?";
                const std::string name{measurement.key ? corim::name(*measurement.key) : std::string_view{}};
                std::printf("  %-4s %-17s %s\n", key.c_str(), name.c_str(), values_text(measurement).c_str());
            }
        }
        if (comid.other_triples != 0)
            std::printf("  %zu kinds of triples that are no reference values\n", comid.other_triples);
    }
}

int show(const Args &args) {
    const auto file = read_file(args.file, corim::max_size);
    if (!file)
        return report_error(command, file.error(), args.file);
    const auto parsed = corim::parse(*file);
    if (!parsed)
        return report_error(command, parsed.error(), args.file);
    if (args.json)
        print_json(to_json(*parsed));
    else
        print_text(*parsed);
    return finish_output();
}

// ---- verify ---------------------------------------------------------------------------------------------------

Explained<corim::IdBlockValues> id_block_values(const Args &args) {
    corim::IdBlockValues values;
    if (args.guest_svn)
        values.guest_svn = corim::Svn{*args.guest_svn, true};
    for (const auto &[text, value, option] : {std::tuple{&args.family_id, &values.family_id, "--family-id"},
                                              {&args.image_id, &values.image_id, "--image-id"}}) {
        if (!*text)
            continue;
        auto id = parse_guest_id(**text, option);
        if (!id)
            return explain(Errc::usage, std::string{option} +
                                            ": wanted 0x and 32 hexadecimal digits, or text of 1 to 16 characters");
        *value = *id;
    }
    return values;
}

// What the image's own CoRIM would hold.
struct Wanted {
    std::vector<corim::Launch> launches;
    bool debug;
};
Explained<Wanted> wanted_of(const Args &args) {
    const auto ids = id_block_values(args);
    if (!ids)
        return std::unexpected(ids.error());
    auto image = read_image_reference(args.image, *ids);
    if (!image)
        return std::unexpected(image.error());
    return Wanted{std::move(image->launches), image->debug};
}

// A refusal: 1, with its reason on standard error, and in the JSON.
int verdict(const Args &args, Json result, const std::string &refused) {
    if (args.json) {
        result["ok"] = refused.empty();
        result["refused"] = refused.empty() ? Json() : Json(refused);
        print_json(result);
    }
    if (!refused.empty())
        return report_error(command, Exit::rejected, args.file + ": " + refused);
    return finish_output();
}

int verify(const Args &args) {
    if (args.key.empty() && args.image.empty())
        return report_error(command, Exit::usage, "verify: wanted --key PUBLIC.pem, --image image.json, or both");
    const auto file = read_file(args.file, corim::max_size);
    if (!file)
        return report_error(command, file.error(), args.file);
    const auto parsed = corim::parse(*file);
    if (!parsed)
        return report_error(command, parsed.error(), args.file);
    if (parsed->signature && args.key.empty())
        return report_error(command, Exit::usage, args.file + ": is signed: give the signer's --key");

    const std::int64_t now = std::time(nullptr);
    Json result{{"schema", 1},
                {"id", parsed->id},
                {"signer", parsed->signature ? Json(parsed->signature->signer_name) : Json()},
                {"signature", parsed->signature ? "verified" : "none"},
                {"image", args.image.empty() ? Json() : Json(args.image)},
                {"tags", parsed->tags.size()}};
    if (!args.key.empty()) {
        const auto key = read_public_key_file(args.key);
        if (!key)
            return report_error(command, key.error());
        if (const auto verified = corim::verify_signature(*file, *key, now); !verified) {
            result["signature"] = "refused";
            return verdict(args, std::move(result), to_string(verified.error()));
        }
    }
    if (!corim::holds_at(parsed->validity, now))
        return verdict(args, std::move(result), "is not valid now");
    if (!args.image.empty()) {
        const auto wanted = wanted_of(args);
        if (!wanted)
            return report_error(command, wanted.error());
        const auto found = corim::launches_of(*parsed);
        if (!found)
            return verdict(args, std::move(result), to_string(found.error()));
        if (const auto difference = corim::first_difference(*found, wanted->launches))
            return verdict(args, std::move(result), printable_line(*difference));
        if (corim::is_debug_image(*parsed) != wanted->debug)
            return verdict(args, std::move(result), "does not say of the image whether it is a debug image");
    }
    if (!args.json) {
        if (parsed->signature)
            std::printf("%s: signed by %s: the signature holds\n", args.file.c_str(),
                        printable_line(parsed->signature->signer_name).c_str());
        if (!args.image.empty())
            std::printf("%s: %zu launches, each as %s gives it\n", args.file.c_str(), parsed->tags.size(),
                        args.image.c_str());
    }
    return verdict(args, std::move(result), {});
}

// ---- sign, create ---------------------------------------------------------------------------------------------

int sign(const Args &args) {
    const auto file = read_file(args.file, corim::max_size);
    if (!file)
        return report_error(command, file.error(), args.file);
    P384PrivateKey key;
    if (const auto read = read_private_key_file(key, args.key); !read)
        return report_error(command, read.error());
    const auto made = sign_corim(*file, key, args.signer);
    if (!made)
        return report_error(command, made.error());
    if (const auto written = write_file(args.out, *made); !written)
        return report_error(command, written.error(), args.out);
    std::printf("%s\n", args.out.c_str());
    return finish_output();
}

int create(const Args &args) {
    const auto wanted = wanted_of(args);
    if (!wanted)
        return report_error(command, wanted.error());
    Bytes file = corim::encode(wanted->launches, wanted->debug);
    if (!args.key.empty()) {
        P384PrivateKey key;
        if (const auto read = read_private_key_file(key, args.key); !read)
            return report_error(command, read.error());
        auto made = sign_corim(file, key, args.signer);
        if (!made)
            return report_error(command, made.error());
        file = std::move(*made);
    }
    if (const auto written = write_file(args.out, file); !written)
        return report_error(command, written.error(), args.out);
    std::printf("%s\n", args.out.c_str());
    return finish_output();
}

void add_id_block_options(CLI::App &app, Args &args) {
    app.add_option("--guest-svn", args.guest_svn, "least GUEST_SVN, when launches have an ID block");
    app.add_option("--family-id", args.family_id, "FAMILY_ID of the ID block: 0x and 32 hex digits, or text");
    app.add_option("--image-id", args.image_id, "IMAGE_ID of the ID block");
}

} // namespace

int cmd_corim(int argc, char **argv) {
    Args args;
    CLI::App app{"Show, create, sign and verify reference values in CoRIM form, as verifiers exchange them.",
                 "cvmin corim"};
    app.require_subcommand(1);
    app.footer("Examples:\n"
               "  cvmin corim show out/reference-values.corim\n"
               "  cvmin corim sign out/reference-values.corim --key signer.pem --out signed.corim\n"
               "  cvmin corim verify signed.corim --key signer.pub.pem --image out/image.json\n\n"
               "Exit codes: 0 done, 1 refused (signature, or a value that differs), 2 usage, 3 bad input, 4 system.");
    CLI::App *show_app = app.add_subcommand("show", "print what a CoRIM says; checks no signature");
    show_app->add_option("file", args.file, "CoRIM, signed or not; - is standard input")->required();
    show_app->add_flag("--json", args.json, "print JSON (schema 1)");

    CLI::App *verify_app = app.add_subcommand("verify", "check the signature, and compare with an image");
    verify_app->add_option("file", args.file, "CoRIM; - is standard input")->required();
    verify_app->add_option("--key", args.key, "public key of the signer (P-384; PEM or DER)");
    verify_app->add_option("--image", args.image, "image.json: every value is computed again and compared");
    add_id_block_options(*verify_app, args);
    verify_app->add_flag("--json", args.json, "print JSON (schema 1)");

    CLI::App *sign_app = app.add_subcommand("sign", "sign a CoRIM as COSE_Sign1 with ES384");
    sign_app->add_option("file", args.file, "CoRIM that is not signed; - is standard input")->required();
    sign_app->add_option("--key", args.key, "private key (P-384; PEM or DER)")->required();
    sign_app->add_option("--out", args.out, "file to write")->required();
    sign_app->add_option("--signer", args.signer, "name of the signer (default: the key's fingerprint)");

    CLI::App *create_app = app.add_subcommand("create", "write the CoRIM of an image, as cvmin build does");
    create_app->add_option("--image", args.image, "image.json")->required();
    create_app->add_option("--out", args.out, "file to write")->required();
    create_app->add_option("--key", args.key, "private key to sign with (P-384; PEM or DER)");
    create_app->add_option("--signer", args.signer, "name of the signer (default: the key's fingerprint)");
    add_id_block_options(*create_app, args);

    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (show_app->parsed())
        return show(args);
    if (verify_app->parsed())
        return verify(args);
    return sign_app->parsed() ? sign(args) : create(args);
}

} // namespace cvmin
