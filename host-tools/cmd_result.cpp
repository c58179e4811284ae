// cvmin result: a consumer takes the result of a computation, with its receipt, and says that it has it.
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/scratch.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/party.hpp"

#include <cstdio>
#include <map>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

namespace cvmin {

namespace {

constexpr const char *command = "result";
constexpr std::chrono::seconds wait_interval{1};
constexpr std::uint64_t max_log = 1u << 20; // agents keep less of what a program writes; bounds a mistake

struct Args {
    PartyArgs party;
    std::string out;
    bool wait = false, keep = false;
};

// A part of the result into a new file.
Explained<HashedFile> fetch(Session &session, const std::string &part, std::uint64_t limit,
                            const std::filesystem::path &path, unsigned timeout_s) {
    const UniqueFd file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!file)
        return explain({Errc::system, "output", static_cast<std::uint64_t>(errno)}, path.string());
    HashedFile fetched;
    Sha256Stream stream;
    CVMIN_CHECK(download(session, part, limit, timeout_s, [&](ByteView piece) -> Explained<void> {
        if (const auto written = write_all(file.get(), piece); !written)
            return explain(written.error(), path.string());
        stream.update(piece);
        fetched.size += piece.size();
        return {};
    }));
    if (::fsync(file.get()) != 0)
        return explain({Errc::system, "output", static_cast<std::uint64_t>(errno)}, path.string());
    fetched.sha256 = stream.finish();
    return fetched;
}

// Until there is a result, or will be none.
Explained<response::Status> await_result(Session &session, const Args &args) {
    for (;;) {
        CVMIN_TRY(status, ask<response::Status>(session, request::Status{}, args.party.timeout_s));
        if (status.state == RunState::result)
            return status;
        const bool over =
            status.state == RunState::done || status.state == RunState::failed || status.state == RunState::stopped;
        if (over || !args.wait)
            return explain(Errc::refused, "there is no result; the computation is " + std::string{name(status.state)} +
                                              (status.reason ? ": " + *status.reason : "") +
                                              (status.wait_status ? ", " + exit_text(*status.wait_status) : ""));
        std::this_thread::sleep_for(wait_interval);
    }
}

Explained<Receipt> take_receipt(Session &session, const std::filesystem::path &path, unsigned timeout_s) {
    const auto fetched = fetch(session, std::string{receipt_name}, max_receipt_size, path, timeout_s);
    if (!fetched)
        return std::unexpected(fetched.error());
    const auto bytes = read_file(path, max_receipt_size);
    if (!bytes)
        return explain(bytes.error(), path.string());
    auto receipt = parse_receipt(*bytes);
    if (!receipt)
        return explain(receipt.error(), "the receipt");
    return std::move(*receipt);
}

// What was written, held against the receipt; the key that signed it is that of the connection.
Explained<void> hold_against(const Receipt &receipt, const std::vector<response::OutputFile> &files,
                             const Sha256Digest &log, const PartyFiles &party, const PublicKey &agent) {
    CVMIN_CHECK(check_receipt(receipt.body, party.manifest));
    const auto evidence = parse_evidence(receipt.evidence);
    const auto claims = evidence ? parse_claims(evidence->claims) : std::unexpected(evidence.error());
    if (!claims)
        return explain(claims.error(), "the receipt");
    if (!(claims->key == agent))
        return explain(Errc::mismatch, "the receipt is another CVM's than the one that was asked");
    if (const Sha256Digest output = output_digest(files); receipt.body.output != output)
        return explain(Errc::mismatch,
                       "receipt: output: found " + hex(receipt.body.output) + ", what came is " + hex(output));
    if (receipt.body.log != log)
        return explain(Errc::mismatch, "receipt: log: found " + hex(receipt.body.log) + ", what came is " + hex(log));
    return {};
}

} // namespace

