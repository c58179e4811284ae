// The release of a secret: only to a value which only appraise() or appraise_result() makes, and only over the session
// that it is about.
#pragma once

#include "common/secret.hpp"
#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"
#include "host-tools/result/appraise_result.hpp"
#include "host-tools/session/session.hpp"

#include <expected>
#include <string>
#include <variant>

namespace cvmin {

// What something may be released to: evidence that was appraised here, and is about one connection; or a verifier's
// result, which is about one key.
using Entitled = std::variant<Accepted, AcceptedResult>;
bool emulated(const Entitled &entitled);

// Whether what was accepted is the peer of this session, and for evidence over this very connection: before anything
// goes over it that is not for everybody. refused: it is not, or was not checked. The errors of Session::exporter.
Explained<void> about_this_connection(Session &session, const Entitled &entitled);

struct ReleaseFailure {
    Errc code;
    std::string text; // a sentence; an agent's own words where it answered with a failure
    // The request with the secret went out, or part of it: whatever came back, it may have arrived and be in use.
    bool may_have_been_sent = false;
};

// Sends the secret, then asks its digest back; the digest, which is also ours.
// usage: the name is not valid, or the value empty or too large; refused: `entitled` is about another connection than
// this session's (in both cases nothing was sent), or the agent answered with a failure; mismatch: the agent holds
// something else than was sent. Otherwise Session's errors. About another connection is also what was accepted without
// an exporter, or over stored evidence.
std::expected<Sha256Digest, ReleaseFailure> release_secret(Session &session, const Entitled &entitled,
                                                           const std::string &secret_name, Secret value,
                                                           Deadline deadline);

} // namespace cvmin
