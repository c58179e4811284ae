#include "common/manifest.hpp"

#include "common/cbor.hpp"

namespace cvmin {

namespace {

// CBOR map keys, in canonical order.
namespace key {
constexpr std::int64_t version = 1, id = 2, algorithm = 3, datasets = 4, parties = 5, consumers = 6;
constexpr std::size_t count = 6;
} // namespace key
namespace algorithm_key {
constexpr std::int64_t sha256 = 1, size_limit = 2, kind = 3, arguments = 4, environment = 5, party = 6, limits = 7;
constexpr std::size_t count = 7;
} // namespace algorithm_key
namespace limits_key {
constexpr std::int64_t memory = 1, cpu_seconds = 2, wall_seconds = 3, output = 4, processes = 5;
constexpr std::size_t count = 5;
} // namespace limits_key
namespace dataset_key {
constexpr std::int64_t name = 1, sha256 = 2, size_limit = 3, party = 4;
constexpr std::size_t count = 4;
} // namespace dataset_key
namespace party_key {
constexpr std::int64_t name = 1, key = 2;
constexpr std::size_t count = 2;
} // namespace party_key

constexpr std::size_t coordinate_size = sizeof(PublicKey::x);

bool letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// In the order of their `name`, each once. `value_of` gives what is compared.
template <class List, class Value> bool strictly_ordered(const List &list, Value value_of) {
    return std::ranges::adjacent_find(list, [&](const auto &a, const auto &b) { return value_of(a) >= value_of(b); }) ==
           std::ranges::end(list);
}

constexpr auto itself = [](const std::string &text) -> std::string_view { return text; };
constexpr auto name_of = [](const auto &entry) -> std::string_view { return entry.name; };
constexpr auto variable_of = [](const std::string &text) { return environment_name(text); };

// ---- reading --------------------------------------------------------------------------------------------------

std::string read_name(cbor::Decoder &in) {
    const std::string_view name = in.text(1, max_manifest_name_size);
    if (in.ok() && !is_manifest_name(name))
        in.refuse(Errc::malformed);
    return std::string{name};
}

std::uint64_t read_number(cbor::Decoder &in, std::uint64_t min, std::uint64_t max) {
    const std::uint64_t value = in.unsigned_integer(max);
    if (value < min)
        in.refuse(Errc::out_of_range);
    return value;
}

// The number of entries of the list that begins; 0 after a failure.
std::size_t open_list(cbor::Decoder &in, std::size_t min, std::size_t max) {
    const std::size_t count = in.open_array();
    if (count < min)
        in.refuse(Errc::missing);
    if (count > max)
        in.refuse(Errc::too_large);
    return in.ok() ? count : 0;
}

Limits read_limits(cbor::Decoder &in) {
    Limits limits;
    in.open_map();
    in.member(limits_key::memory, "manifest.limits.memory");
    limits.memory = read_number(in, min_run_memory, max_item_size);
    in.member(limits_key::cpu_seconds, "manifest.limits.cpu_seconds");
    limits.cpu_seconds = read_number(in, 1, max_cpu_seconds);
    in.member(limits_key::wall_seconds, "manifest.limits.wall_seconds");
    limits.wall_seconds = read_number(in, 1, max_wall_seconds);
    in.member(limits_key::output, "manifest.limits.output");
    limits.output = read_number(in, 1, max_item_size);
    if (limits.output > limits.memory)
        in.refuse(Errc::mismatch);
    in.member(limits_key::processes, "manifest.limits.processes");
    limits.processes = read_number(in, 1, max_processes);
    in.close();
    return limits;
}

Algorithm read_algorithm(cbor::Decoder &in) {
    Algorithm algorithm;
    in.open_map();
    in.member(algorithm_key::sha256, "manifest.algorithm.sha256");
    algorithm.sha256 = in.array<sizeof(Sha256Digest)>();
    in.member(algorithm_key::size_limit, "manifest.algorithm.size_limit");
    algorithm.size_limit = read_number(in, 1, max_item_size);
    in.member(algorithm_key::kind, "manifest.algorithm.kind");
    in.expect_integer(static_cast<std::int64_t>(AlgorithmKind::elf), Errc::unsupported);
    in.member(algorithm_key::arguments, "manifest.algorithm.arguments");
    for (std::size_t left = open_list(in, 0, max_arguments); left > 0 && in.ok(); --left)
        algorithm.arguments.emplace_back(in.text(0, max_argument_size));
    in.close();
    in.member(algorithm_key::environment, "manifest.algorithm.environment");
    for (std::size_t left = open_list(in, 0, max_environment); left > 0 && in.ok(); --left) {
        algorithm.environment.emplace_back(in.text(2, max_environment_size));
        if (in.ok() && !is_environment(algorithm.environment.back()))
            in.refuse(Errc::malformed);
    }
    if (!strictly_ordered(algorithm.environment, variable_of))
        in.refuse(Errc::malformed);
    in.close();
    in.member(algorithm_key::party, "manifest.algorithm.party");
    algorithm.party = read_name(in);
    in.member(algorithm_key::limits, "manifest.algorithm.limits");
    algorithm.limits = read_limits(in);
    in.close();
    return algorithm;
}

Dataset read_dataset(cbor::Decoder &in) {
    Dataset dataset;
    in.open_map();
    in.member(dataset_key::name, "manifest.dataset.name");
    dataset.name = read_name(in);
    in.member(dataset_key::sha256, "manifest.dataset.sha256");
    dataset.sha256 = in.array<sizeof(Sha256Digest)>();
    in.member(dataset_key::size_limit, "manifest.dataset.size_limit");
    dataset.size_limit = read_number(in, 1, max_item_size);
    in.member(dataset_key::party, "manifest.dataset.party");
    dataset.party = read_name(in);
    in.close();
    return dataset;
}

Party read_party(cbor::Decoder &in) {
    Party party;
    in.open_map();
    in.member(party_key::name, "manifest.party.name");
    party.name = read_name(in);
    in.member(party_key::key, "manifest.party.key");
    const auto key = in.array<2 * coordinate_size>();
    party.key.x = Field<0, coordinate_size>::array(key);
    party.key.y = Field<coordinate_size, coordinate_size>::array(key);
    in.close();
    return party;
}

// What members say of each other.
Result<void> check_references(const Manifest &manifest) {
    if (find_party(manifest, manifest.algorithm.party) == nullptr)
        return fail(Errc::mismatch, "manifest.algorithm.party");
    for (const Dataset &dataset : manifest.datasets)
        if (find_party(manifest, dataset.party) == nullptr)
            return fail(Errc::mismatch, "manifest.dataset.party");
    for (const std::string &consumer : manifest.consumers)
        if (find_party(manifest, consumer) == nullptr)
            return fail(Errc::mismatch, "manifest.consumers");
    for (const Party &party : manifest.parties) {
        if (find_party(manifest, party.key) != &party)
            return fail(Errc::mismatch, "manifest.party.key");
        if (party.name != manifest.algorithm.party && !is_consumer(manifest, party.name) &&
            std::ranges::find(manifest.datasets, party.name, &Dataset::party) == manifest.datasets.end())
            return fail(Errc::mismatch, "manifest.party");
    }
    return {};
}

void write_texts(cbor::Encoder &out, const std::vector<std::string> &texts) {
    out.open_array(texts.size());
    for (const std::string &text : texts)
        out.text(text);
    out.close();
}

void write_algorithm(cbor::Encoder &out, const Algorithm &algorithm) {
    out.open_map(algorithm_key::count);
    out.integer(algorithm_key::sha256);
    out.bytes(algorithm.sha256);
    out.integer(algorithm_key::size_limit);
    out.unsigned_integer(algorithm.size_limit);
    out.integer(algorithm_key::kind);
    out.unsigned_integer(static_cast<std::uint64_t>(algorithm.kind));
    out.integer(algorithm_key::arguments);
    write_texts(out, algorithm.arguments);
    out.integer(algorithm_key::environment);
    write_texts(out, algorithm.environment);
    out.integer(algorithm_key::party);
    out.text(algorithm.party);
    out.integer(algorithm_key::limits);
    out.open_map(limits_key::count);
    out.integer(limits_key::memory);
    out.unsigned_integer(algorithm.limits.memory);
    out.integer(limits_key::cpu_seconds);
    out.unsigned_integer(algorithm.limits.cpu_seconds);
    out.integer(limits_key::wall_seconds);
    out.unsigned_integer(algorithm.limits.wall_seconds);
    out.integer(limits_key::output);
    out.unsigned_integer(algorithm.limits.output);
    out.integer(limits_key::processes);
    out.unsigned_integer(algorithm.limits.processes);
    out.close();
    out.close();
}

} // namespace

bool is_manifest_name(std::string_view text) {
    return !text.empty() && text.size() <= max_manifest_name_size && letter_or_digit(text.front()) &&
           std::ranges::all_of(text, [](char c) { return letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
}

bool is_environment(std::string_view text) {
    const std::string_view name = environment_name(text);
    const auto capital = [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; };
    return text.size() <= max_environment_size && name.size() < text.size() && !name.empty() && capital(name.front()) &&
           !name.starts_with("LD_") &&
           std::ranges::all_of(
               name, [&](char c) { return capital(c) || (c >= '0' && c <= '9'); }) &&
           std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

Result<Manifest> parse_manifest(ByteView bytes) {
    Manifest manifest;
    cbor::Decoder in(bytes, max_manifest_size, "manifest");
    in.open_map();
    in.member(key::version, "manifest.version");
    in.expect_integer(static_cast<std::int64_t>(manifest_version), Errc::unsupported);
    in.member(key::id, "manifest.id");
    manifest.id = read_name(in);
    in.member(key::algorithm, "manifest.algorithm");
    manifest.algorithm = read_algorithm(in);
    in.member(key::datasets, "manifest.datasets");
    for (std::size_t left = open_list(in, 0, max_datasets); left > 0 && in.ok(); --left)
        manifest.datasets.push_back(read_dataset(in));
    if (!strictly_ordered(manifest.datasets, name_of))
        in.refuse(Errc::malformed);
    in.close();
    in.member(key::parties, "manifest.parties");
    for (std::size_t left = open_list(in, 1, max_parties); left > 0 && in.ok(); --left)
        manifest.parties.push_back(read_party(in));
    if (!strictly_ordered(manifest.parties, name_of))
        in.refuse(Errc::malformed);
    in.close();
    in.member(key::consumers, "manifest.consumers");
    for (std::size_t left = open_list(in, 1, max_parties); left > 0 && in.ok(); --left)
        manifest.consumers.push_back(read_name(in));
    if (!strictly_ordered(manifest.consumers, itself))
        in.refuse(Errc::malformed);
    in.close();
    in.close();
    CVMIN_CHECK(in.finish());
    CVMIN_CHECK(check_references(manifest));
    return manifest;
}

Result<Bytes> encode_manifest(Manifest manifest) {
    std::ranges::sort(manifest.algorithm.environment, {}, variable_of);
    std::ranges::sort(manifest.datasets, {}, &Dataset::name);
    std::ranges::sort(manifest.parties, {}, &Party::name);
    std::ranges::sort(manifest.consumers);
    cbor::Encoder out(2048);
    out.open_map(key::count);
    out.integer(key::version);
    out.unsigned_integer(manifest_version);
    out.integer(key::id);
    out.text(manifest.id);
    out.integer(key::algorithm);
    write_algorithm(out, manifest.algorithm);
    out.integer(key::datasets);
    out.open_array(manifest.datasets.size());
    for (const Dataset &dataset : manifest.datasets) {
        out.open_map(dataset_key::count);
        out.integer(dataset_key::name);
        out.text(dataset.name);
        out.integer(dataset_key::sha256);
        out.bytes(dataset.sha256);
        out.integer(dataset_key::size_limit);
        out.unsigned_integer(dataset.size_limit);
        out.integer(dataset_key::party);
        out.text(dataset.party);
        out.close();
    }
    out.close();
    out.integer(key::parties);
    out.open_array(manifest.parties.size());
    for (const Party &party : manifest.parties) {
        ByteArray<2 * coordinate_size> both;
        Field<0, coordinate_size>::put(both, party.key.x);
        Field<coordinate_size, coordinate_size>::put(both, party.key.y);
        out.open_map(party_key::count);
        out.integer(party_key::name);
        out.text(party.name);
        out.integer(party_key::key);
        out.bytes(both);
        out.close();
    }
    out.close();
    out.integer(key::consumers);
    write_texts(out, manifest.consumers);
    out.close();
    Bytes bytes = out.finish();
    CVMIN_CHECK(parse_manifest(bytes)); // the rules stand in one place
    return bytes;
}

const Party *find_party(const Manifest &manifest, const PublicKey &key) {
    const auto found = std::ranges::find(manifest.parties, key, &Party::key);
    return found == manifest.parties.end() ? nullptr : &*found;
}

const Party *find_party(const Manifest &manifest, std::string_view name) {
    const auto found = std::ranges::find(manifest.parties, name, &Party::name);
    return found == manifest.parties.end() ? nullptr : &*found;
}

bool is_consumer(const Manifest &manifest, std::string_view party) {
    return std::ranges::find(manifest.consumers, party) != manifest.consumers.end();
}

std::vector<ManifestItem> items(const Manifest &manifest) {
    std::vector<ManifestItem> out;
    out.reserve(1 + manifest.datasets.size());
    const Algorithm &algorithm = manifest.algorithm;
    out.push_back({std::string{algorithm_item}, algorithm.sha256, algorithm.size_limit, algorithm.party});
    for (const Dataset &dataset : manifest.datasets)
        out.push_back(
            {std::string{data_item_prefix} + dataset.name, dataset.sha256, dataset.size_limit, dataset.party});
    return out;
}

std::optional<ManifestItem> find_item(const Manifest &manifest, std::string_view name) {
    for (ManifestItem &item : items(manifest))
        if (item.name == name)
            return std::move(item);
    return std::nullopt;
}

std::uint64_t memory_bound(const Manifest &manifest) {
    std::uint64_t sum = manifest.algorithm.size_limit + manifest.algorithm.limits.memory;
    for (const Dataset &dataset : manifest.datasets)
        sum += dataset.size_limit;
    return sum;
}

} // namespace cvmin
