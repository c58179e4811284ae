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

template <class R>
concept Computed = requires(Computation &computation, const R &request, const Computation::Party &from) {
    computation.on(request, from);
};

} // namespace

Reply Service::handle(ByteView message, Peer &peer) {
    const auto request = parse_request(message);
    if (!request)
        return failure(PeerErrc::bad_request, to_string(request.error()));
    return std::visit(
        [&](const auto &known) {
            if constexpr (Computed<std::remove_cvref_t<decltype(known)>>)
                return compute(known, peer);
            else
                return on(known, peer);
        },
        *request);
}

template <class R> Reply Service::compute(const R &request, const Peer &peer) {
    if (platform_.computation == nullptr)
        return failure(PeerErrc::not_available, "this agent runs no computation");
    if (!peer.attested) {
        if constexpr (std::is_same_v<R, request::Put>)
            platform_.log.violation(
                {.session = peer.session, .rule = ViolationRule::put_before_attest, .name = request.item});
        return failure(PeerErrc::not_attested);
    }
    return reply(platform_.computation->on(request, {.session = peer.session, .key = peer.key}));
}

Reply Service::on(const request::Hello &, Peer &) const {
    return reply(response::Hello{.version = protocol_version,
                                 .agent = "cvmin-agent " CVMIN_VERSION,
                                 .start_us = timings_.start,
                                 .listening_us = timings_.listening,
                                 .ready_us = timings_.ready,
                                 .report_source = std::string{platform_.source.name()}});
}

Bytes Service::claims_now(const request::Attest &attest, const ByteArray<exporter_size> &exporter) const {
    const Tpm *tpm = platform_.log.tpm();
    return encode_claims(
        {.nonce = attest.nonce,
         .key = key_,
         .exporter = exporter,
         .runtime_log = platform_.log.head(),
         .manifest = platform_.computation == nullptr ? std::nullopt : platform_.computation->manifest_digest(),
         .ak = tpm == nullptr ? std::nullopt : tpm->ak()});
}

// The order matters: the session is recorded first, so that the evidence tells whoever asked for it about itself; the
// quote, which can cost us the TPM, comes before the report; nothing is recorded between claims and evidence.
Reply Service::on(const request::Attest &attest, Peer &peer) {
    const auto exporter = peer.channel.exporter(attest.nonce);
    if (!exporter)
        return failure(PeerErrc::internal, to_string(exporter.error()));
    platform_.log.note(event::SessionOpened{.session = peer.session, .nonce = sha256(attest.nonce)});
    Evidence evidence;
    evidence.claims = claims_now(attest, *exporter);
    if (Tpm *const tpm = platform_.log.tpm(); attest.pcrs && tpm != nullptr) {
        auto quote = tpm->quote(*attest.pcrs, sha256(evidence.claims));
        if (quote)
            evidence.tpm = std::move(*quote);
        else if (quote.error().code == Errc::usage)
            return failure(PeerErrc::tpm_refused, to_string(quote.error()));
        else {
            platform_.log.lost(quote.error());
            evidence.claims = claims_now(attest, *exporter); // without it
        }
    }
    const ByteArray<64> report_data = report_data_for(evidence.claims);
    auto report = platform_.source.report(report_data);
    if (!report)
        return failure(PeerErrc::not_available, to_string(report.error()));
    evidence.report = std::move(report->report);
    evidence.certificates = std::move(report->certificates);
    evidence.runtime_log = platform_.log.log();
    if (attest.pcrs && platform_.logs != nullptr) {
        evidence.event_log = platform_.logs->event_log();
        evidence.ima_log = platform_.logs->ima_log(); // after the quote: it holds what was quoted, and perhaps more
        evidence.svsm = platform_.logs->svsm(report_data);
    }
    peer.attested = true;
    return reply(response::Evidence{encode_evidence(evidence)});
}

