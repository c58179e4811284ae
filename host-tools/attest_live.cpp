#include "host-tools/attest_live.hpp"

#include "common/tpm.hpp"
#include "host-tools/measure/measure.hpp"

#include <cerrno>
#include <thread>

#include <sys/random.h>

namespace cvmin {

Result<Bytes> fresh_nonce(std::size_t size) {
    Bytes nonce(size);
    // up to 256 bytes come whole or not at all (getrandom(2))
    if (::getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size()))
        return fail(Errc::system, "getrandom", static_cast<std::uint64_t>(errno));
    return nonce;
}

static bool clock_not_safe(ByteView evidence) {
    const auto parsed = parse_evidence(evidence);
    if (!parsed || !parsed->tpm)
        return false;
    const auto attest = parse_attest(parsed->tpm->attest);
    return attest && !attest->safe;
}

// Evidence, asked for again while its quote's clock is not safe and may soon be.
static Result<Bytes> ask(Session &session, const Bytes &nonce, const LiveOptions &options, Deadline deadline) {
    for (unsigned waits = 0;; ++waits) {
        CVMIN_TRY(answer, session.request(request::Attest{.nonce = nonce, .pcrs = options.pcrs}, deadline));
        if (const auto *failure = std::get_if<response::Failure>(&answer))
            return fail(Errc::refused, "agent.attest", static_cast<std::uint64_t>(failure->code));
        auto *evidence = std::get_if<response::Evidence>(&answer);
        if (evidence == nullptr)
            return fail(Errc::malformed, "agent.attest");
        if (waits == max_clock_waits || std::chrono::steady_clock::now() + options.clock_wait >= deadline ||
            !clock_not_safe(evidence->evidence))
            return std::move(evidence->evidence);
        std::this_thread::sleep_for(options.clock_wait);
    }
}

// Whether the credential for the quote's keys comes back. An error is one of the connection's; all else is a fact.
static Result<TpmActivation> activate(Session &session, const TpmEvidence &tpm, Deadline deadline) {
    TpmActivation out{.ek_public = sha256(tpm.ek_public), .ak_public = sha256(tpm.ak_public), .found = {}};
    auto challenge = make_challenge(tpm);
    if (!challenge) {
        out.found = "no credential can be made for these keys: " + to_string(challenge.error());
        return out;
    }
    CVMIN_TRY(answer,
              session.request(request::Activate{.id_object = std::move(challenge->credential.id_object),
                                                .encrypted_secret = std::move(challenge->credential.encrypted_secret)},
                              deadline));
    if (const auto *failure = std::get_if<response::Failure>(&answer)) {
        out.found = "no credential: the agent answered " + std::string{name(failure->code)};
        return out;
    }
    const auto *activated = std::get_if<response::Activated>(&answer);
    if (activated == nullptr)
        return fail(Errc::malformed, "agent.activate");
    out.answered = same_secret(activated->credential, challenge->wanted.view());
    out.found = out.answered ? "the credential came back" : "another value than the credential";
    return out;
}

Result<LiveAttestation> attest_live(Session session, Deadline deadline, const LiveOptions &options) {
    Bytes nonce;
    if (options.nonce) {
        nonce = *options.nonce;
    } else {
        CVMIN_TRY(fresh, fresh_nonce(min_nonce_size));
        nonce = std::move(fresh);
    }
    if (nonce.size() < min_nonce_size || nonce.size() > max_nonce_size)
        return fail(Errc::out_of_range, "nonce", nonce.size());
    CVMIN_TRY(exporter, session.exporter(nonce));
    CVMIN_TRY(evidence, ask(session, nonce, options, deadline));
    std::optional<TpmActivation> activation;
    std::optional<TpmEpoch> epoch;
    // what cannot be read is appraise()'s to refuse
    if (const auto parsed = parse_evidence(evidence); parsed && parsed->tpm) {
        if (const auto read = tpm_epoch(*parsed->tpm))
            epoch = *read;
        if (options.activate) {
            CVMIN_TRY(tried, activate(session, *parsed->tpm, deadline));
            activation = std::move(tried);
        }
    }
    const PublicKey key = session.peer_key();
    return LiveAttestation{.session = std::move(session),
                           .nonce = std::move(nonce),
                           .exporter = exporter,
                           .key = key,
                           .evidence = std::move(evidence),
                           .pcrs = options.pcrs,
                           .activation = std::move(activation),
                           .epoch = epoch,
                           .earlier = std::nullopt};
}

