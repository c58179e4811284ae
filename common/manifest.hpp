// The manifest of a computation: which program runs on which data, who brings each of them, and who gets the result.
// One value, one encoding: canonical CBOR (common/cbor.hpp) with every list of names in order, so that parties who
// agree on the content have the same digest. Described in protocol.cddl and docs/manifest.md. No I/O; who may act when
// is the agent's, the JSON form that people write is host-tools/computation/manifest_json.hpp.
//
// Nobody's role is written down: who brings the program, who brings a dataset and who gets the result follows from the
// members that name parties. So a manifest cannot contradict itself.
#pragma once

#include "common/claims.hpp"
#include "common/hash.hpp"

#include <optional>
#include <string>
#include <vector>

namespace cvmin {

inline constexpr std::uint64_t manifest_version = 1;
inline constexpr std::size_t max_manifest_size = 32u << 10; // all fields at their largest need under 25 KiB
inline constexpr std::size_t max_manifest_name_size = 64;   // also a file name and one line of a table
inline constexpr std::size_t max_datasets = 16;  // each is a stream of its own that the agent keeps state for
inline constexpr std::size_t max_parties = 16;   // each may hold connections; the agent has 16 or so
inline constexpr std::size_t max_arguments = 32; // options belong into data; these fit one page of a stack
inline constexpr std::size_t max_argument_size = 256;
inline constexpr std::size_t max_environment = 32;
inline constexpr std::size_t max_environment_size = 256;               // with its name
inline constexpr std::uint64_t max_item_size = std::uint64_t{1} << 40; // no guest has 1 TiB; sums of 18 do not overflow
inline constexpr std::uint64_t min_run_memory = 1u << 20;              // less than a static program and its stack need
inline constexpr std::uint64_t max_wall_seconds = 30u * 86'400;        // by then the firmware wants an update
inline constexpr std::uint64_t max_cpu_seconds = 255 * max_wall_seconds; // of all vCPUs that a guest has (max_vcpus)
inline constexpr std::uint64_t max_processes = 4096;                     // of 16 KiB kernel stack each: 64 MiB

// What a run may take; beyond each it is ended (output: its writes fail).
struct Limits {
    std::uint64_t memory = 0;       // bytes, of its processes and its output folder; min_run_memory..max_item_size
    std::uint64_t cpu_seconds = 0;  // of all its processes together; 1..max_cpu_seconds
    std::uint64_t wall_seconds = 0; // 1..max_wall_seconds
    std::uint64_t output = 0;       // bytes in its output folder; 1..memory
    std::uint64_t processes = 0;    // and threads, at one time; 1..max_processes
    friend bool operator==(const Limits &, const Limits &) = default;
};

enum class AlgorithmKind : std::uint8_t {
    elf = 1, // static x86-64 executable
};

struct Algorithm {
    Sha256Digest sha256{};
    std::uint64_t size_limit = 0; // bytes; 1..max_item_size
    AlgorithmKind kind = AlgorithmKind::elf;
    std::vector<std::string> arguments;   // argv[1] and on; printable ASCII, may be empty texts
    std::vector<std::string> environment; // "NAME=value", by name, each name once; is_environment()
    std::string party;                    // who brings it
    Limits limits;
    friend bool operator==(const Algorithm &, const Algorithm &) = default;
};

struct Dataset {
    std::string name; // is_manifest_name(); what the program finds it as
    Sha256Digest sha256{};
    std::uint64_t size_limit = 0; // bytes; 1..max_item_size
    std::string party;            // who brings it
    friend bool operator==(const Dataset &, const Dataset &) = default;
};

struct Party {
    std::string name; // is_manifest_name()
    PublicKey key{}; // of its TLS certificate. Whether it is a point of the curve is not looked at here: nobody has the
                     // private half of one that is not
    friend bool operator==(const Party &, const Party &) = default;
};

struct Manifest {
    std::string id; // is_manifest_name()
    Algorithm algorithm;
    std::vector<Dataset> datasets;      // by name, each name once; 0..max_datasets
    std::vector<Party> parties;         // by name, each name and each key once; 1..max_parties; none without a role
    std::vector<std::string> consumers; // names of parties, in order, each once; at least one
    friend bool operator==(const Manifest &, const Manifest &) = default;
};

// Small letters, digits, '.', '_' and '-', a letter or digit first (so it is neither "..", nor hidden, nor an option);
// 1..max_manifest_name_size.
bool is_manifest_name(std::string_view text);
// "NAME=value": NAME of capitals, digits and '_', a capital or '_' first; printable ASCII; 2..max_environment_size.
// Names that begin with LD_ are refused: in a static program they change nothing, or what they change nobody has
// hashed.
bool is_environment(std::string_view text);
inline std::string_view environment_name(std::string_view text) {
    return text.substr(0, text.find('='));
}

// Errors name the member ("manifest.dataset.party"); detail is the offset in the input. too_large: the whole, or a list
// has too many entries; malformed: not canonical CBOR, unknown or missing member, another type, not a name, not in
// order or twice; unsupported: version, kind; out_of_range: a number or length; missing: a list that may not be empty
// is; mismatch: a name that is no party's, a party without a role, one key twice, more output than memory.
Result<Manifest> parse_manifest(ByteView bytes);
// The names put in order; the errors of parse_manifest.
Result<Bytes> encode_manifest(Manifest manifest);
// What HOST_DATA, claims and the runtime log carry. Of exactly the bytes that were parsed.
inline Sha256Digest manifest_digest(ByteView bytes) {
    return sha256(bytes);
}

// ---- who may do what ------------------------------------------------------------------------------------------

const Party *find_party(const Manifest &manifest, const PublicKey &key); // nullptr: nobody's
const Party *find_party(const Manifest &manifest, std::string_view name);
bool is_consumer(const Manifest &manifest, std::string_view party);

inline constexpr std::string_view algorithm_item = "algorithm"; // the program's name in `put`
inline constexpr std::string_view data_item_prefix = "data/";   // before a dataset's
inline constexpr std::size_t max_item_name_size = data_item_prefix.size() + max_manifest_name_size;

// An input by its name in `put`: "algorithm" or "data/NAME".
struct ManifestItem {
    std::string name;
    Sha256Digest sha256{};
    std::uint64_t size_limit = 0;
    std::string_view party; // of the manifest's own text
};
std::optional<ManifestItem> find_item(const Manifest &manifest, std::string_view name);
std::vector<ManifestItem> items(const Manifest &manifest); // the program first, then the data in order

// Bytes of guest memory that its inputs and its run may take together; without any reserve. Does not overflow.
std::uint64_t memory_bound(const Manifest &manifest);

} // namespace cvmin
