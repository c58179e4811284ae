// cvmin upload: a party's inputs of a computation, into a CVM that was attested and accepted.
#include "host-tools/cli.hpp"
#include "host-tools/party.hpp"

#include <cstdio>
#include <map>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cvmin {

namespace {

constexpr const char *command = "upload";

struct Args {
    PartyArgs party;
    std::string algorithm;
    std::vector<std::string> datasets;
};

struct Input {
    ManifestItem item;
    std::string path;
    UniqueFd file;
    std::uint64_t size = 0;
};

// Opens the file and holds it against the manifest: a mistake is known before anything is connected to.
Explained<Input> open_input(ManifestItem item, const std::string &path, const Party &party) {
    Input input{.item = std::move(item), .path = path, .file = {}, .size = 0};
    if (input.item.party != party.name)
        return explain(Errc::usage, input.item.name + ": the manifest has " + std::string{input.item.party} +
                                        " bring it, and our key is that of " + party.name);
    input.file.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat found{};
    if (!input.file || ::fstat(input.file.get(), &found) != 0)
        return explain({errno == ENOENT ? Errc::missing : Errc::system, "input", static_cast<std::uint64_t>(errno)},
                       path);
    if (!S_ISREG(found.st_mode))
        return explain(Errc::unsupported, path + ": is not a regular file");
    input.size = static_cast<std::uint64_t>(found.st_size);
    if (input.size == 0 || input.size > input.item.size_limit)
        return explain(Errc::out_of_range, path + ": " + std::to_string(input.size) +
                                               " bytes; the manifest allows 1 to " +
                                               std::to_string(input.item.size_limit));
    CVMIN_TRY(hashed, hash_file(input.file.get(), path));
    if (hashed.sha256 != input.item.sha256)
        return explain(Errc::mismatch, path + ": is not " + input.item.name + ": found sha256 " + hex(hashed.sha256) +
                                           ", the manifest wants " + hex(input.item.sha256));
    return input;
}

Explained<std::vector<Input>> open_inputs(const Args &args, const PartyFiles &files) {
    std::map<std::string, std::string> given;
    if (!args.algorithm.empty())
        given.emplace(algorithm_item, args.algorithm);
    for (const std::string &text : args.datasets) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos)
            return explain(Errc::usage, "--dataset: wanted NAME=FILE, found \"" + text + "\"");
        if (!given.emplace(std::string{data_item_prefix} + text.substr(0, equals), text.substr(equals + 1)).second)
            return explain(Errc::usage, "--dataset: " + text.substr(0, equals) + " is given twice");
    }
    std::vector<Input> inputs;
    for (const auto &[name, path] : given) {
        auto item = find_item(files.manifest.manifest, name);
        if (!item)
            return explain(Errc::usage, name + ": the manifest has no such input");
        CVMIN_TRY(input, open_input(std::move(*item), path, *files.party));
        inputs.push_back(std::move(input));
    }
    return inputs;
}

// One line that is written over, where somebody looks at it. Numbers have a fixed width, so that nothing of a longer
// line stays.
class ProgressLine {
  public:
    ProgressLine(std::string what, bool wanted)
        : what_(std::move(what)),
          shown_(wanted && ::isatty(STDERR_FILENO) == 1 && std::getenv("CVMIN_QUIET") == nullptr) {}
    ProgressLine(const ProgressLine &) = delete;
    ProgressLine &operator=(const ProgressLine &) = delete;
    ~ProgressLine() {
        if (first_)
            std::fputc('\n', stderr);
    }
    void operator()(std::uint64_t moved, std::uint64_t total) {
        const auto now = std::chrono::steady_clock::now();
        if (!shown_ || (moved != total && now - last_ < std::chrono::milliseconds{200}))
            return;
        last_ = now;
        if (!first_)
            first_ = moved; // what was there before says nothing about the speed, and hardly does the first piece
        const double seconds = std::chrono::duration<double>(now - began_).count();
        std::fprintf(stderr, "\r%s: %3u %% of %.1f MB, %6.1f MB/s ", what_.c_str(),
                     static_cast<unsigned>(moved * 100 / total), static_cast<double>(total) / 1e6,
                     static_cast<double>(moved - std::min(*first_, moved)) / 1e6 / std::max(seconds, 1e-3));
        std::fflush(stderr);
    }

  private:
    std::string what_;
    bool shown_;
    std::optional<std::uint64_t> first_; // what had been moved when it was first shown
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now(), last_{};
};

} // namespace

int cmd_upload(int argc, char **argv) {
    Args args;
    CLI::App app{"Bring our inputs of a computation: attest and verify the CVM, then send what the manifest names. "
                 "Files are held\nagainst the manifest first; what a dropped connection left is gone on with.",
                 "cvmin upload"};
    add_party_options(app, args.party);
    app.add_option("--algorithm", args.algorithm, "the program");
    app.add_option("--dataset", args.datasets, "NAME=FILE; repeatable");
    app.footer("Example:\n"
               "  cvmin upload vm1 --manifest sum.json --party-key alice.pem --dataset alice=a.csv \\\n"
               "      --image out/image.json --policy policies/genoa.json\n\n"
               "Exit codes: 0 the CVM has it, 1 evidence rejected (nothing was sent), 2 usage, 3 bad input, 4 system,\n"
               "5 agent unreachable, refusing or too slow.");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (const auto problem = usage_problem(args.party))
        return report_error(command, Exit::usage, *problem);
    if (args.algorithm.empty() && args.datasets.empty())
        return report_error(command, Exit::usage, "wanted --algorithm FILE, --dataset NAME=FILE, or both");
    ::prctl(PR_SET_DUMPABLE, 0); // no core dump with data in it
    PartyFiles files;
    if (const auto read = read_party_files(files, args.party); !read)
        return report_error(command, read.error());
    auto inputs = open_inputs(args, files);
    if (!inputs)
        return report_error(command, inputs.error());
    auto joined = join(command, args.party, files);
    if (!joined)
        return joined.error();
    Json sent = Json::array();
    std::vector<Uploaded> uploaded;
    for (Input &input : *inputs) {
        const auto done = [&] { // the line ends before an error is told
            ProgressLine progress{input.item.name, !args.party.json};
            return upload(joined->session, joined->entitled, input.item, input.file.get(), input.size,
                          args.party.timeout_s,
                          [&](std::uint64_t moved, std::uint64_t total) { progress(moved, total); });
        }();
        if (!done)
            return report_error(command, Failure{done.error().code, input.path + ": " + done.error().text});
        uploaded.push_back(*done);
        sent.push_back({{"item", input.item.name},
                        {"size", input.size},
                        {"sha256", hex(input.item.sha256)},
                        {"resumed_from", done->resumed_from},
                        {"sent", done->sent}});
    }
    if (args.party.json) {
        print_json({{"schema", 1},
                    {"name", args.party.target.name()},
                    {"party", files.party->name},
                    {"inputs", std::move(sent)},
                    {"emulated", emulated(joined->entitled)}});
        return Exit::ok;
    }
    for (std::size_t i = 0; i < uploaded.size(); ++i) {
        const Input &input = (*inputs)[i];
        std::printf("%s: %llu bytes, sha256 %s", input.item.name.c_str(), static_cast<unsigned long long>(input.size),
                    hex(input.item.sha256).c_str());
        if (uploaded[i].sent == 0)
            std::printf(" (it was there)");
        else if (uploaded[i].resumed_from != 0)
            std::printf(" (gone on with from %llu)", static_cast<unsigned long long>(uploaded[i].resumed_from));
        std::printf("\n");
    }
    return Exit::ok;
}

} // namespace cvmin
