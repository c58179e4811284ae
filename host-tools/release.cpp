#include "host-tools/release.hpp"

namespace cvmin {

using Released = std::expected<Sha256Digest, ReleaseFailure>;

static Released failed(Errc code, std::string text) {
    return std::unexpected(ReleaseFailure{.code = code, .text = std::move(text)});
}

static Released after_sending(Released failure) {
    failure.error().may_have_been_sent = true;
    return failure;
}

static Released digest_of(Session &session, const Request &request, Deadline deadline) {
    const auto response = session.request(request, deadline);
    if (!response)
        return failed(response.error().code, to_string(response.error()));
    if (const auto *refusal = std::get_if<response::Failure>(&*response))
        return failed(Errc::refused, "the agent answered " + std::string{name(refusal->code)} + ": " + refusal->text);
    const auto *stored = std::get_if<response::Stored>(&*response);
    if (stored == nullptr)
        return failed(Errc::mismatch, "the agent answered about a secret with something else");
    return stored->digest;
}

bool emulated(const Entitled &entitled) {
    return std::visit([](const auto &accepted) { return accepted.emulated(); }, entitled);
}

Explained<void> about_this_connection(Session &session, const Entitled &entitled) {
    // Either is about one key. Whatever a caller mixed up, nothing goes to another one.
    if (!std::visit([&](const auto &accepted) { return accepted.key() == session.peer_key(); }, entitled))
        return explain(Errc::refused, "the verdict is about another key than the one at the end of this connection");
    const auto *evidence = std::get_if<Accepted>(&entitled);
    if (evidence == nullptr)
        return {}; // the handshake has shown that the peer has the key that the result names
    // Nor over another connection than the one that the evidence was given for: the exporter is asked of the session,
    // so that neither stored evidence nor a value of another connection to the same agent opens this one.
    if (!evidence->exporter())
        return explain(Errc::refused, "the verdict is about no connection: its exporter was not checked");
    const auto exporter = session.exporter(evidence->nonce());
    if (!exporter)
        return explain(exporter.error().code, to_string(exporter.error()));
    if (!equal(*exporter, *evidence->exporter()))
        return explain(Errc::refused, "the verdict is about another connection than this one");
    return {};
}

Released release_secret(Session &session, const Entitled &entitled, const std::string &secret_name, Secret value,
                        Deadline deadline) {
    if (!valid_secret_name(secret_name))
        return failed(Errc::usage, "a secret's name has 1 to 64 characters of a-z, 0-9, '.', '_' and '-'");
    if (value.view().empty() || value.view().size() > max_secret_size)
        return failed(Errc::usage, "a secret has 1 to 65536 bytes");
    if (const auto ours = about_this_connection(session, entitled); !ours)
        return failed(ours.error().code, ours.error().text);

    const Sha256Digest ours = sha256(value.view());
    Released stored = digest_of(session, request::PutSecret{.name = secret_name, .value = std::move(value)}, deadline);
    if (!stored)
        return after_sending(std::move(stored));
    Released confirmed = digest_of(session, request::SecretDigest{secret_name}, deadline);
    if (!confirmed)
        return after_sending(std::move(confirmed));
    if (*stored != ours || *confirmed != ours)
        return after_sending(failed(Errc::mismatch, "the agent holds something else than was sent"));
    return ours;
}

} // namespace cvmin
