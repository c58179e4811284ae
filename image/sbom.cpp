#include "image/sbom.hpp"

#include "host-tools/measured/tpm_hash.hpp"

#include <ctime>
#include <map>
#include <set>

namespace cvmin {

// ---- licence expressions (SPDX 2.3, annex D) --------------------------------------------------------------------

// A token of an expression: '(' and ')' stand alone, words are separated by blanks.
static std::vector<std::string_view> tokens_of(std::string_view text) {
    std::vector<std::string_view> tokens;
    for (std::size_t at = 0; (at = text.find_first_not_of(' ', at)) != std::string_view::npos;) {
        std::size_t end = at + 1;
        if (text[at] != '(' && text[at] != ')')
            end = std::min(text.find_first_of(" ()", at), text.size());
        tokens.push_back(text.substr(at, end - at));
        at = end;
    }
    return tokens;
}

// Recursive descent over the grammar: or < and < with. Licences that are not on SPDX's list (LicenseRef-...) are not
// taken: their texts would have to be in the document, and we carry none.
class LicenceReader {
  public:
    explicit LicenceReader(std::string_view text) : tokens_(tokens_of(text)) {}
    bool whole() { return alternatives(0) && at_ == tokens_.size(); }
    bool has_or() const { return has_or_; } // outside of parentheses

  private:
    static constexpr int max_depth = 16; // of parentheses; ours have one level

    static bool is_id(std::string_view text) {
        static constexpr std::string_view words[] = {"AND", "OR", "WITH", "NONE", "NOASSERTION"};
        return !text.empty() && !std::ranges::contains(words, text) && !text.starts_with("LicenseRef-") &&
               !text.starts_with("DocumentRef-") && std::ranges::all_of(text, [](char c) {
                   return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                          c == '-' || c == '+';
               });
    }
    bool take(std::string_view word) {
        if (at_ == tokens_.size() || tokens_[at_] != word)
            return false;
        ++at_;
        return true;
    }
    bool id() {
        if (at_ == tokens_.size())
            return false;
        return is_id(tokens_[at_++]);
    }
    bool simple(int depth) {
        if (take("("))
            return depth < max_depth && alternatives(depth + 1) && take(")");
        return id() && (!take("WITH") || id());
    }
    bool conjunction(int depth) {
        do
            if (!simple(depth))
                return false;
        while (take("AND"));
        return true;
    }
    bool alternatives(int depth) {
        while (true) {
            if (!conjunction(depth))
                return false;
            if (!take("OR"))
                return true;
            has_or_ = has_or_ || depth == 0;
        }
    }

