#include "host-tools/computation/manifest_json.hpp"

#include "host-tools/base/text.hpp"
#include "host-tools/computation/json_lines.hpp"
#include "host-tools/signing/key_file.hpp"

#include <initializer_list>
#include <set>

namespace cvmin {

namespace {

constexpr std::string_view result_role = "result";

std::string in_quotes(std::string_view text) {
    constexpr std::size_t shown = 80;
    return '"' + printable_line(std::string{text.substr(0, shown)}) + (text.size() > shown ? "...\"" : "\"");
}

std::string type_of(const Json &json) {
    if (json.is_number_float())
        return "a number with a fraction, or too large";
    if (json.is_number_unsigned())
        return "a number";
    if (json.is_number())
        return "a negative number";
    return json.is_null() ? "null" : std::string{"a value of type "} + json.type_name();
}

constexpr std::string_view a_name = "1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or digit";

// Reads members by type; what is wrong is noted, and reading goes on.
class Reading {
  public:
    Reading(const Json &json, const JsonLines &lines) : json_(json), lines_(lines) {}

    std::vector<ManifestMistake> take_mistakes() {
        std::ranges::stable_sort(mistakes_, {}, &ManifestMistake::line);
        return std::move(mistakes_);
    }

    Manifest manifest() {
        Manifest out;
        if (!members({json_, ""}, {"schema", "kind", "id", "algorithm", "datasets", "parties", "consumers"}, {}))
            return out;
        if (const auto value = member({json_, ""}, "schema"); value && value->json != manifest_schema)
            mistake(value->path, "wanted " + std::to_string(manifest_schema) + ": no other schema is known");
        if (const auto value = member({json_, ""}, "kind"); value && value->json != manifest_kind)
            mistake(value->path, "wanted " + in_quotes(manifest_kind));
        out.id = name({json_, ""}, "id");
        if (const auto value = member({json_, ""}, "algorithm"))
            out.algorithm = algorithm(*value);
        list("datasets", 0, max_datasets, [&](const Value &entry) { out.datasets.push_back(dataset(entry)); });
        list("parties", 1, max_parties, [&](const Value &entry) { out.parties.push_back(party(entry)); });
        list("consumers", 1, max_parties,
             [&](const Value &entry) { out.consumers.push_back(checked_name(entry).value_or("")); });
        references(out);
        return out;
    }

  private:
    struct Value {
        const Json &json;
        std::string path;
    };

    void mistake(std::string_view path, std::string text) {
        mistakes_.push_back({lines_.line_of(path), std::string{path}, std::move(text)});
    }

    static std::string path_of(const Value &object, std::string_view name) {
        return object.path.empty() ? std::string{name} : object.path + '.' + std::string{name};
    }

    // Whether it is an object; its members are then all there, and no others but the optional ones.
    bool members(const Value &object, std::initializer_list<std::string_view> names,
                 std::initializer_list<std::string_view> optional) {
        if (!object.json.is_object()) {
            mistake(object.path, "wanted an object, found " + type_of(object.json));
            return false;
        }
        for (const std::string_view name : names)
            if (!object.json.contains(name))
                mistake(object.path, "\"" + std::string{name} + "\" is missing" + (object.path.empty() ? "" : " here"));
        for (const auto &[name, value] : object.json.items())
            if (!std::ranges::contains(names, name) && !std::ranges::contains(optional, name))
                mistake(path_of(object, name), "is no member that is known here");
        return true;
    }

    std::optional<Value> member(const Value &object, std::string_view name) const {
        const auto found = object.json.find(name);
        if (found == object.json.end())
            return std::nullopt;
        return Value{*found, path_of(object, name)};
    }

    std::optional<std::string> text(const Value &value) {
        if (!value.json.is_string()) {
            mistake(value.path, "wanted a text, found " + type_of(value.json));
            return std::nullopt;
        }
        return value.json.get<std::string>();
    }

