#include "host-tools/verifier_references.hpp"

#include "host-tools/attest_live.hpp"
#include "host-tools/publish/release_bundle.hpp"
#include "host-tools/reference.hpp"
#include "host-tools/tpm_options.hpp"

namespace cvmin {

void add_verifier_reference_options(CLI::App &app, VerifierReferenceArgs &args) {
    app.add_option("--policy", args.policy, "appraisal policy (JSON)")->required();
    app.add_option("--reference", args.references,
                   "CoRIM with the launches that are accepted; repeat it for several images");
    app.add_option("--reference-key", args.reference_keys,
                   "public key that must have signed each of them; of several, any one");
    app.add_option("--image", args.image, "image.json, of which every launch is accepted");
    add_release_options(app, args.release, args.publisher);
    app.add_flag("--allow-debug", args.allow_debug, "accept launches of a debug image, whose console is on; for tests");
    add_signer_options(app, args.signer);
    app.add_option("--trust-emulated", args.emulated_ark,
                   "ARK of an emulated AMD-SP to trust; its results are contraindicated all the same");
    add_endorsement_options(app, args.endorsements, CollateralKey::required);
    app.add_option("--ek-root", args.ek_roots, "certificate of an authority for TPMs' endorsement keys; repeatable");
}

std::optional<std::string> usage_problem(const VerifierReferenceArgs &args) {
    if (const auto problem = release_problem(args.release, args.publisher))
        return problem;
    if (!args.reference_keys.empty() && args.references.empty())
        return "--reference-key goes with --reference";
    if (args.signer.given() + !args.image.empty() + !args.references.empty() + args.release.has_value() > 1)
        return "wanted one of: --reference FILE (also several), --image image.json, --release DIR, --signer KEY";
    if (args.allow_debug && args.references.empty() && args.image.empty() && !args.release)
        return "--allow-debug goes with --reference, --image or --release";
    return std::nullopt;
}

namespace {

using References = std::vector<ReferenceFile>;

// A CoRIM that any one of the keys has signed; without keys, one that is not signed.
Explained<ReferenceFile> read_any(const std::string &path, const std::vector<std::string> &keys, std::time_t now) {
    if (keys.empty())
        return read_reference(path, std::nullopt, now);
    auto read = read_reference(path, keys.front(), now);
    for (std::size_t i = 1; !read && i < keys.size(); ++i)
        read = read_reference(path, keys[i], now);
    return read;
}

Explained<References> read_all(const VerifierReferenceArgs &args, std::time_t now) {
    References out;
    for (const std::string &path : args.references) {
        CVMIN_TRY(file, read_any(path, args.reference_keys, now));
        out.push_back(std::move(file));
    }
    if (!args.image.empty()) {
        CVMIN_TRY(image, read_image_reference(args.image));
        out.push_back(std::move(image));
    }
    if (args.release) {
        CVMIN_TRY(release, read_release_reference(*args.release, *args.publisher, now));
        out.push_back(std::move(release));
    }
    // Whoever releases a secret by a result cannot see it.
    const auto debug = std::ranges::find(out, true, &ReferenceFile::debug);
    if (debug != out.end() && !args.allow_debug)
        return explain(Errc::usage, debug->source + ": its console is on, which the host reads (--allow-debug accepts "
                                                    "it all the same)");
    return out;
}

// The file that has this report's launch, else the first: its launches are then shown as wanted.
const ReferenceFile &file_for(const References &files, ByteView raw_report) {
    if (const auto report = parse_snp_report(raw_report))
        for (const ReferenceFile &file : files)
            if (std::ranges::any_of(file.launches,
                                    [&](const corim::Launch &launch) { return corim::meets(*report, launch); }))
                return file;
    return files.front();
}

std::vector<std::filesystem::path> files_of(const VerifierReferenceArgs &args) {
    std::vector<std::filesystem::path> files{args.policy};
    for (const auto *list : {&args.references, &args.reference_keys, &args.ek_roots})
        files.insert(files.end(), list->begin(), list->end());
    for (const auto &path : {args.emulated_ark, args.publisher, args.endorsements.collateral, args.endorsements.key,
                             args.endorsements.crl})
        if (path)
            files.emplace_back(*path);
    if (!args.image.empty())
        files.emplace_back(args.image);
    if (args.release) // whose other files are all named in it
        files.emplace_back(std::filesystem::path{*args.release} / release_file::sums);
    return files;
}

} // namespace

Explained<ReferenceSnapshot> read_verifier_references(const VerifierReferenceArgs &args, std::time_t now) {
    ReferenceSnapshot out;
    out.files = files_of(args);
    CVMIN_TRY(policy, read_policy_file(args.policy));
    CVMIN_CHECK(read_signer(args.signer, policy));
    CVMIN_TRY(ends, add_endorsements(args.endorsements, now, out.wanted.endorsements));
    out.ends = ends;
    if (args.emulated_ark) {
        auto ark = read_emulated_ark(*args.emulated_ark);
        if (!ark)
            return explain(ark.error(), *args.emulated_ark);
        out.wanted.emulated_ark = std::move(*ark);
    }
    CVMIN_TRY(authorities, read_ek_roots(args.ek_roots));
    out.wanted.ek_authorities = std::move(authorities);
    CVMIN_TRY(references, read_all(args, now));
    if (references.empty() && !args.signer.given() && policy.measurements.empty())
        return explain(Errc::usage, "wanted one of: --reference FILE, --image image.json, --release DIR, --signer KEY, "
                                    "or launch digests in the policy");
    if (policy.boot_events && !args.image.empty()) {
        auto measured = image_boot_files(args.image);
        if (!measured)
            return explain(measured.error(), args.image);
        out.wanted.boot_files = std::move(*measured);
    }
    for (ReferenceFile &file : references) {
        out.source += (out.source.empty() ? "" : "; ") + file.source;
        if (file.ends)
            out.ends = std::min<std::time_t>(out.ends.value_or(*file.ends), *file.ends);
        if (policy.boot_events)
            out.wanted.boot_files.insert(out.wanted.boot_files.end(), file.boot_files.begin(), file.boot_files.end());
    }
    out.wanted.policy = std::move(policy);
    if (args.signer.given()) {
        want_signer(out.wanted);
        out.source = out.wanted.measurement_source;
    } else if (references.empty()) {
        out.source = "the policy's launch digests";
    }
    if (!references.empty())
        out.launches = [files = std::make_shared<const References>(std::move(references))](Expectations &wanted,
                                                                                           ByteView report) {
            want_launches(wanted, file_for(*files, report), report, std::nullopt, std::nullopt);
        };
    return out;
}

} // namespace cvmin
