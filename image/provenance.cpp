#include "image/provenance.hpp"

#include <charconv>
#include <map>
#include <set>

namespace cvmin {

static constexpr std::string_view launch_prefix = "launch-digest:";
static constexpr std::string_view firmware_kinds[] = {"package", "source"};
static constexpr const char *commit_algorithm = "gitCommit"; // in-toto's DigestSet
static constexpr const char *source_name = "cvmin";

// Texts that go into a statement, or came in one and are shown: one line of printable ASCII.
static bool is_plain(std::string_view text) {
    return text.size() <= max_provenance_text &&
           std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f && c != '"' && c != '\\'; });
}
// A scheme and something after it.
static bool is_uri(std::string_view text) {
    const std::size_t colon = text.find(':');
    return is_plain(text) && colon != std::string_view::npos && colon != 0 && colon + 1 < text.size() &&
           std::ranges::all_of(text.substr(0, colon), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '.' || c == '-';
           });
}
// Relative, and without a way out of the directory.
static bool is_file_name(std::string_view name) {
    if (name.empty() || !is_plain(name) || name.size() > max_image_path_size || name.starts_with('/') ||
        name.starts_with(launch_prefix))
        return false;
    for (std::size_t at = 0; at <= name.size();) {
        const std::size_t end = std::min(name.find('/', at), name.size());
        const std::string_view part = name.substr(at, end - at);
        if (part.empty() || part == "." || part == "..")
            return false;
        at = end + 1;
    }
    return true;
}

static std::string signature_text(std::uint32_t signature) {
    ByteArray<4> bytes{};
    store_be(bytes, signature);
    return "0x" + hex(bytes);
}
static std::string launch_name(std::uint32_t signature, std::size_t vcpus) {
    return std::string{launch_prefix} + signature_text(signature) + ":" + std::to_string(vcpus);
}

// ---- writing ----------------------------------------------------------------------------------------------------

static Json subject(std::string name, const char *algorithm, std::string digest) {
    return {{"name", std::move(name)}, {"digest", {{algorithm, std::move(digest)}}}};
}

static Result<Json> subjects_of(const ProvenanceInput &input) {
    const ImageManifest &manifest = input.image.manifest;
    std::map<std::string, Sha256Digest> files{{"image.json", sha256(input.image.image_json)}};
    std::vector<NamedDigest> named{input.others.begin(), input.others.end()};
    for (const ImageFile *file : {&manifest.kernel, &manifest.initrd, &manifest.cmdline, &manifest.firmware})
        named.push_back({file->path, file->sha256});
    for (const auto *file :
         {&manifest.agent, &manifest.reference_values, &manifest.reference_values_corim, &manifest.audit})
        if (*file)
            named.push_back({(*file)->path, (*file)->sha256});
    for (const NamedDigest &file : named) {
        if (!is_file_name(file.name))
            return fail(Errc::malformed, "provenance.subject");
        if (!files.emplace(file.name, file.sha256).second)
            return fail(Errc::mismatch, "provenance.subject");
    }
    Json subjects = Json::array();
    for (const auto &[name, digest] : files)
        subjects.push_back(subject(name, "sha256", hex(digest)));
    for (const ReferenceValues &values : input.launches)
        for (std::size_t i = 0; i < values.digests.size(); ++i)
            subjects.push_back(subject(launch_name(values.signature, i + 1), "sha384", hex(values.digests[i])));
    return subjects;
}

static Json source_of(const ProvenanceInput &input) {
    Json source = Json::object();
    if (!input.source_uri.empty())
        source["uri"] = input.source_uri;
    source["digest"] = {{commit_algorithm, input.commit}};
    source["name"] = source_name;
    return source;
}

