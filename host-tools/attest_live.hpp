// What verify, attest and send share: evidence of a running agent over a connection of our own, and the launch digests
// that an image may have. Judges nothing: appraise() does, with the Expectations made here.
#pragma once

#include "common/launch.hpp"
#include "host-tools/appraise/appraise.hpp"
#include "host-tools/session/session.hpp"
#include "qemu/vm.hpp"

#include <filesystem>

namespace cvmin {

struct LiveAttestation {
    Session session; // open; what is sent over it goes to the peer that the evidence is about
    Bytes nonce;
    ByteArray<exporter_size> exporter;
    PublicKey key; // of the peer's certificate
    Bytes evidence;
};

// Asks the agent at the other end of `session` for evidence over `nonce` (min_nonce_size..max_nonce_size bytes), by
// default a fresh one of 32 bytes. refused (detail: PeerErrc): the agent answered with an error; malformed: with
// something else; and the errors of Session.
Result<LiveAttestation> attest_live(Session session, Deadline deadline, std::optional<Bytes> nonce = std::nullopt);
// The same over a new connection. unreachable, timed_out, and the errors above.
Result<LiveAttestation> attest_live(const VmInfo &vm, Deadline deadline, std::optional<Bytes> nonce = std::nullopt);

// Binding and time; measurements, policy and roots are still to be filled in.
Expectations expect_live(const LiveAttestation &live);

struct PredictedMeasurement {
    Sha384Digest digest;
    std::string source; // "out/image.json, EPYC-v4, 1 vCPU", and "DEBUG image" of one
};
// Reads an image and predicts its launch digest. usage (where: "vcpu_type"): no such model; and the errors of
// load_image_manifest, load_image_files and predict_launch_digest.
Result<PredictedMeasurement> predict_measurement(const std::filesystem::path &image_json, std::string_view cpu_model,
                                                 unsigned vcpus);

// A policy file. The text of an error names file and member; `exit_code` is cvmin's.
struct PolicyFileError {
    std::string text;
    int exit_code;
};
std::expected<Policy, PolicyFileError> read_policy_file(const std::filesystem::path &path);

// The certificate of an emulated ARK, DER or PEM, as DER. malformed, and the errors of read_file.
Result<Bytes> read_emulated_ark(const std::filesystem::path &path);

} // namespace cvmin
