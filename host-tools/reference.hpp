// CoRIM files as the commands use them: read with their signer's key, signed with a private one, and the launches of
// one chosen that a report may be of. The format is host-tools/corim's; judging evidence is appraise()'s.
#pragma once

#include "host-tools/appraise/appraise.hpp"
#include "host-tools/base/explained.hpp"
#include "host-tools/corim/corim.hpp"
#include "host-tools/signing/key_file.hpp"

#include <CLI/CLI.hpp>

#include <filesystem>
#include <optional>

namespace cvmin {

Explained<PublicKey> read_public_key_file(const std::filesystem::path &path);
Explained<void> read_private_key_file(P384PrivateKey &key, const std::filesystem::path &path);
// `corim` signed; an empty name stands for the key's fingerprint.
Explained<Bytes> sign_corim(ByteView corim, const P384PrivateKey &key, std::string signer_name);

struct ReferenceFile {
    std::vector<corim::Launch> launches;
    std::string source;                // "signed.corim, signed by ACME" or "out/reference-values.corim, not signed"
    bool debug = false;                // they are of a debug image, says the publisher
    std::vector<BootFiles> boot_files; // of a release: what the image must have measured
    std::optional<std::int64_t> ends;  // of its validity, and its signature's, whichever is first
};
// The launches that a CoRIM names. A signed one needs its signer's public key, and one that is not signed none: with a
// key, what is not signed is refused. `now` must lie in its validity and its signature's. Refused as well: demands that
// are not compared with a report (corim::launches_of).
Explained<ReferenceFile> read_reference(const std::filesystem::path &path,
                                        const std::optional<std::filesystem::path> &key, std::int64_t now);

// Those of a release, after read_release() with the key in the file `publisher`. What is said of the release is said
// before anything is asked of a CVM; exit code 3.
Explained<ReferenceFile> read_release_reference(const std::filesystem::path &directory,
                                                const std::filesystem::path &publisher, std::int64_t now);
// Every launch of an image, predicted from its files, whose digests are checked first. Boot files are not computed.
Explained<ReferenceFile> read_image_reference(const std::filesystem::path &image_json,
                                              const corim::IdBlockValues &id_block = {});
// "--release and --publisher go together"; nothing.
std::optional<std::string> release_problem(const std::optional<std::string> &release,
                                           const std::optional<std::string> &publisher);
void add_release_options(CLI::App &app, std::optional<std::string> &release, std::optional<std::string> &publisher);

// Fills in `wanted.measurements` and their source for a raw report: the launches whose other values (guest policy, SVN,
// ids) it has, narrowed to a CPU signature and vCPU count where they are given. Nothing of the report is believed here:
// it only chooses among the launches, and appraise() compares the digest.
void want_launches(Expectations &wanted, const ReferenceFile &reference, ByteView raw_report,
                   std::optional<std::uint32_t> signature, std::optional<unsigned> vcpus);

// A CPU model by name, as want_launches() takes it. usage: there is none of this name.
Explained<std::uint32_t> signature_of(const std::string &vcpu_type);

} // namespace cvmin