    std::optional<std::string> checked_name(const Value &value) {
        auto read = text(value);
        if (read && !is_manifest_name(*read)) {
            mistake(value.path, in_quotes(*read) + " is not a name: wanted " + std::string{a_name});
            return std::nullopt;
        }
        return read;
    }
    std::string name(const Value &object, std::string_view which) {
        const auto value = member(object, which);
        return value ? checked_name(*value).value_or("") : "";
    }

    std::uint64_t number(const Value &object, std::string_view which, std::uint64_t min, std::uint64_t max,
                         std::string_view unit) {
        const auto value = member(object, which);
        if (!value)
            return 0;
        const std::string wanted =
            "wanted " + std::to_string(min) + " to " + std::to_string(max) + std::string{unit} + ", found ";
        if (!value->json.is_number_unsigned()) {
            mistake(value->path,
                    wanted + (value->json.is_string() ? "a text: write the number itself" : type_of(value->json)));
            return 0;
        }
        const auto read = value->json.get<std::uint64_t>();
        if (read < min || read > max)
            mistake(value->path, wanted + std::to_string(read));
        return read;
    }

    Sha256Digest digest(const Value &object) {
        const auto value = member(object, "sha256");
        const auto read = value ? text(*value) : std::nullopt;
        if (!read)
            return {};
        const auto bytes = parse_hex_exactly<sizeof(Sha256Digest)>(*read, "sha256");
        // as sha256sum writes it: one form, so that people can compare
        if (!bytes || hex(*bytes) != *read) {
            mistake(value->path, in_quotes(*read) + " is no SHA-256: wanted 64 of 0-9 and a-f");
            return {};
        }
        return *bytes;
    }

    template <class Read>
    void list_of(const Value &object, std::string_view which, std::size_t min, std::size_t max, Read read) {
        const auto value = member(object, which);
        if (!value)
            return;
        if (!value->json.is_array())
            return mistake(value->path, "wanted a list, found " + type_of(value->json));
        if (value->json.size() < min)
            return mistake(value->path, "is empty: at least one is wanted");
        if (value->json.size() > max)
            return mistake(value->path, "has " + std::to_string(value->json.size()) + " entries: at most " +
                                            std::to_string(max) + " are possible");
        for (std::size_t i = 0; i < value->json.size(); ++i)
            read(Value{value->json[i], value->path + '[' + std::to_string(i) + ']'});
    }
    template <class Read> void list(std::string_view which, std::size_t min, std::size_t max, Read read) {
        list_of({json_, ""}, which, min, max, read);
    }

    Algorithm algorithm(const Value &object) {
        Algorithm out;
        if (!members(object, {"sha256", "size_limit", "kind", "arguments", "environment", "party", "limits"}, {}))
            return out;
        out.sha256 = digest(object);
        out.size_limit = number(object, "size_limit", 1, max_item_size, " bytes");
        if (const auto value = member(object, "kind"); value && value->json != "elf")
            mistake(value->path, "wanted \"elf\", a static x86-64 executable: no other kind is known");
        list_of(object, "arguments", 0, max_arguments, [&](const Value &entry) {
            const auto read = text(entry);
            if (read && (read->size() > max_argument_size ||
                         !std::ranges::all_of(*read, [](char c) { return c >= 0x20 && c < 0x7f; })))
                mistake(entry.path, in_quotes(*read) + ": wanted at most " + std::to_string(max_argument_size) +
                                        " characters of printable ASCII");
            out.arguments.push_back(read.value_or(""));
        });
        std::set<std::string, std::less<>> names;
        list_of(object, "environment", 0, max_environment, [&](const Value &entry) {
            const auto read = text(entry);
            if (!read)
                return;
            if (!is_environment(*read))
                mistake(entry.path,
                        in_quotes(*read) + ": wanted NAME=value, at most " + std::to_string(max_environment_size) +
                            " characters of printable ASCII, NAME of A-Z, 0-9 and '_', and not LD_ at its beginning");
            else if (!names.emplace(environment_name(*read)).second)
                mistake(entry.path, in_quotes(environment_name(*read)) + " is set twice");
            out.environment.push_back(*read);
        });
        out.party = name(object, "party");
        if (const auto value = member(object, "limits"))
            out.limits = limits(*value);
        return out;
    }