// The commit; what image.json records; every line of the locks.
static Result<Json> dependencies_of(const ProvenanceInput &input) {
    CVMIN_TRY(locked, locked_inputs(input.image.manifest, input.locks));
    Json dependencies = Json::array({source_of(input)});
    for (const Json &one : input.image.manifest.inputs)
        if (one["kind"] != "source") // those are lines of a lock
            dependencies.push_back({{"digest", {{"sha256", one["sha256"]}}},
                                    {"name", one["name"]},
                                    {"annotations", {{"kind", one["kind"]}}}});
    for (const auto &[file, source] : locked)
        dependencies.push_back({{"uri", package_url(file)},
                                {"digest", {{"sha256", hex(file.sha256)}}},
                                {"name", file_name(file)},
                                {"annotations", {{"kind", source ? "source" : "tool"}}}});
    return dependencies;
}

Result<Json> slsa_statement(const ProvenanceInput &input) {
    if (!is_commit_id(input.commit))
        return fail(Errc::malformed, "provenance.commit");
    if (!std::ranges::contains(firmware_kinds, input.firmware))
        return fail(Errc::malformed, "provenance.firmware");
    if (!input.source_uri.empty() && !is_uri(input.source_uri))
        return fail(Errc::malformed, "provenance.source_uri");
    if (!is_uri(input.builder_id))
        return fail(Errc::malformed, "provenance.builder_id");
    const ImageManifest &manifest = input.image.manifest;
    CVMIN_TRY(subjects, subjects_of(input));
    CVMIN_TRY(dependencies, dependencies_of(input));
    Json models = Json::object();
    for (const ReferenceValues &values : input.launches) {
        Json &names = models[signature_text(values.signature)] = Json::array();
        for (const std::string_view name : values.models)
            names.push_back(name);
    }
    Json policy = to_json(manifest)["guest_policy"], features = to_json(manifest)["guest_features"];
    return Json{
        {"_type", provenance_statement_type},
        {"subject", std::move(subjects)},
        {"predicateType", provenance_predicate_type},
        {"predicate",
         {{"buildDefinition",
           {{"buildType", provenance_build_type},
            {"externalParameters",
             {{"source", source_of(input)}, {"debug", manifest.debug}, {"firmware", input.firmware}}},
            {"internalParameters",
             {{"guestPolicy", std::move(policy)},
              {"guestFeatures", std::move(features)},
              {"commandLine", manifest.command_line},
              {"cpuModels", std::move(models)}}},
            {"resolvedDependencies", std::move(dependencies)}}},
          {"runDetails", {{"builder", {{"id", input.builder_id}, {"version", {{"cvmin", manifest.version}}}}}}}}}};
}

// ---- reading ----------------------------------------------------------------------------------------------------

static Result<std::string> text_of(const Json &object, const char *member, std::string_view where) {
    CVMIN_TRY(text, json_string(object, member, where));
    if (text.empty() || !is_plain(text))
        return fail(Errc::malformed, where);
    return text;
}
static Result<Json> array_of(const Json &object, const char *member, std::size_t limit, std::string_view where) {
    if (!object.contains(member))
        return fail(Errc::missing, where);
    const Json &array = object[member];
    if (!array.is_array())
        return fail(Errc::malformed, where);
    if (array.size() > limit)
        return fail(Errc::too_large, where, array.size());
    return array;
}
static Result<void> must_be(const Json &object, const char *member, std::string_view wanted, std::string_view where) {
    CVMIN_TRY(found, json_string(object, member, where));
    if (found != wanted)
        return fail(Errc::unsupported, where);
    return {};
}

template <std::size_t N> static Result<ByteArray<N>> digest_of(const Json &one, const char *algorithm) {
    CVMIN_TRY(digests, json_object(one, "digest", "provenance.subject"));
    CVMIN_TRY(text, json_string(digests, algorithm, "provenance.subject"));
    if (text.size() != 2 * N)
        return fail(Errc::malformed, "provenance.subject");
    return parse_hex_exactly<N>(text, "provenance.subject");
}

