#include "agent-min/service.hpp"

#include "common/cert_table.hpp"
#include "common/evidence.hpp"

namespace cvmin::agent {

namespace {

Reply failure(PeerErrc code, std::string_view text) {
    return {.response = response::Failure{code, std::string{text.substr(0, max_error_text_size)}},
            .close = code == PeerErrc::bad_request, // a peer that speaks another language is not worth a second try
            .stop = false};
}
Reply failure(PeerErrc code) {
    return failure(code, message(code));
}
Reply reply(Response response) {
    return {.response = std::move(response), .close = false, .stop = false};
}

} // namespace

Reply Service::handle(ByteView message, Peer &peer) {
    const auto request = parse_request(message);
    if (!request)
        return failure(PeerErrc::bad_request, to_string(request.error()));
    return std::visit([&](const auto &known) { return on(known, peer); }, *request);
}

Reply Service::on(const request::Hello &, Peer &) const {
    return reply(response::Hello{.version = protocol_version,
                                 .agent = "cvmin-agent " CVMIN_VERSION,
                                 .start_us = timings_.start,
                                 .listening_us = timings_.listening,
                                 .ready_us = timings_.ready,
                                 .report_source = std::string{source_.name()}});
}

Reply Service::on(const request::Attest &attest, Peer &peer) {
    const auto exporter = peer.channel.exporter(attest.nonce);
    if (!exporter)
        return failure(PeerErrc::internal, to_string(exporter.error()));
    const Bytes claims = encode_claims({.nonce = attest.nonce,
                                        .key = key_,
                                        .exporter = *exporter,
                                        .runtime_log = std::nullopt,
                                        .manifest = std::nullopt,
                                        .ak = std::nullopt});
    auto report = source_.report(report_data_for(claims));
    if (!report)
        return failure(PeerErrc::not_available, to_string(report.error()));
    peer.attested = true;
    return reply(response::Evidence{encode_evidence(
        {.report = std::move(report->report), .certificates = std::move(report->certificates), .claims = claims})});
}

Reply Service::on(const request::PutSecret &put, Peer &peer) {
    if (!peer.attested) // whoever sends a secret without having looked is making a mistake we can stop
        return failure(PeerErrc::not_attested);
    const auto stored = secrets_.put(put.name, put.value, peer.put);
    if (stored)
        return reply(response::Stored{*stored});
    Reply refusal = failure(stored.error());
    if (stored.error() == PeerErrc::exists)
        refusal.close = ++peer.exists_answers >= max_exists_answers;
    return refusal;
}

Reply Service::on(const request::SecretDigest &digest, Peer &peer) const {
    if (!peer.attested)
        return failure(PeerErrc::not_attested);
    const auto known = secrets_.digest(digest.name, peer.put);
    return known ? reply(response::Stored{*known}) : failure(known.error());
}

Reply Service::on(const request::Stop &, Peer &) const {
    return {.response = response::Stopping{}, .close = true, .stop = true};
}

Reply Service::on(const request::Activate &, Peer &peer) {
    return failure(peer.attested ? PeerErrc::not_available : PeerErrc::not_attested);
}

Reply Service::on(const request::Events &, Peer &peer) const {
    return failure(peer.attested ? PeerErrc::not_available : PeerErrc::not_attested);
}

} // namespace cvmin::agent
