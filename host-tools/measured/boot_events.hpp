// What OVMF and Linux's EFI stub measure of an image that is booted directly (fw_cfg): computed from its files, never
// recorded from a boot. Which other events there must be is not said here: firmware configuration is in PCR 0 to 3
// and 7.
//   PCR 4  EV_EFI_BOOT_SERVICES_APPLICATION: Authenticode digest of the kernel
//   PCR 9  EV_EVENT_TAG by the EFI stub: the initramfs; the command line as UTF-16 with its NUL
#pragma once

#include "host-tools/measured/event_log.hpp"

#include <string>

namespace cvmin {

// Digests of one bank.
struct BootDigests {
    TpmDigest kernel; // Authenticode
    TpmDigest initrd;
    TpmDigest cmdline; // UTF-16, little-endian, with its NUL
    friend bool operator==(const BootDigests &, const BootDigests &) = default;
};

// Errors of authenticode_digest.
Result<BootDigests> boot_digests(TpmAlg alg, ByteView kernel, ByteView initrd, std::string_view command_line);
TpmDigest cmdline_digest(TpmAlg alg, std::string_view command_line);

// What the log says was booted, against what the image is. Only digests are compared; descriptions in a log are
// anybody's.
struct BootEventsCheck {
    bool holds = false;
    std::string found; // one line for people
    std::string wanted;
};
// Holds when the log's PCR 4 has exactly one loaded image, the kernel, and its PCR 9 exactly the initramfs and the
// command line. That the log is what the TPM has is tpm.event_log's to show. unsupported: no such bank in the log.
Result<BootEventsCheck> check_boot_events(const EventLog &log, TpmAlg alg, const BootDigests &wanted);

} // namespace cvmin