Result<Session> open_session(const VmInfo &vm, Deadline deadline, P384PrivateKey *party_key) {
    auto pause = first_handshake_pause;
    for (unsigned tried = 1;; ++tried) {
        CVMIN_TRY(socket, connect_agent(vm.address, agent_vsock_port, deadline));
        auto session = Session::open(std::move(socket), deadline, {.party_key = party_key});
        if (session)
            return session;
        if (session.error().code != Errc::unreachable || tried == max_handshakes ||
            std::chrono::steady_clock::now() + pause >= deadline)
            return session;
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, longest_handshake_pause);
    }
}

Result<LiveAttestation> attest_live(const VmInfo &vm, Deadline deadline, const LiveOptions &options) {
    CVMIN_TRY(session, open_session(vm, deadline, options.party_key));
    return attest_live(std::move(session), deadline, options);
}

Result<LiveAttestation> attest_again(LiveAttestation before, Deadline deadline, const LiveOptions &options) {
    // a quote that is missing now does not make the earlier one forgotten
    const std::optional<TpmEpoch> earlier = before.epoch ? before.epoch : before.earlier;
    CVMIN_TRY(live, attest_live(std::move(before.session), deadline, options));
    live.earlier = earlier;
    return live;
}

Expectations expect_live(const LiveAttestation &live) {
    Expectations wanted;
    wanted.nonce = live.nonce;
    wanted.exporter = live.exporter;
    wanted.peer_key = live.key;
    wanted.live = true;
    wanted.pcrs = live.pcrs;
    if (live.activation)
        wanted.activation = *live.activation;
    wanted.earlier_quote = live.earlier;
    wanted.now = std::time(nullptr);
    return wanted;
}

Result<PredictedMeasurement> predict_measurement(const std::filesystem::path &image_json, std::string_view cpu_model,
                                                 unsigned vcpus) {
    const auto model = find_cpu_model(cpu_model);
    if (!model)
        return fail(Errc::usage, "vcpu_type");
    CVMIN_TRY(manifest, load_image_manifest(image_json));
    CVMIN_TRY(files, load_image_files(manifest));
    CVMIN_TRY(digest, predict_launch_digest(manifest, files, *model, vcpus));
    return PredictedMeasurement{.digest = digest,
                                .source = image_json.string() + ", " + std::string{cpu_model} + ", " +
                                          std::to_string(vcpus) + (vcpus == 1 ? " vCPU" : " vCPUs") +
                                          (manifest.debug ? ", DEBUG image" : "")};
}

Result<std::vector<BootFiles>> image_boot_files(const std::filesystem::path &image_json) {
    CVMIN_TRY(manifest, load_image_manifest(image_json));
    CVMIN_TRY(files, load_image_files(manifest));
    return boot_files(files.kernel, files.initrd, manifest.command_line);
}

Explained<Policy> read_policy_file(const std::filesystem::path &path) {
    const auto text = read_file(path, max_json_size);
    if (!text)
        return explain(text.error(), path.string());
    auto policy = parse_policy(*text);
    if (!policy)
        return explain(policy.error().error.code, path.string() + ": " + to_string(policy.error()));
    return std::move(*policy);
}

Result<Bytes> read_emulated_ark(const std::filesystem::path &path) {
    CVMIN_TRY(bytes, read_file(path, max_certificate_size));
    CVMIN_TRY(der, certificate_der(bytes, "emulated_ark"));
    CVMIN_CHECK(X509Certificate::parse(der, "emulated_ark"));
    return der;
}

} // namespace cvmin
