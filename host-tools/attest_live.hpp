// What verify, attest and send share: evidence of a running agent over a connection of our own, and the launch digests
// that an image may have. Judges nothing: appraise() does, with the Expectations made here.
#pragma once

#include "common/launch.hpp"
#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"
#include "host-tools/session/session.hpp"
#include "host-tools/tpm/live.hpp"
#include "qemu/vm.hpp"

#include <filesystem>

namespace cvmin {

// After a shutdown that nobody announced to it, a TPM calls its clock not safe until it has saved it again: after some
// 4 s (TPM 2.0 Part 1, 36.3.2; libtpms saves it every 4096 ms). Such a quote proves less, so it is asked for again.
inline constexpr unsigned max_clock_waits = 5;

// A connection that ends in the handshake may have given way to others, in a crowd: it is tried again, this often, with
// pauses that grow from the first to the longest (some 7 s together).
inline constexpr unsigned max_handshakes = 10;
inline constexpr std::chrono::milliseconds first_handshake_pause{100}, longest_handshake_pause{1000};

// Random bytes, at most max_nonce_size. system.
Result<Bytes> fresh_nonce(std::size_t size);

struct LiveOptions {
    std::optional<Bytes> nonce{};                // min_nonce_size..max_nonce_size bytes; by default a fresh one of 32
    std::optional<request::PcrSelection> pcrs{}; // a quote of these is asked for, and the logs with it
    bool activate = false;                       // where a quote came: see whether its AK is in the TPM of its EK
    std::chrono::milliseconds clock_wait{1000};  // between quotes, while their clock is not safe
    P384PrivateKey *party_key = nullptr;         // of a connection that is made here: who we are in a computation
};

struct LiveAttestation {
    Session session; // open; what is sent over it goes to the peer that the evidence is about
    Bytes nonce;
    ByteArray<exporter_size> exporter;
    PublicKey key; // of the peer's certificate
    Bytes evidence;
    std::optional<request::PcrSelection> pcrs; // what was asked for
    std::optional<TpmActivation> activation;   // nothing: not asked for, or no quote to go by
    std::optional<TpmEpoch> epoch;             // of this evidence's quote
    std::optional<TpmEpoch> earlier;           // of the last quote before it in this session
};

// Asks the agent at the other end of `session` for evidence. refused (detail: PeerErrc): the agent answered with an
// error; malformed: with something else; and the errors of Session. What the TPM does not do is no error: appraise()
// judges it.
Result<LiveAttestation> attest_live(Session session, Deadline deadline, const LiveOptions &options = {});
// A connection to the agent of this CVM, by the key of a party where there is one. unreachable, timed_out, and the
// errors of Session::open.
Result<Session> open_session(const VmInfo &vm, Deadline deadline, P384PrivateKey *party_key = nullptr);
// Evidence over such a connection. The errors of both.
Result<LiveAttestation> attest_live(const VmInfo &vm, Deadline deadline, const LiveOptions &options = {});
// Again over the same connection, which remembers the earlier quote.
Result<LiveAttestation> attest_again(LiveAttestation before, Deadline deadline, const LiveOptions &options = {});

// Binding, what the TPM answered, and time; measurements, policy and roots are still to be filled in.
Expectations expect_live(const LiveAttestation &live);

struct PredictedMeasurement {
    Sha384Digest digest;
    std::string source; // "out/image.json, EPYC-v4, 1 vCPU", and "DEBUG image" of one
};
// Reads an image and predicts its launch digest. usage (where: "vcpu_type"): no such model; and the errors of
// load_image_manifest, load_image_files and predict_launch_digest.
Result<PredictedMeasurement> predict_measurement(const std::filesystem::path &image_json, std::string_view cpu_model,
                                                 unsigned vcpus);

// What the image's files must have measured when they were booted, for policies that look at it. The errors of
// load_image_manifest, load_image_files and boot_files.
Result<std::vector<BootFiles>> image_boot_files(const std::filesystem::path &image_json);

// A policy file. The text of an error names file and member. The errors of read_file and parse_policy.
Explained<Policy> read_policy_file(const std::filesystem::path &path);

// The certificate of an emulated ARK, DER or PEM, as DER. malformed, and the errors of read_file.
Result<Bytes> read_emulated_ark(const std::filesystem::path &path);

} // namespace cvmin
