// Firmware event logs: TCG "PC Client Platform Firmware Profile" 1.06, section 10 (crypto-agile logs, header
// "Spec ID Event03"; and the SHA-1 logs of TCG EFI platforms before it). Parses, replays, compares with PCR values and
// says where they part. What the values must be is the policy's (host-tools/appraise) and boot_events.hpp's affair.
#pragma once

#include "common/tpm.hpp"
#include "host-tools/measured/tpm_hash.hpp"

#include <array>
#include <map>
#include <string>

namespace cvmin {

// Evidence carries far less (common/evidence.hpp); these hold for files that people look at, too.
inline constexpr std::size_t max_replayed_log_size = 64u << 20; // hours of measuring; firmware logs are under 100 KiB
inline constexpr std::size_t max_log_events = 1u << 20;         // 32 bytes is the least that an event takes
inline constexpr std::size_t max_event_data_size = 1u << 20;    // the largest seen is a revocation list of 20 KiB
inline constexpr std::size_t max_event_banks = 8;               // TPMs have at most five

enum class EventType : std::uint32_t {
    preboot_cert = 0x0,
    post_code = 0x1,
    no_action = 0x3,
    separator = 0x4,
    action = 0x5,
    event_tag = 0x6,
    s_crtm_contents = 0x7,
    s_crtm_version = 0x8,
    cpu_microcode = 0x9,
    platform_config_flags = 0xa,
    table_of_devices = 0xb,
    compact_hash = 0xc,
    ipl = 0xd,
    ipl_partition_data = 0xe,
    nonhost_code = 0xf,
    nonhost_config = 0x10,
    nonhost_info = 0x11,
    omit_boot_device_events = 0x12,
    post_code2 = 0x13,
    efi_variable_driver_config = 0x80000001,
    efi_variable_boot = 0x80000002,
    efi_boot_services_application = 0x80000003,
    efi_boot_services_driver = 0x80000004,
    efi_runtime_services_driver = 0x80000005,
    efi_gpt_event = 0x80000006,
    efi_action = 0x80000007,
    efi_platform_firmware_blob = 0x80000008,
    efi_handoff_tables = 0x80000009,
    efi_platform_firmware_blob2 = 0x8000000a,
    efi_handoff_tables2 = 0x8000000b,
    efi_variable_boot2 = 0x8000000c,
    efi_gpt_event2 = 0x8000000d,
    efi_hcrtm_event = 0x80000010,
    efi_variable_authority = 0x800000e0,
    efi_spdm_firmware_blob = 0x800000e1,
    efi_spdm_firmware_config = 0x800000e2,
    efi_spdm_device_policy = 0x800000e3,
    efi_spdm_device_authority = 0x800000e4,
};
std::string_view name(EventType type); // "EV_SEPARATOR"; "unknown" for what has no name here

struct EventBank {
    TpmAlg alg;
    std::uint16_t digest_size; // as the log's header has it
};

struct FirmwareEvent {
    std::uint32_t number; // from 0: in a crypto-agile log that is the header, as other tools count
    std::uint32_t pcr;
    EventType type;
    // per bank, in the order of EventLog::banks: where its digest begins in the log; 0 for a header, which has none
    std::array<std::uint32_t, max_event_banks> digest_at{};
    std::uint32_t data_at;
    std::uint32_t data_size;

    bool extends() const { return type != EventType::no_action; }
};

struct EventLog {
    ByteView bytes; // the log, which its owner keeps: events say where in it
    bool crypto_agile;
    std::vector<EventBank> banks; // as the header has them; sha1 alone in an old log
    std::vector<FirmwareEvent> events;
    std::optional<std::uint8_t> startup_locality; // of a StartupLocality event: what PCR 0 begins with

    ByteView data(const FirmwareEvent &event) const { return bytes.subspan(event.data_at, event.data_size); }
    // `bank` is an index into `banks`. Empty for the header.
    ByteView digest(const FirmwareEvent &event, std::size_t bank) const {
        return event.digest_at[bank] == 0 ? ByteView{} : bytes.subspan(event.digest_at[bank], banks[bank].digest_size);
    }
    std::optional<std::size_t> bank(TpmAlg alg) const; // its index
};

// Takes any order of events and of the digests in an event. truncated; too_large: one of the limits above; malformed: a
// bank twice or of a wrong digest size, an event without a digest for a bank of the header or with one of another, an
// event that is extended to a PCR that is not there, two StartupLocality events that differ; unsupported: a header of
// another version; missing: no events. detail: the offset, or the limit's value.
Result<EventLog> parse_event_log(ByteView bytes);

struct ReplayedPcr {
    TpmDigest value;
    std::uint32_t events = 0; // that were extended to it
};
struct ReplayedBank {
    TpmAlg alg;
    std::array<ReplayedPcr, pcr_count> pcrs; // one without events: the value after a reset, zeros (17 to 22: all ones,
                                             // which only a dynamic launch, and so only an event, turns into zeros)
};
// unsupported: the log has no such bank, or this program not its hash.
Result<ReplayedBank> replay(const EventLog &log, TpmAlg alg);
// Every bank that can be hashed, in the order of the log.
std::vector<ReplayedBank> replay_all(const EventLog &log);

// An event whose data are what is measured, as the specification says of its type: their digest must be the event's.
enum class DataCheck : std::uint8_t { not_of_this_type, holds, differs };
DataCheck check_event_data(const EventLog &log, const FirmwareEvent &event, std::size_t bank);

// A PCR whose value is not what the log says, with what can be told about where they part.
struct Divergence {
    unsigned pcr;
    TpmDigest replayed, found;
    std::uint32_t events;                        // of this PCR in the log
    std::optional<std::uint32_t> agrees_until{}; // number of the event after which the replay had the found value
    std::optional<std::uint32_t> next{};         // and of the one after it, or after none when `never_extended`
    bool never_extended = false;                 // the found value is that of a PCR that nothing was extended to
    std::optional<std::uint32_t> without{};      // number of the event without which the replay gives the found value
    std::optional<std::uint32_t> inconsistent{}; // number of the first event whose data do not have its digest
    // number of the first event that the found value does not account for, when one of the above tells
    std::optional<std::uint32_t> first_diverging() const;
};
inline constexpr std::uint32_t max_events_searched = 256; // per PCR, for `without`: n * n / 2 extensions
std::string to_string(const Divergence &divergence, const EventLog &log); // one line, ASCII
// PCRs that agree are not in the result. unsupported, as for replay; out_of_range: a PCR that is not there or a value
// of another size.
Result<std::vector<Divergence>> compare_pcrs(const EventLog &log, TpmAlg alg,
                                             const std::map<unsigned, TpmDigest> &found);

// One line for people, ASCII: variable names, device paths, texts. Not judged: data of most types are only a hint.
std::string describe_event(const EventLog &log, const FirmwareEvent &event);

} // namespace cvmin
