// A VM's own TPM: swtpm, manufactured by swtpm_setup with EK certificates of a local CA, which is made once per user.
// Makes the CA, the configuration and the command lines, and looks after a state that is kept; starting the processes
// is supervisor.cpp's business. A host-run TPM proves what the host lets it prove: who trusts this CA trusts this user.
#pragma once

#include "host-tools/base/os.hpp"
#include "qemu/explained.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace cvmin {

// The CA whose certificate a verifier may name (--ek-root): one self-signed P-384 certificate, which signs the EK
// certificates itself, so that the root alone is a whole chain. Its key stays: every vTPM needs a certificate of it.
class VtpmCa {
  public:
    static std::filesystem::path directory();                                         // state_directory()/vtpm-ca
    static std::filesystem::path root_file() { return directory() / "ek-root.der"; }  // what verifiers may trust
    static std::filesystem::path key_file(const std::filesystem::path &directory);    // PEM, for swtpm_localca
    static std::filesystem::path serial_file(const std::filesystem::path &directory); // swtpm_localca's counter

    // missing: not made yet, or a file is gone; malformed, mismatch: not the pair that was made; out_of_range: not
    // valid now; refused: directory not ours or open to others; system.
    static Result<VtpmCa> load(const std::filesystem::path &directory);
    // The same, after making one when there is none (some ms). One that is there but broken is an error and is left
    // alone. Two processes at once agree on one.
    static Result<VtpmCa> load_or_make(const std::filesystem::path &directory);

    const Bytes &root() const { return root_; } // DER
    Result<std::string> root_pem() const;

  private:
    VtpmCa() = default;
    Bytes root_;
};

struct VtpmPrograms { // absolute: swtpm_setup does not search PATH
    std::filesystem::path swtpm, swtpm_setup, swtpm_localca;
};
// system: one is missing; the text names it and the package it is in.
Explained<VtpmPrograms> find_vtpm_programs();

struct Vtpm {
    VtpmPrograms programs;
    std::filesystem::path directory;           // of this VM: configuration, temporary files
    std::filesystem::path state;               // the TPM's own
    std::filesystem::path certificates;        // directory for copies of the EK certificates
    std::filesystem::path socket;              // swtpm's control channel, for QEMU
    std::optional<std::filesystem::path> kept; // --vtpm-state: state and certificates live here and stay
};
namespace vtpm_file {
inline constexpr const char *state = "state";
inline constexpr const char *root = "ek-root.der"; // of a kept state: the CA it has its certificates from; written last
inline constexpr const char *lock = "cvmin-vtpm.lock";
inline constexpr const char *ek_rsa = "ek-rsa2048.crt"; // DER, as swtpm_setup names them
inline constexpr const char *ek_ecc = "ek-secp384r1.crt";
} // namespace vtpm_file

// Where things are, given the VM's directory. out_of_range: a path that swtpm's options or files cannot hold.
Explained<Vtpm> place_vtpm(VtpmPrograms programs, const std::filesystem::path &vm_directory,
                           const std::filesystem::path &socket, const std::optional<std::filesystem::path> &kept_state);

std::vector<std::string> vtpm_setup_argv(const Vtpm &vtpm, std::string_view vm_name);
std::vector<std::string> vtpm_argv(const Vtpm &vtpm);

// The VM's directory for its vTPM, with the files that vtpm_setup_argv names: no configuration of the system's is used.
Explained<void> write_vtpm_configuration(const Vtpm &vtpm, const VtpmCa &ca, const std::filesystem::path &ca_directory);

// A directory that was given to keep a vTPM in: made when missing, and locked. busy: another CVM uses it; unsupported:
// it is not ours alone, or holds something else; system.
struct KeptVtpm {
    UniqueFd lock;
    bool manufactured = false; // complete: it is used as it is
};
Explained<KeptVtpm> open_kept_vtpm(const std::filesystem::path &directory);

// Asks swtpm on its control channel what it can do, and hangs up: QEMU, which asks next, waits for ever. timed_out,
// unreachable; malformed: it is not swtpm that answers, or one that lacks what QEMU needs (detail: what it has).
Result<void> ask_vtpm(const std::filesystem::path &socket, std::chrono::milliseconds limit);

} // namespace cvmin