// "0x00800f12:2" after the prefix, in no other spelling.
static std::optional<std::pair<std::uint32_t, unsigned>> parse_launch(std::string_view text) {
    static constexpr std::size_t signature_size = std::string_view{"0x00800f12"}.size();
    if (text.size() < signature_size + 2)
        return std::nullopt;
    std::uint32_t signature = 0;
    unsigned vcpus = 0;
    const char *const end = text.data() + text.size();
    const char *const middle = text.data() + signature_size;
    if (std::from_chars(text.data() + 2, middle, signature, 16).ptr != middle ||
        std::from_chars(middle + 1, end, vcpus).ptr != end || vcpus < 1 || vcpus > max_vcpus ||
        launch_name(signature, vcpus).substr(launch_prefix.size()) != text)
        return std::nullopt;
    return std::pair{signature, vcpus};
}

static Result<void> read_subjects(const Json &subjects, Provenance &out) {
    std::set<std::string> names;
    for (const Json &one : subjects) {
        CVMIN_TRY(name, text_of(one, "name", "provenance.subject"));
        if (!names.insert(name).second)
            return fail(Errc::mismatch, "provenance.subject");
        if (name.starts_with(launch_prefix)) {
            const auto launch = parse_launch(std::string_view{name}.substr(launch_prefix.size()));
            if (!launch)
                return fail(Errc::malformed, "provenance.subject");
            CVMIN_TRY(digest, digest_of<sizeof(Sha384Digest)>(one, "sha384"));
            out.launches.push_back({launch->first, launch->second, digest});
        } else {
            if (!is_file_name(name))
                return fail(Errc::out_of_range, "provenance.subject");
            CVMIN_TRY(digest, digest_of<sizeof(Sha256Digest)>(one, "sha256"));
            out.files.push_back({std::move(name), digest});
        }
    }
    return {};
}

static Result<void> read_parameters(const Json &parameters, Provenance &out) {
    // SLSA: what is under a user's control must be known completely, or it may say what nobody has looked at
    for (const auto &[name, value] : parameters.items())
        if (name != "source" && name != "debug" && name != "firmware")
            return fail(Errc::unsupported, "provenance.externalParameters");
    CVMIN_TRY(source, json_object(parameters, "source", "provenance.source"));
    CVMIN_TRY(digests, json_object(source, "digest", "provenance.source"));
    CVMIN_TRY(commit, json_string(digests, commit_algorithm, "provenance.source"));
    if (!is_commit_id(commit))
        return fail(Errc::malformed, "provenance.source");
    if (source.contains("uri")) {
        CVMIN_TRY(uri, text_of(source, "uri", "provenance.source"));
        out.source_uri = std::move(uri);
    }
    if (!parameters.contains("debug"))
        return fail(Errc::missing, "provenance.debug");
    if (!parameters["debug"].is_boolean())
        return fail(Errc::malformed, "provenance.debug");
    CVMIN_TRY(firmware, json_string(parameters, "firmware", "provenance.firmware"));
    if (!std::ranges::contains(firmware_kinds, firmware))
        return fail(Errc::unsupported, "provenance.firmware");
    out.commit = std::move(commit);
    out.debug = parameters["debug"].get<bool>();
    out.firmware = std::move(firmware);
    return {};
}

static Result<void> read_dependencies(const Json &dependencies, Provenance &out) {
    static constexpr std::string_view where = "provenance.resolvedDependencies";
    for (const Json &one : dependencies) {
        if (!one.is_object())
            return fail(Errc::malformed, where);
        ProvenanceDependency dependency;
        for (const auto &[member, to] : {std::pair{"name", &dependency.name}, {"uri", &dependency.uri}})
            if (one.contains(member)) {
                CVMIN_TRY(text, json_string(one, member, where)); // names of inputs have blanks in them
                if (text.size() > max_provenance_text)
                    return fail(Errc::too_large, where);
                *to = std::move(text);
            }
        CVMIN_TRY(digests, json_object(one, "digest", where));
        if (digests.size() != 1 || !digests.front().is_string())
            return fail(Errc::malformed, where);
        dependency.algorithm = digests.begin().key();
        dependency.digest = digests.front().get<std::string>();
        if (dependency.algorithm.size() > max_provenance_text || dependency.digest.size() > max_provenance_text)
            return fail(Errc::too_large, where);
        out.dependencies.push_back(std::move(dependency));
    }
    return {};
}