Reply Service::on(const request::PutSecret &put, Peer &peer) {
    RuntimeLog &log = platform_.log;
    if (!peer.attested) { // whoever sends a secret without having looked is making a mistake we can stop
        log.violation({.session = peer.session, .rule = ViolationRule::put_before_attest, .name = put.name});
        return failure(PeerErrc::not_attested);
    }
    const auto exporter = peer.channel.exporter(secret_context(put.name));
    if (!exporter)
        return failure(PeerErrc::internal, to_string(exporter.error()));
    if (!log.has_room())
        return failure(PeerErrc::log_full);
    const std::size_t before = platform_.secrets.size();
    const auto stored = platform_.secrets.put(put.name, put.value, peer.put);
    if (stored) {
        if (platform_.secrets.size() != before) // the same bytes again change nothing
            log.record(event::SecretReceived{.session = peer.session,
                                             .name = put.name,
                                             .commitment = secret_commitment(*exporter, put.value.view())});
        return reply(response::Stored{*stored});
    }
    Reply refusal = failure(stored.error());
    if (stored.error() == PeerErrc::exists) {
        log.violation({.session = peer.session, .rule = ViolationRule::wrong_put, .name = put.name});
        refusal.close = ++peer.exists_answers >= max_exists_answers;
    }
    return refusal;
}

Reply Service::on(const request::SecretDigest &digest, Peer &peer) const {
    if (!peer.attested)
        return failure(PeerErrc::not_attested);
    const auto known = platform_.secrets.digest(digest.name, peer.put);
    return known ? reply(response::Stored{*known}) : failure(known.error());
}

std::optional<std::size_t> Service::party(const Peer &peer) const {
    return platform_.computation == nullptr ? std::nullopt : platform_.computation->place_of(peer.key);
}

// Once there is an agreement only its parties may end it: whoever else reaches the port has no say. The host can turn
// the machine off in any case.
Reply Service::on(const request::Stop &, Peer &peer) {
    if (platform_.computation != nullptr && platform_.computation->manifest_digest() && !party(peer))
        return failure(PeerErrc::not_a_party);
    platform_.log.note(event::Stop{peer.session});
    if (platform_.computation != nullptr)
        platform_.computation->stop();
    return {.response = response::Stopping{}, .close = true, .stop = true};
}

Reply Service::on(const request::Activate &activate, Peer &peer) {
    if (!peer.attested)
        return failure(PeerErrc::not_attested);
    Tpm *const tpm = platform_.log.tpm();
    if (tpm == nullptr)
        return failure(PeerErrc::not_available, "there is no TPM that works");
    auto credential = tpm->activate(activate.id_object, activate.encrypted_secret);
    if (!credential && credential.error().code == Errc::refused)
        return failure(PeerErrc::tpm_refused);
    if (!credential) {
        platform_.log.lost(credential.error());
        return failure(PeerErrc::not_available, to_string(credential.error()));
    }
    if (credential->empty() || credential->size() > max_credential_size) {
        platform_.log.lost({Errc::out_of_range, "tpm.credential", credential->size()});
        return failure(PeerErrc::not_available, "the TPM gave a credential of no valid size");
    }
    return reply(response::Activated{std::move(*credential)});
}

Reply Service::on(const request::Events &events, Peer &peer) const {
    if (!peer.attested)
        return failure(PeerErrc::not_attested);
    return reply(response::EventsChunk{.records = to_bytes(platform_.log.records_from(events.from)),
                                       .total = platform_.log.count()});
}

// Whoever relies on a result checks its signature and that it names our key. So it is not read here, and whoever puts a
// wrong one only denies the right one.
Reply Service::on(const request::PassportPut &put, Peer &peer) {
    if (!peer.attested)
        return failure(PeerErrc::not_attested);
    passport_ = put.result;
    return reply(response::Stored{sha256(passport_)});
}

Reply Service::on(const request::PassportGet &, Peer &peer) const {
    if (passport_.empty())
        return failure(PeerErrc::not_available, "no passport is stored");
    peer.attested = true;
    return reply(response::Passport{passport_});
}

} // namespace cvmin::agent
