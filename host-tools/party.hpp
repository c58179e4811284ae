// A party of a computation, over a connection that was attested and accepted: bringing inputs, watching, taking the
// result. What it may do, the agent decides by the manifest; what it believes, it has appraised or hashed itself.
#pragma once

#include "common/receipt.hpp"
#include "host-tools/appraise/appraise.hpp"
#include "host-tools/ask.hpp"
#include "host-tools/computation/manifest_file.hpp"
#include "host-tools/passport.hpp"
#include "host-tools/release.hpp"
#include "host-tools/session/send_input.hpp"
#include "host-tools/target_options.hpp"

#include <functional>

namespace cvmin {

struct PartyArgs {
    TargetArgs target;
    JudgeArgs judge; // its manifest is required
    PassportArgs passport;
    std::string key;
    unsigned timeout_s = 30; // for the evidence, and for each answer after it
    bool json = false;
};
void add_party_options(CLI::App &app, PartyArgs &args);
std::optional<std::string> usage_problem(const PartyArgs &args);

struct PartyFiles {
    ManifestFile manifest;
    const Party *party = nullptr; // of the manifest: whose key it is
    P384PrivateKey key;
};
// mismatch: the key is none of the manifest's. The errors of load_manifest and read_private_key_file.
Explained<void> read_party_files(PartyFiles &files, const PartyArgs &args);

// Connects, attests and appraises, and offers the manifest to an agent that has none; or judges the agent's passport. A
// connection to what was accepted, or the exit code of a failure that was reported: with the verdict, if there is one.
struct Joined {
    Session session;
    Entitled entitled;
};
std::expected<Joined, int> join(const char *command, const PartyArgs &args, PartyFiles &files);

// The same with so long for the answer.
template <class Answer> Explained<Answer> ask(Session &session, const Request &request, unsigned timeout_s) {
    return ask<Answer>(session, request, std::chrono::steady_clock::now() + std::chrono::seconds{timeout_s});
}

struct Uploaded {
    std::uint64_t resumed_from = 0; // bytes that the agent had already and has kept; all of them: it was complete
    std::uint64_t sent = 0;         // bytes that went over the connection
};
// Sends the open file as this input, from where the agent has it already; what is stored and is not ours is sent anew.
// Nothing is sent to an agent that `entitled` is not about. mismatch: the agent has something else than the manifest
// names; and the errors above.
Explained<Uploaded> upload(Session &session, const Entitled &entitled, const ManifestItem &item, int file,
                           std::uint64_t size, unsigned timeout_s, const MovedBytes &moved);

// A part of the result ("log", "receipt", "output/NAME"), at most `limit` bytes, given on piece by piece.
// too_large; and the errors above, and those of `take`.
Explained<void> download(Session &session, const std::string &part, std::uint64_t limit, unsigned timeout_s,
                         const std::function<Explained<void>(ByteView)> &take);

Json status_json(const response::Status &status);
std::string status_text(const response::Status &status);
std::string exit_text(std::uint64_t wait_status); // "exit status 1", "signal 9"

struct HashedFile {
    std::uint64_t size = 0;
    Sha256Digest sha256{};
};
// The rest of an open file. system.
Explained<HashedFile> hash_file(int file, const std::string &path);

// What a receipt says is what the manifest asked for. mismatch: the member that is not.
Explained<void> check_receipt(const ReceiptBody &body, const ManifestFile &manifest);

} // namespace cvmin