    Limits limits(const Value &object) {
        Limits out;
        if (!members(object, {"memory", "cpu_seconds", "wall_seconds", "output", "processes"}, {}))
            return out;
        out.memory = number(object, "memory", min_run_memory, max_item_size, " bytes");
        out.cpu_seconds = number(object, "cpu_seconds", 1, max_cpu_seconds, " seconds");
        out.wall_seconds = number(object, "wall_seconds", 1, max_wall_seconds, " seconds");
        out.output = number(object, "output", 1, max_item_size, " bytes");
        out.processes = number(object, "processes", 1, max_processes, "");
        if (out.memory >= min_run_memory && out.output > out.memory)
            mistake(object.path + ".output", std::to_string(out.output) + " bytes of output do not fit in memory, " +
                                                 std::to_string(out.memory) + " bytes, of which they are part");
        return out;
    }

    Dataset dataset(const Value &object) {
        Dataset out;
        if (!members(object, {"name", "sha256", "size_limit", "party"}, {}))
            return out;
        out.name = name(object, "name");
        out.sha256 = digest(object);
        out.size_limit = number(object, "size_limit", 1, max_item_size, " bytes");
        out.party = name(object, "party");
        return out;
    }

    Party party(const Value &object) {
        Party out;
        if (!members(object, {"name", "key"}, {"roles"}))
            return out;
        out.name = name(object, "name");
        const auto value = member(object, "key");
        const auto read = value ? text(*value) : std::nullopt;
        if (!read)
            return out;
        const auto der = parse_base64(*read, "key");
        const auto key = der ? read_public_key(*der) : std::unexpected(der.error());
        if (!key || key_text(*key) != *read)
            mistake(value->path, "is no P-384 public key: wanted the lines of a PEM file between BEGIN PUBLIC KEY and "
                                 "END PUBLIC KEY, as one");
        else
            out.key = *key;
        return out;
    }

    // ---- what members say of each other -----------------------------------------------------------------------
    void references(const Manifest &manifest) {
        if (manifest.parties.empty()) // said already, and all that follows would be wrong for that
            return;
        const auto party = [&](const std::string &name, std::string_view path) {
            if (!name.empty() && find_party(manifest, name) == nullptr)
                mistake(path, in_quotes(name) + " is the name of no party");
        };
        party(manifest.algorithm.party, "algorithm.party");
        std::set<std::string_view> seen;
        for (std::size_t i = 0; i < manifest.datasets.size(); ++i) {
            const std::string path = "datasets[" + std::to_string(i) + ']';
            const Dataset &dataset = manifest.datasets[i];
            party(dataset.party, path + ".party");
            if (!dataset.name.empty() && !seen.insert(dataset.name).second)
                mistake(path + ".name", in_quotes(dataset.name) + " is the name of another dataset, too");
        }
        seen.clear();
        for (std::size_t i = 0; i < manifest.consumers.size(); ++i) {
            const std::string path = "consumers[" + std::to_string(i) + ']';
            party(manifest.consumers[i], path);
            if (!manifest.consumers[i].empty() && !seen.insert(manifest.consumers[i]).second)
                mistake(path, in_quotes(manifest.consumers[i]) + " stands there twice");
        }
        seen.clear();
        const Json empty = Json::array();
        for (std::size_t i = 0; i < manifest.parties.size(); ++i) {
            const std::string path = "parties[" + std::to_string(i) + ']';
            const Party &entry = manifest.parties[i];
            if (entry.name.empty())
                continue;
            if (!seen.insert(entry.name).second) {
                mistake(path + ".name", in_quotes(entry.name) + " is the name of another party, too");
                continue;
            }
            const Party *first = find_party(manifest, entry.key);
            if (first != &entry && entry.key != PublicKey{})
                mistake(path + ".key",
                        "is also the key of " + in_quotes(first->name) + ": whoever has it could act as either");
            const std::vector<std::string> roles = roles_of(manifest, entry);
            if (roles.empty())
                mistake(path, in_quotes(entry.name) + " has no role: brings nothing and gets no result");
            const Json &object = json_["parties"][i];
            if (const auto given = object.find("roles");
                given != object.end() && !roles.empty() && !same_set(*given, roles))
                mistake(path + ".roles", "roles follow from the other members and are " + Json(roles).dump() +
                                             "; mend them, or leave this member out");
        }
    }