    std::vector<std::string_view> tokens_;
    std::size_t at_ = 0;
    bool has_or_ = false;
};

bool is_licence_expression(std::string_view text) {
    return LicenceReader{text}.whole();
}

// All of them apply: each term once, joined by AND.
static std::string all_of(const std::set<std::string> &licences) {
    std::set<std::string> terms;
    for (const std::string &licence : licences) {
        LicenceReader reader{licence};
        const bool alternatives = reader.whole() && reader.has_or();
        if (alternatives && licences.size() > 1)
            terms.insert("(" + licence + ")");
        else if (alternatives || licence.contains('('))
            terms.insert(licence);
        else
            for (std::size_t at = 0; at < licence.size();) {
                static constexpr std::string_view conjunction = " AND ";
                const std::size_t end = std::min(licence.find(conjunction, at), licence.size());
                terms.insert(licence.substr(at, end - at));
                at = end + conjunction.size();
            }
    }
    std::string out;
    for (const std::string &term : terms)
        out += (out.empty() ? "" : " AND ") + term;
    return out;
}

// ---- the document -----------------------------------------------------------------------------------------------

static constexpr const char *no_assertion = "NOASSERTION";
static constexpr const char *document_id = "SPDXRef-DOCUMENT";
static constexpr const char *image_id = "SPDXRef-Image";
static constexpr const char *cvmin_id = "SPDXRef-Package-cvmin";
static constexpr std::string_view patches = "image/patches/";
// Of this package the agent gets declarations and no code.
static constexpr std::string_view headers_only = "linux-libc-dev";
// The year 9999: the last that the document's form of a time can say.
static constexpr std::int64_t latest_time = 253402300799;

static Result<std::string> utc_time(std::int64_t seconds) {
    if (seconds < 0 || seconds > latest_time)
        return fail(Errc::out_of_range, "created");
    const std::time_t time = seconds;
    std::tm parts{};
    char text[sizeof "9999-12-31T23:59:59Z"];
    if (gmtime_r(&time, &parts) == nullptr || std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return fail(Errc::out_of_range, "created");
    return std::string{text};
}

// The characters that an identifier may have, and enough of the digest that no two are the same.
static std::string package_id(const LockedFile &file) {
    std::string id = "SPDXRef-Package-";
    for (const char c : file.package)
        id += c == '+' || c == '_' ? '-' : c;
    return id + "-" + hex(ByteView{file.sha256}.first(6));
}

static Json checksum(const char *algorithm, std::string value) {
    return {{"algorithm", algorithm}, {"checksumValue", std::move(value)}};
}

// What it is to the image: `part` of audit.json, or nothing for a tool.
static const char *purpose_of(const LockedFile &file, std::string_view part) {
    if (file.architecture == "source" || file.architecture == "packaging" || part == "kernel")
        return "SOURCE"; // Linux's sources are packed in a binary package
    return part == "firmware" ? "FIRMWARE" : part == "agent" ? "LIBRARY" : "APPLICATION";
}

static Json package_of(const LockedFile &file, std::string licence, std::string_view part) {
    return {{"SPDXID", package_id(file)},
            {"name", file.package},
            {"versionInfo", file.version},
            {"packageFileName", file_name(file)},
            {"supplier", "Organization: Debian"},
            {"downloadLocation", no_assertion},
            {"filesAnalyzed", false},
            {"checksums", Json::array({checksum("SHA256", hex(file.sha256))})},
            {"sourceInfo", file.path + " in a Debian archive"},
            {"licenseConcluded", no_assertion},
            {"licenseDeclared", std::move(licence)},
            {"copyrightText", no_assertion},
            {"primaryPackagePurpose", purpose_of(file, part)},
            {"externalRefs", Json::array({Json{{"referenceCategory", "PACKAGE-MANAGER"},
                                               {"referenceType", "purl"},
                                               {"referenceLocator", package_url(file)}}})}};
}

namespace {

// A file of the image: its bytes, what it is, and which part's licences apply to it.
struct ReleasedFile {
    const char *name; // of its identifier
    const ImageFile *recorded;
    ByteView bytes;
    const char *type;
    const char *comment;
    std::string_view part; // of audit.json; cvmin: of ours alone
};

class Document {
  public:
    explicit Document(const SbomInput &input) : input_(input), manifest_(input.image.manifest) {}

    Result<Json> write() {
        if (!is_commit_id(input_.commit))
            return fail(Errc::malformed, "commit");
        if (!input_.image.audit)
            return fail(Errc::missing, "audit.json");
        CVMIN_TRY(created, utc_time(input_.created));
        CVMIN_CHECK(licences());
        CVMIN_CHECK(files());
        image_package();
        cvmin_package();
        CVMIN_CHECK(locked_packages());
        const std::string name = std::string{"cvmin-"} + (manifest_.debug ? "debug-image-" : "image-") +
                                 manifest_.version + "-" + hex(ByteView{sha256(input_.image.image_json)}.first(6));
        Json document{
            {"spdxVersion", "SPDX-2.3"},
            {"dataLicense", "CC0-1.0"},
            {"SPDXID", document_id},
            {"name", name},
            {"documentNamespace", ""},
            {"creationInfo", {{"created", created}, {"creators", Json::array({"Tool: cvmin-" + manifest_.version})}}},
            {"documentDescribes", Json::array({image_id})},
            {"packages", std::move(packages_)},
            {"files", std::move(files_)},
            {"relationships", std::move(relationships_)}};
        // names this document and no other: it changes with any of its bytes
        document["documentNamespace"] = "tag:cvmin,2026:sbom/" + hex(sha256(as_bytes(document.dump())));
        return document;
    }

  private:
    void relate(std::string_view from, const char *type, std::string_view to, std::string comment = {}) {
        Json relationship{{"spdxElementId", from}, {"relationshipType", type}, {"relatedSpdxElement", to}};
        if (!comment.empty())
            relationship["comment"] = std::move(comment);
        relationships_.push_back(std::move(relationship));
    }

    Result<void> licences() {
        for (const SourceLicence &source : input_.image.audit->sources) {
            if (!is_licence_expression(source.licence))
                return fail(Errc::unsupported, "audit.sources.licence");
            by_part_[source.part].insert(source.licence);
        }
        for (const char *part : {"kernel", "agent", "firmware"})
            if (by_part_[part].empty())
                return fail(Errc::missing, "audit.sources.licence");
        return {};
    }
    std::string licence_of(std::span<const std::string_view> parts) {
        std::set<std::string> licences;
        for (const std::string_view part : parts)
            licences.merge(std::set{by_part_[std::string{part}]});
        return all_of(licences);
    }

    // SPDX wants SHA-1 of each file, and a code over them for the package; the digest that counts is the other one.
    Result<void> files() {
        const LoadedImage &image = input_.image;
        const ImageFile image_json{"image.json", sha256(image.image_json), image.image_json.size()};
        std::vector<ReleasedFile> all{
            {"kernel", &manifest_.kernel, image.files.kernel, "BINARY", "bzImage: Linux", "kernel"},
            {"initrd", &manifest_.initrd, image.files.initrd, "ARCHIVE", "initramfs: the agent as /init", "agent"},
            {"cmdline", &manifest_.cmdline, as_bytes(manifest_.command_line), "TEXT", "Linux's command line", "cvmin"},
            {"firmware", &manifest_.firmware, image.files.firmware, "BINARY", "OVMF", "firmware"},
            {"image.json", &image_json, image.image_json, "OTHER", "manifest of the image", "cvmin"}};
        const auto add = [&](const char *name, const std::optional<ImageFile> &recorded,
                             const std::optional<Bytes> &bytes, const char *type, const char *comment,
                             std::string_view part) {
            if (recorded && bytes)
                all.push_back({name, &*recorded, *bytes, type, comment, part});
        };
        add("agent", manifest_.agent, image.agent, "BINARY", "what is /init in the initramfs", "agent");
        add("reference-values.json", manifest_.reference_values, image.reference_values, "OTHER",
            "launch digests, for people and scripts", "cvmin");
        add("reference-values.corim", manifest_.reference_values_corim, image.reference_values_corim, "OTHER",
            "launch digests, for verifiers", "cvmin");
        add("audit.json", manifest_.audit, image.audit_json, "OTHER", "reasons of options, and licences", "cvmin");
        by_part_["cvmin"] = {cvmin_licence};

        std::vector<std::string> sha1s;
        for (const ReleasedFile &file : all) {
            if (sha256(file.bytes) != file.recorded->sha256) // a file that has another line end than we think
                return fail(Errc::mismatch, "image.json and its files");
            const std::string sha1 = hex(tpm_hash(TpmAlg::sha1, file.bytes).view());
            sha1s.push_back(sha1);
            const std::string id = std::string{"SPDXRef-File-"} + file.name;
            files_.push_back(
                {{"SPDXID", id},
                 {"fileName", "./" + file.recorded->path},
                 {"fileTypes", Json::array({file.type})},
                 {"checksums", Json::array({checksum("SHA1", sha1), checksum("SHA256", hex(file.recorded->sha256))})},
                 {"licenseConcluded", licence_of({&file.part, 1})},
                 {"licenseInfoInFiles", Json::array({no_assertion})},
                 {"copyrightText", no_assertion},
                 {"comment", file.comment}});
            relate(image_id, "CONTAINS", id);
            if (file.part == "cvmin")
                relate(id, "GENERATED_FROM", cvmin_id);
        }
        if (manifest_.agent)
            relate("SPDXRef-File-initrd", "CONTAINS", agent_id());
        std::ranges::sort(sha1s);
        std::string joined;
        for (const std::string &one : sha1s)
            joined += one;
        verification_code_ = hex(tpm_hash(TpmAlg::sha1, as_bytes(joined)).view());
        return {};
    }
    // The agent is in the initramfs, whether or not it lies beside it as well.
    const char *agent_id() const { return manifest_.agent ? "SPDXRef-File-agent" : "SPDXRef-File-initrd"; }
    const char *file_id(std::string_view part) const {
        return part == "kernel" ? "SPDXRef-File-kernel" : part == "firmware" ? "SPDXRef-File-firmware" : agent_id();
    }

    void image_package() {
        static constexpr std::string_view parts[] = {"kernel", "agent", "firmware", "cvmin"};
        relationships_.insert(
            relationships_.begin(),
            Json{{"spdxElementId", document_id}, {"relationshipType", "DESCRIBES"}, {"relatedSpdxElement", image_id}});
        packages_.push_back(
            {{"SPDXID", image_id},
             {"name", manifest_.debug ? "cvmin debug image" : "cvmin image"},
             {"versionInfo", manifest_.version},
             {"supplier", no_assertion},
             {"downloadLocation", no_assertion},
             {"filesAnalyzed", true},
             {"packageVerificationCode", {{"packageVerificationCodeValue", verification_code_}}},
             {"licenseConcluded", licence_of(parts)},
             {"licenseDeclared", no_assertion},
             {"copyrightText", no_assertion},
             {"primaryPackagePurpose", "OPERATING-SYSTEM"},
             {"comment", "Confidential-VM image. SHA-256 of image.json: " + hex(sha256(input_.image.image_json))}});
    }

    void cvmin_package() {
        std::string tree;
        for (const Json &one : manifest_.inputs)
            if (one["kind"] == "tree")
                tree += "; SHA-256 over the agent's sources (" + one["name"].get<std::string>() +
                        "), as image.json has it: " + one["sha256"].get<std::string>();
        Json package{{"SPDXID", cvmin_id},
                     {"name", "cvmin"},
                     {"versionInfo", manifest_.version},
                     {"supplier", no_assertion},
                     {"downloadLocation", no_assertion},
                     {"filesAnalyzed", false},
                     {"sourceInfo", "git commit " + input_.commit + tree},
                     {"licenseConcluded", cvmin_licence},
                     {"licenseDeclared", cvmin_licence},
                     {"copyrightText", no_assertion},
                     {"primaryPackagePurpose", "SOURCE"}};
        if (input_.commit.size() == 40) // a Software Heritage identifier is defined for these
            package["externalRefs"] = Json::array({Json{{"referenceCategory", "PERSISTENT-ID"},
                                                        {"referenceType", "swh"},
                                                        {"referenceLocator", "swh:1:rev:" + input_.commit}}});
        packages_.push_back(std::move(package));
        relate(agent_id(), "GENERATED_FROM", cvmin_id);
    }

    Result<void> locked_packages() {
        CVMIN_TRY(inputs, locked_inputs(manifest_, input_.locks));
        std::set<std::string> found{"cvmin"};
        for (const auto &[file, source] : inputs) {
            const auto &known = input_.image.audit->sources;
            const auto licence = std::ranges::find_if(known, [&file](const SourceLicence &one) {
                return one.name == file.package && one.version == file.version;
            });
            if (licence == known.end()) {
                if (source)
                    return fail(Errc::missing, "licence of a source in audit.json");
                packages_.push_back(package_of(file, no_assertion, {}));
                relate(package_id(file), "BUILD_TOOL_OF", image_id);
                continue;
            }
            found.insert(licence->name);
            packages_.push_back(package_of(file, licence->licence, licence->part));
            if (!source)
                relate(package_id(file), "BUILD_TOOL_OF", image_id);
            relate_source(file, *licence);
        }
        for (const SourceLicence &one : input_.image.audit->sources)
            if (!found.contains(one.name))
                return fail(Errc::missing, "a source of audit.json in the locks");
        return {};
    }

    void relate_source(const LockedFile &file, const SourceLicence &licence) {
        const std::string id = package_id(file);
        if (licence.part == "-") {
            relate(id, "DEV_TOOL_OF", image_id, "runs beside the image, on the host; nothing of it is in the image");
            return;
        }
        std::string comment;
        if (licence.part == "kernel") {
            for (const Json &one : manifest_.inputs)
                if (const std::string name = one["name"].get<std::string>(); name.starts_with(patches))
                    comment += (comment.empty() ? "patched with " : ", ") + name + " (SHA-256 " +
                               one["sha256"].get<std::string>() + ")";
        }
        const bool linked = licence.part == "agent" && licence.name != headers_only;
        relate(file_id(licence.part), linked ? "STATIC_LINK" : "GENERATED_FROM", id, std::move(comment));
    }

    static constexpr const char *cvmin_licence = "Apache-2.0"; // ./LICENSE
    const SbomInput &input_;
    const ImageManifest &manifest_;
    std::map<std::string, std::set<std::string>> by_part_;
    Json packages_ = Json::array(), files_ = Json::array(), relationships_ = Json::array();
    std::string verification_code_;
};

} // namespace

// ---- reading ----------------------------------------------------------------------------------------------------

static Result<Json> array_of(const Json &object, const char *member) {
    static constexpr std::string_view where = "sbom";
    if (!object.contains(member))
        return fail(Errc::missing, where);
    const Json &array = object[member];
    if (!array.is_array())
        return fail(Errc::malformed, where);
    if (array.size() > max_sbom_entries)
        return fail(Errc::too_large, where, array.size());
    return array;
}
static Result<std::string> text_of(const Json &object, const char *member, std::string_view where) {
    CVMIN_TRY(text, json_string(object, member, where));
    if (text.size() > max_sbom_text)
        return fail(Errc::too_large, where, text.size());
    return text;
}
// missing: no checksum of this kind.
static Result<Sha256Digest> sha256_of(const Json &object, std::string_view where) {
    CVMIN_TRY(checksums, array_of(object, "checksums"));
    for (const Json &one : checksums) {
        CVMIN_TRY(algorithm, json_string(one, "algorithm", where));
        if (algorithm != "SHA256")
            continue;
        CVMIN_TRY(value, json_string(one, "checksumValue", where));
        if (value.size() != 2 * sizeof(Sha256Digest))
            return fail(Errc::malformed, where);
        return parse_hex_exactly<sizeof(Sha256Digest)>(value, where);
    }
    return fail(Errc::missing, where);
}

Result<Sbom> parse_sbom(ByteView document) {
    CVMIN_TRY(json, parse_json(document, "sbom"));
    CVMIN_TRY(version, json_string(json, "spdxVersion", "sbom.spdxVersion"));
    if (version != "SPDX-2.3")
        return fail(Errc::unsupported, "sbom.spdxVersion");
    Sbom sbom;
    std::set<std::string> names;
    CVMIN_TRY(files, array_of(json, "files"));
    for (const Json &one : files) {
        static constexpr std::string_view here = "./";
        CVMIN_TRY(name, text_of(one, "fileName", "sbom.files"));
        CVMIN_TRY(digest, sha256_of(one, "sbom.files"));
        if (name.starts_with(here))
            name.erase(0, here.size());
        if (!names.insert(name).second)
            return fail(Errc::mismatch, "sbom.files");
        sbom.files.push_back({std::move(name), digest});
    }
    CVMIN_TRY(packages, array_of(json, "packages"));
    for (const Json &one : packages) {
        SbomPackage package;
        for (const auto &[member, to] : {std::pair{"name", &package.name},
                                         {"versionInfo", &package.version},
                                         {"licenseDeclared", &package.licence}}) {
            CVMIN_TRY(text, text_of(one, member, "sbom.packages"));
            *to = std::move(text);
        }
        if (one.contains("checksums")) {
            CVMIN_TRY(digest, sha256_of(one, "sbom.packages"));
            package.sha256 = digest;
        }
        sbom.packages.push_back(std::move(package));
    }
    return sbom;
}

std::optional<DocumentMismatch> first_mismatch(const Sbom &sbom, const LoadedImage &image,
                                               std::span<const LockedInput> inputs) {
    std::map<std::string, std::string> found{{"image.json", hex(sha256(image.image_json))}}, wanted;
    const ImageManifest &manifest = image.manifest;
    for (const ImageFile *file : {&manifest.kernel, &manifest.initrd, &manifest.cmdline, &manifest.firmware})
        found.emplace(file->path, hex(file->sha256));
    for (const auto *file :
         {&manifest.agent, &manifest.reference_values, &manifest.reference_values_corim, &manifest.audit})
        if (*file)
            found.emplace((*file)->path, hex((*file)->sha256));
    for (const NamedDigest &file : sbom.files)
        wanted.emplace(file.name, hex(file.sha256));
    if (auto difference = first_difference(found, wanted))
        return difference;

    found.clear();
    wanted.clear();
    const auto key = [](const std::string &name, const Sha256Digest &digest) {
        return "package " + name + " with SHA-256 " + hex(digest);
    };
    const auto value = [](const std::string &version, const std::string &licence) {
        return "version " + version + ", licence " + licence;
    };
    for (const auto &[file, source] : inputs) {
        std::string licence = no_assertion;
        if (image.audit)
            for (const SourceLicence &one : image.audit->sources)
                if (one.name == file.package && one.version == file.version)
                    licence = one.licence;
        found.emplace(key(file.package, file.sha256), value(file.version, licence));
    }
    for (const SbomPackage &package : sbom.packages)
        if (package.sha256)
            wanted.emplace(key(package.name, *package.sha256), value(package.version, package.licence));
    return first_difference(found, wanted);
}

Result<Json> spdx_document(const SbomInput &input) {
    return Document{input}.write();
}

} // namespace cvmin
