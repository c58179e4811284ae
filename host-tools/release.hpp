// The release of a secret: only to an Accepted value, which only appraise() makes, and only over the session whose key
// and exporter that value carries.
#pragma once

#include "common/secret.hpp"
#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"
#include "host-tools/session/session.hpp"

#include <expected>
#include <string>

namespace cvmin {

// Whether what was accepted is the peer of this session, over this very connection: before anything goes over it that
// is not for everybody. refused: it is not, or was not checked. The errors of Session::exporter.
Explained<void> about_this_connection(Session &session, const Accepted &accepted);

struct ReleaseFailure {
    Errc code;
    std::string text; // a sentence; an agent's own words where it answered with a failure
    // The request with the secret went out, or part of it: whatever came back, it may have arrived and be in use.
    bool may_have_been_sent = false;
};

// Sends the secret, then asks its digest back; the digest, which is also ours.
// usage: the name is not valid, or the value empty or too large; refused: `accepted` is about another connection than
// this session's (in both cases nothing was sent), or the agent answered with a failure; mismatch: the agent holds
// something else than was sent. Otherwise Session's errors. About another connection is also what was accepted without
// an exporter, or over stored evidence.
std::expected<Sha256Digest, ReleaseFailure> release_secret(Session &session, const Accepted &accepted,
                                                           const std::string &secret_name, Secret value,
                                                           Deadline deadline);

} // namespace cvmin
