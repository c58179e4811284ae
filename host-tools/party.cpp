#include "host-tools/party.hpp"

#include "host-tools/cli.hpp"
#include "host-tools/reference.hpp"

#include <cerrno>
#include <cstdio>

#include <sys/wait.h>
#include <unistd.h>

namespace cvmin {

void add_party_options(CLI::App &app, PartyArgs &args) {
    app.add_option("name", args.target.vm, "name of the CVM");
    add_target_options(app, args.target);
    app.add_option("--party-key", args.key, "our private key (P-384; PEM or DER), whose public half the manifest names")
        ->required();
    add_judge_options(app, args.judge);
    add_passport_options(app, args.passport);
    app.add_option("--timeout", args.timeout_s, "seconds for the evidence, and for each answer after it")
        ->capture_default_str()
        ->check(CLI::Range(1u, 3600u));
    app.add_flag("--json", args.json, "print JSON (schema 1)");
}

std::optional<std::string> usage_problem(const PartyArgs &args) {
    if (const auto problem = usage_problem(args.target))
        return problem;
    if (!args.judge.manifest)
        return "--manifest is required: it says who we are and what was agreed";
    if (const auto problem = usage_problem(args.passport, args.judge))
        return problem;
    return args.passport.wanted ? std::nullopt : usage_problem(args.judge);
}

Explained<void> read_party_files(PartyFiles &files, const PartyArgs &args) {
    CVMIN_TRY(manifest, load_manifest(*args.judge.manifest));
    files.manifest = std::move(manifest);
    CVMIN_CHECK(read_private_key_file(files.key, args.key));
    const auto ours = files.key.public_key();
    if (!ours)
        return explain(ours.error(), args.key);
    files.party = find_party(files.manifest.manifest, *ours);
    if (files.party == nullptr)
        return explain(Errc::mismatch, args.key + ": is the key of no party of " + *args.judge.manifest);
    return {};
}

std::expected<Joined, int> join(const char *command, const PartyArgs &args, PartyFiles &files) {
    const auto vm = find_target(args.target);
    if (!vm)
        return std::unexpected(report_error(command, vm.error()));
    const Deadline deadline = std::chrono::steady_clock::now() + std::chrono::seconds{args.timeout_s};
    // the session is a member of what was judged
    const auto finish = [&](auto judged, auto session_of, const char *what) -> std::expected<Joined, int> {
        if (!judged)
            return std::unexpected(report_error(command, judged.error()));
        if (!judged->appraisal.accepted)
            return std::unexpected(report_rejection(
                command, *judged, args.json, args.target.name() + ": " + what + " was rejected; nothing was sent"));
        Joined out{.session = std::move(session_of(*judged)), .entitled = *judged->appraisal.accepted};
        if (const auto ours = about_this_connection(out.session, out.entitled); !ours)
            return std::unexpected(report_error(command, ours.error()));
        return out;
    };
    if (args.passport.wanted)
        return finish(
            judge_passport(args.passport, args.judge, &files.key, *vm, deadline),
            [](PassportJudgement &judged) -> Session & { return judged.session; }, "the passport");
    return finish(
        judge_live_as(files.key, files.manifest.encoded, args.judge, *vm, deadline),
        [](Judgement &judged) -> Session & { return judged.live.session; }, "the evidence");
}

namespace {

Explained<response::ItemStatus> stored_of(Session &session, const std::string &item, unsigned timeout_s) {
    CVMIN_TRY(status, ask<response::Status>(session, request::Status{}, timeout_s));
    for (const response::ItemStatus &known : status.items)
        if (known.item == item)
            return known;
    return explain(Errc::malformed, "the agent does not know the input " + item);
}

} // namespace

Explained<Uploaded> upload(Session &session, const Entitled &entitled, const ManifestItem &item, int file,
                           std::uint64_t size, unsigned timeout_s, const MovedBytes &moved) {
    CVMIN_CHECK(about_this_connection(session, entitled));
    CVMIN_TRY(stored, stored_of(session, item.name, timeout_s));
    if (stored.complete)
        return Uploaded{.resumed_from = size, .sent = 0};
    // what a dropped connection left is gone on with; should it be of another file, its digest will not fit
    Uploaded done{.resumed_from = stored.received <= size ? stored.received : 0, .sent = 0};
    for (;; done.resumed_from = 0) {
        CVMIN_CHECK(send_input(session, {.item = item.name, .file = file, .offset = done.resumed_from, .size = size},
                               timeout_s, moved));
        done.sent += size - done.resumed_from;
        const auto ended = ask<response::Stored>(session, request::PutEnd{.item = item.name, .size = size}, timeout_s);
        if (!ended && done.resumed_from != 0 && ended.error().code == Errc::refused)
            continue;
        if (!ended)
            return std::unexpected(ended.error());
        if (ended->digest != item.sha256)
            return explain(Errc::mismatch, item.name + ": the agent has " + hex(ended->digest) +
                                               ", and the manifest names " + hex(item.sha256));
        return done;
    }
}

Explained<void> download(Session &session, const std::string &part, std::uint64_t limit, unsigned timeout_s,
                         const std::function<Explained<void>(ByteView)> &take) {
    std::uint64_t offset = 0;
    for (;;) {
        CVMIN_TRY(piece, ask<response::Data>(session, request::Get{.name = part, .offset = offset}, timeout_s));
        if (piece.total > limit)
            return explain(Errc::too_large, part + ": " + std::to_string(piece.total) + " bytes, where " +
                                                std::to_string(limit) + " are the most");
        if (piece.data.size() > piece.total - std::min(offset, piece.total))
            return explain(Errc::malformed, part + ": more bytes than the agent says there are");
        CVMIN_CHECK(take(piece.data));
        offset += piece.data.size();
        if (offset == piece.total)
            return {};
        if (piece.data.empty())
            return explain(Errc::truncated, part + ": ends before the size that the agent named");
    }
}

std::string exit_text(std::uint64_t wait_status) {
    const int status = static_cast<int>(wait_status);
    if (WIFEXITED(status))
        return "exit status " + std::to_string(WEXITSTATUS(status));
    return "signal " + std::to_string(WTERMSIG(status));
}

Json status_json(const response::Status &status) {
    Json items = Json::array();
    for (const response::ItemStatus &item : status.items)
        items.push_back({{"item", item.item}, {"received", item.received}, {"complete", item.complete}});
    Json outputs(nullptr);
    if (status.outputs) {
        outputs = Json::array();
        for (const response::OutputFile &file : *status.outputs)
            outputs.push_back({{"name", file.name}, {"size", file.size}, {"sha256", hex(file.sha256)}});
    }
    return {{"schema", 1},
            {"state", name(status.state)},
            {"items", std::move(items)},
            {"reason", status.reason ? Json(*status.reason) : Json(nullptr)},
            {"wait_status", status.wait_status ? Json(*status.wait_status) : Json(nullptr)},
            {"outputs", std::move(outputs)}};
}

std::string status_text(const response::Status &status) {
    std::string text = "state  " + std::string{name(status.state)} +
                       (status.reason ? ": " + *status.reason : std::string{}) +
                       (status.wait_status ? " (" + exit_text(*status.wait_status) + ")" : std::string{}) + "\n";
    for (const response::ItemStatus &item : status.items)
        text += "input  " + item.item + "  " + std::to_string(item.received) + " bytes" +
                (item.complete ? ", complete" : "") + "\n";
    if (status.outputs)
        for (const response::OutputFile &file : *status.outputs)
            text +=
                "output " + file.name + "  " + std::to_string(file.size) + " bytes, sha256 " + hex(file.sha256) + "\n";
    return text;
}

Explained<HashedFile> hash_file(int file, const std::string &path) {
    HashedFile hashed;
    Sha256Stream stream;
    Bytes chunk(1u << 20);
    for (ssize_t got; (got = ::read(file, chunk.data(), chunk.size())) != 0;) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return explain({Errc::system, "input", static_cast<std::uint64_t>(errno)}, path);
        stream.update(ByteView{chunk}.first(static_cast<std::size_t>(got)));
        hashed.size += static_cast<std::uint64_t>(got);
    }
    hashed.sha256 = stream.finish();
    return hashed;
}