int cmd_result(int argc, char **argv) {
    Args args;
    CLI::App app{"Take the result of a computation as one of its consumers, with the receipt, and tell the CVM that we "
                 "have it. When\nall consumers have, the CVM wipes everything.",
                 "cvmin result"};
    add_party_options(app, args.party);
    app.add_option("--out", args.out, "new directory: output/, log, receipt.cbor")->required();
    app.add_flag("--wait", args.wait, "wait for the result");
    app.add_flag("--keep", args.keep, "do not tell the CVM that we have it: it can be taken again");
    app.footer(
        "Example:\n"
        "  cvmin result vm1 --manifest sum.json --party-key carol.pem --image out/image.json --policy P \\\n"
        "      --wait --out result\n"
        "  cvmin receipt verify result/receipt.cbor --manifest sum.json --output result/output ...\n\n"
        "Exit codes: 0 taken, and as the receipt says, 1 evidence rejected, 2 usage, 3 bad input: also a receipt "
        "that does\nnot fit, 4 system, 5 agent unreachable, or no result.");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (const auto problem = usage_problem(args.party))
        return report_error(command, Exit::usage, *problem);
    std::error_code error;
    std::filesystem::path out = std::filesystem::absolute(args.out, error).lexically_normal();
    if (!out.has_filename())
        out = out.parent_path();
    if (std::filesystem::exists(std::filesystem::symlink_status(out, error)))
        return report_error(command, Exit::usage, args.out + " is there already");
    PartyFiles files;
    if (const auto read = read_party_files(files, args.party); !read)
        return report_error(command, read.error());
    if (!is_consumer(files.manifest.manifest, files.party->name))
        return report_error(command, Exit::usage, files.party->name + " is no consumer of the manifest's");
    auto joined = join(command, args.party, files);
    if (!joined)
        return joined.error();
    Session &session = joined->session;
    const unsigned timeout_s = args.party.timeout_s;
    const auto status = await_result(session, args);
    if (!status)
        return report_error(command, status.error());
    if (!status->outputs)
        return report_error(command, Exit::peer, "the agent lists no outputs");

    // beside the target, so that it is there whole or not at all
    auto scratch = Scratch::make(out.string() + ".partial-");
    if (!scratch)
        return report_error(command, scratch.error());
    const std::filesystem::path folder = scratch->path() / "output";
    std::filesystem::create_directory(folder, error);
    if (error)
        return report_error(command, {Errc::system, "output", static_cast<std::uint64_t>(error.value())},
                            folder.string());
    std::vector<response::OutputFile> taken;
    for (const response::OutputFile &file :
         *status->outputs) { // valid_output_name: the protocol's reader has seen to it
        const auto fetched =
            fetch(session, std::string{output_prefix} + file.name, file.size, folder / file.name, timeout_s);
        if (!fetched)
            return report_error(command, fetched.error());
        taken.push_back({.name = file.name, .size = fetched->size, .sha256 = fetched->sha256});
    }
    const auto log = fetch(session, std::string{log_name}, max_log, scratch->path() / "log", timeout_s);
    if (!log)
        return report_error(command, log.error());
    const auto receipt = take_receipt(session, scratch->path() / "receipt.cbor", timeout_s);
    if (!receipt)
        return report_error(command, receipt.error());
    if (const auto held = hold_against(*receipt, taken, log->sha256, files, session.peer_key()); !held)
        return report_error(command, held.error());
    if (::rename(scratch->path().c_str(), out.c_str()) != 0)
        return report_error(command, {Errc::system, "output", static_cast<std::uint64_t>(errno)}, args.out);
    if (!args.keep) {
        const auto bytes = read_file(out / "receipt.cbor", max_receipt_size);
        if (!bytes)
            return report_error(command, bytes.error(), args.out);
        const auto confirmed = ask<response::Stored>(session, request::Confirm{sha256(*bytes)}, timeout_s);
        if (!confirmed)
            return report_error(command, confirmed.error().code == Errc::refused ? Exit::peer : Exit::system_failure,
                                "the result is in " + args.out +
                                    ", but could not be confirmed: " + confirmed.error().text);
    }
    Json json_files = status_json(*status)["outputs"];
    if (args.party.json) {
        print_json({{"schema", 1},
                    {"directory", args.out},
                    {"outputs", std::move(json_files)},
                    {"receipt", (std::filesystem::path{args.out} / "receipt.cbor").string()},
                    {"confirmed", !args.keep},
                    {"emulated", emulated(joined->entitled)}});
        return Exit::ok;
    }
    for (const response::OutputFile &file : taken)
        std::printf("%s/output/%s: %llu bytes, sha256 %s\n", args.out.c_str(), file.name.c_str(),
                    static_cast<unsigned long long>(file.size), hex(file.sha256).c_str());
    return Exit::ok;
}

} // namespace cvmin
