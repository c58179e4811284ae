// What OVMF and Linux's EFI stub measure of an image that is booted directly (fw_cfg): computed from its files, never
// recorded from a boot. Which other events there must be is not said here: firmware configuration is in PCR 0 to 3
// and 7.
//   PCR 4  OVMF: the Authenticode digest of the kernel (EV_EFI_BOOT_SERVICES_APPLICATION), the text "Calling EFI
//          Application from Boot Option" and a separator
//   PCR 9  the EFI stub (EV_EVENT_TAG): its load options, in which OVMF puts "initrd=initrd " before the command line,
//          as UTF-16 with its NUL; the initramfs file
#pragma once

#include "host-tools/measured/event_log.hpp"

#include <string>

namespace cvmin {

// Digests of one bank.
struct BootDigests {
    TpmDigest kernel; // Authenticode
    TpmDigest initrd;
    TpmDigest load_options; // "initrd=initrd " and the command line as UTF-16, little-endian, with its NUL
    friend bool operator==(const BootDigests &, const BootDigests &) = default;
};

// Errors of authenticode_digest.
Result<BootDigests> boot_digests(TpmAlg alg, ByteView kernel, ByteView initrd, std::string_view command_line);
TpmDigest load_options_digest(TpmAlg alg, std::string_view command_line);

// What the log says was booted, against what the image is. Only digests are compared; descriptions in a log are
// anybody's.
struct BootEventsCheck {
    bool holds = false;
    std::string found; // one line for people
    std::string wanted;
};
// Holds when PCR 4 of the log has the kernel once, and else only that text and separators of no error; and PCR 9 the
// load options and the initramfs once each and nothing else. By digests alone: types and data of events are what the
// log's writer says they are. That the log is what the TPM has is tpm.event_log's to show. unsupported: the log has no
// such bank.
Result<BootEventsCheck> check_boot_events(const EventLog &log, TpmAlg alg, const BootDigests &wanted);

} // namespace cvmin