Explained<void> check_receipt(const ReceiptBody &body, const ManifestFile &manifest) {
    const auto differs = [](const std::string &member, ByteView found, ByteView wanted) {
        return explain(Errc::mismatch, "receipt: " + member + ": found " + hex(found) + ", wanted " + hex(wanted));
    };
    if (body.manifest != manifest.digest)
        return differs("manifest", body.manifest, manifest.digest);
    if (body.program != manifest.manifest.algorithm.sha256)
        return differs("program", body.program, manifest.manifest.algorithm.sha256);
    if (body.datasets.size() != manifest.manifest.datasets.size())
        return explain(Errc::mismatch, "receipt: found " + std::to_string(body.datasets.size()) + " datasets, wanted " +
                                           std::to_string(manifest.manifest.datasets.size()));
    for (std::size_t i = 0; i < body.datasets.size(); ++i) { // both by name
        const Dataset &wanted = manifest.manifest.datasets[i];
        if (body.datasets[i].name != wanted.name)
            return explain(Errc::mismatch,
                           "receipt: found the dataset " + body.datasets[i].name + ", wanted " + wanted.name);
        if (body.datasets[i].sha256 != wanted.sha256)
            return differs("data/" + wanted.name, body.datasets[i].sha256, wanted.sha256);
    }
    return {};
}

} // namespace cvmin