Result<Provenance> parse_provenance(ByteView statement) {
    CVMIN_TRY(json, parse_json(statement, "provenance"));
    CVMIN_CHECK(must_be(json, "_type", provenance_statement_type, "provenance._type"));
    CVMIN_CHECK(must_be(json, "predicateType", provenance_predicate_type, "provenance.predicateType"));
    CVMIN_TRY(predicate, json_object(json, "predicate", "provenance.predicate"));
    CVMIN_TRY(definition, json_object(predicate, "buildDefinition", "provenance.buildDefinition"));
    CVMIN_CHECK(must_be(definition, "buildType", provenance_build_type, "provenance.buildType"));
    Provenance out;
    CVMIN_TRY(parameters, json_object(definition, "externalParameters", "provenance.externalParameters"));
    CVMIN_CHECK(read_parameters(parameters, out));
    CVMIN_TRY(subjects, array_of(json, "subject", max_provenance_subjects, "provenance.subject"));
    CVMIN_CHECK(read_subjects(subjects, out));
    CVMIN_TRY(dependencies, array_of(definition, "resolvedDependencies", max_provenance_dependencies,
                                     "provenance.resolvedDependencies"));
    CVMIN_CHECK(read_dependencies(dependencies, out));
    CVMIN_TRY(run, json_object(predicate, "runDetails", "provenance.runDetails"));
    CVMIN_TRY(builder, json_object(run, "builder", "provenance.builder"));
    CVMIN_TRY(id, text_of(builder, "id", "provenance.builder"));
    out.builder_id = std::move(id);
    return out;
}

// ---- comparing --------------------------------------------------------------------------------------------------

std::optional<DocumentMismatch> first_mismatch(const Provenance &provenance, const ImageManifest &manifest,
                                               std::span<const NamedDigest> files,
                                               std::span<const ReferenceValues> launches) {
    if (provenance.debug != manifest.debug)
        return DocumentMismatch{"debug", manifest.debug ? "true" : "false", provenance.debug ? "true" : "false"};
    std::map<std::string, std::string> found, wanted;
    for (const NamedDigest &file : files)
        found.emplace(file.name, hex(file.sha256));
    for (const NamedDigest &file : provenance.files)
        wanted.emplace(file.name, hex(file.sha256));
    if (auto difference = first_difference(found, wanted))
        return difference;

    found.clear();
    wanted.clear();
    const auto name = [&](std::uint32_t signature, std::size_t vcpus) {
        const auto values = std::ranges::find(launches, signature, &ReferenceValues::signature);
        std::string text = "launch digest of " + signature_text(signature);
        if (values != launches.end() && !values->models.empty())
            text = "launch digest of " + std::string{values->models.front()} + " (" + signature_text(signature) + ")";
        return text + ", " + std::to_string(vcpus) + (vcpus == 1 ? " vCPU" : " vCPUs");
    };
    for (const ReferenceValues &values : launches)
        for (std::size_t i = 0; i < values.digests.size(); ++i)
            found.emplace(name(values.signature, i + 1), hex(values.digests[i]));
    for (const ProvenanceLaunch &launch : provenance.launches)
        wanted.emplace(name(launch.signature, launch.vcpus), hex(launch.digest));
    if (auto difference = first_difference(found, wanted))
        return difference;

    for (const Json &one : manifest.inputs) {
        const std::string input = one["name"].get<std::string>(), digest = one["sha256"].get<std::string>();
        std::string said;
        bool same = false;
        for (const ProvenanceDependency &dependency : provenance.dependencies)
            if (dependency.name == input && dependency.algorithm == "sha256") {
                said = dependency.digest;
                same = same || said == digest;
            }
        if (!same)
            return DocumentMismatch{"input " + input, digest, said};
    }
    return std::nullopt;
}

} // namespace cvmin