    static bool same_set(const Json &given, const std::vector<std::string> &roles) {
        if (!given.is_array() || given.size() != roles.size())
            return false;
        return std::ranges::all_of(roles,
                                   [&](const std::string &role) { return std::ranges::contains(given, Json(role)); });
    }

    const Json &json_;
    const JsonLines &lines_;
    std::vector<ManifestMistake> mistakes_;
};

} // namespace

std::string to_string(const ManifestMistake &mistake) {
    std::string out = "line " + std::to_string(mistake.line) + ": ";
    if (!mistake.member.empty())
        out += printable_line(mistake.member) + ": ";
    return out + printable_line(mistake.text);
}

std::expected<WrittenManifest, std::vector<ManifestMistake>> parse_manifest_json(ByteView text) {
    const auto whole = [](std::size_t line, std::string what) {
        return std::unexpected(std::vector<ManifestMistake>{{line, "", std::move(what)}});
    };
    if (text.size() > max_manifest_json_size)
        return whole(1, "is larger than its limit of " + std::to_string(max_manifest_json_size) + " bytes");
    const JsonLines lines = json_lines(text);
    if (lines.problem)
        return whole(lines.problem->line, "is no JSON that can be read: " + lines.problem->text);
    const auto json = parse_json(text, "manifest");
    if (!json)
        return whole(1, to_string(json.error()));
    Reading reading(*json, lines);
    Manifest manifest = reading.manifest();
    if (auto mistakes = reading.take_mistakes(); !mistakes.empty())
        return std::unexpected(std::move(mistakes));
    auto encoded = encode_manifest(std::move(manifest));
    if (!encoded) // not reached as long as the rules above are all of those
        return whole(1, to_string(encoded.error()));
    auto ordered = parse_manifest(*encoded);
    if (!ordered)
        return whole(1, to_string(ordered.error()));
    return WrittenManifest{std::move(*ordered), std::move(*encoded)};
}

std::vector<std::string> roles_of(const Manifest &manifest, const Party &party) {
    std::vector<std::string> roles;
    for (const ManifestItem &item : items(manifest))
        if (item.party == party.name)
            roles.push_back(item.name);
    if (is_consumer(manifest, party.name))
        roles.emplace_back(result_role);
    return roles;
}

std::string key_text(const PublicKey &key) {
    return base64(public_key_der(key));
}

Json manifest_json(const Manifest &manifest) {
    const Algorithm &algorithm = manifest.algorithm;
    const Limits &limits = algorithm.limits;
    Json datasets = Json::array();
    for (const Dataset &dataset : manifest.datasets)
        datasets.push_back({{"name", dataset.name},
                            {"sha256", hex(dataset.sha256)},
                            {"size_limit", dataset.size_limit},
                            {"party", dataset.party}});
    Json parties = Json::array();
    for (const Party &party : manifest.parties)
        parties.push_back({{"name", party.name}, {"key", key_text(party.key)}, {"roles", roles_of(manifest, party)}});
    return {{"schema", manifest_schema},
            {"kind", manifest_kind},
            {"id", manifest.id},
            {"algorithm",
             {{"sha256", hex(algorithm.sha256)},
              {"size_limit", algorithm.size_limit},
              {"kind", "elf"},
              {"arguments", algorithm.arguments},
              {"environment", algorithm.environment},
              {"party", algorithm.party},
              {"limits",
               {{"memory", limits.memory},
                {"cpu_seconds", limits.cpu_seconds},
                {"wall_seconds", limits.wall_seconds},
                {"output", limits.output},
                {"processes", limits.processes}}}}},
            {"datasets", std::move(datasets)},
            {"parties", std::move(parties)},
            {"consumers", manifest.consumers}};
}

} // namespace cvmin
