// Evidence of the negative corpus with a vTPM, and what it is held against: for tests that only need one of that kind.
#pragma once

#include "tests/unit/cmocka.hpp"

#include "host-tools/appraise/appraise.hpp"
#include "host-tools/appraise/verdict.hpp"

namespace cvmin::test {

inline Bytes vtpm_evidence(const char *name) {
    return data(std::string{"negative/evidence/"} + name + ".cbor");
}

// As index.json has it for entries of make.py's booted().
inline Expectations vtpm_expectations(ByteView evidence) {
    Expectations wanted;
    wanted.policy = parse_policy(data("../../policies/emulated-vtpm.json")).value();
    wanted.now = parse_time("2026-06-01T12:00:00Z").value();
    wanted.measurements.emplace_back().fill(std::byte{0xaa});
    wanted.measurement_source = "a test";
    wanted.emulated_ark = data("negative/certificates/ark.der");
    wanted.nonce = Bytes(32, std::byte{0x5a});
    wanted.exporter.emplace<ByteArray<exporter_size>>().fill(std::byte{0x33});
    auto &key = wanted.peer_key.emplace<PublicKey>();
    key.x.fill(std::byte{0x11});
    key.y.fill(std::byte{0x22});
    wanted.boot_files = {{.bank = TpmAlg::sha256,
                          .kernel = TpmDigest{sha256(as_bytes("kernel"))},
                          .initrd = TpmDigest{sha256(as_bytes("initramfs"))},
                          .load_options = TpmDigest{sha256(as_bytes("load options"))}}};
    const auto parsed = parse_evidence(evidence).value();
    if (parsed.tpm)
        wanted.activation = TpmActivation{.ek_public = sha256(parsed.tpm->ek_public),
                                          .ak_public = sha256(parsed.tpm->ak_public),
                                          .answered = true,
                                          .found = "the credential came back"};
    return wanted;
}

} // namespace cvmin::test
