#include "host-tools/measured/event_log.hpp"

#include "host-tools/base/text.hpp"

#include <cstdio>

namespace cvmin {

// ---- names ----------------------------------------------------------------------------------------------------------

std::string_view name(EventType type) {
    switch (type) {
    case EventType::preboot_cert:
        return "EV_PREBOOT_CERT";
    case EventType::post_code:
        return "EV_POST_CODE";
    case EventType::no_action:
        return "EV_NO_ACTION";
    case EventType::separator:
        return "EV_SEPARATOR";
    case EventType::action:
        return "EV_ACTION";
    case EventType::event_tag:
        return "EV_EVENT_TAG";
    case EventType::s_crtm_contents:
        return "EV_S_CRTM_CONTENTS";
    case EventType::s_crtm_version:
        return "EV_S_CRTM_VERSION";
    case EventType::cpu_microcode:
        return "EV_CPU_MICROCODE";
    case EventType::platform_config_flags:
        return "EV_PLATFORM_CONFIG_FLAGS";
    case EventType::table_of_devices:
        return "EV_TABLE_OF_DEVICES";
    case EventType::compact_hash:
        return "EV_COMPACT_HASH";
    case EventType::ipl:
        return "EV_IPL";
    case EventType::ipl_partition_data:
        return "EV_IPL_PARTITION_DATA";
    case EventType::nonhost_code:
        return "EV_NONHOST_CODE";
    case EventType::nonhost_config:
        return "EV_NONHOST_CONFIG";
    case EventType::nonhost_info:
        return "EV_NONHOST_INFO";
    case EventType::omit_boot_device_events:
        return "EV_OMIT_BOOT_DEVICE_EVENTS";
    case EventType::post_code2:
        return "EV_POST_CODE2";
    case EventType::efi_variable_driver_config:
        return "EV_EFI_VARIABLE_DRIVER_CONFIG";
    case EventType::efi_variable_boot:
        return "EV_EFI_VARIABLE_BOOT";
    case EventType::efi_boot_services_application:
        return "EV_EFI_BOOT_SERVICES_APPLICATION";
    case EventType::efi_boot_services_driver:
        return "EV_EFI_BOOT_SERVICES_DRIVER";
    case EventType::efi_runtime_services_driver:
        return "EV_EFI_RUNTIME_SERVICES_DRIVER";
    case EventType::efi_gpt_event:
        return "EV_EFI_GPT_EVENT";
    case EventType::efi_action:
        return "EV_EFI_ACTION";
    case EventType::efi_platform_firmware_blob:
        return "EV_EFI_PLATFORM_FIRMWARE_BLOB";
    case EventType::efi_handoff_tables:
        return "EV_EFI_HANDOFF_TABLES";
    case EventType::efi_platform_firmware_blob2:
        return "EV_EFI_PLATFORM_FIRMWARE_BLOB2";
    case EventType::efi_handoff_tables2:
        return "EV_EFI_HANDOFF_TABLES2";
    case EventType::efi_variable_boot2:
        return "EV_EFI_VARIABLE_BOOT2";
    case EventType::efi_gpt_event2:
        return "EV_EFI_GPT_EVENT2";
    case EventType::efi_hcrtm_event:
        return "EV_EFI_HCRTM_EVENT";
    case EventType::efi_variable_authority:
        return "EV_EFI_VARIABLE_AUTHORITY";
    case EventType::efi_spdm_firmware_blob:
        return "EV_EFI_SPDM_FIRMWARE_BLOB";
    case EventType::efi_spdm_firmware_config:
        return "EV_EFI_SPDM_FIRMWARE_CONFIG";
    case EventType::efi_spdm_device_policy:
        return "EV_EFI_SPDM_DEVICE_POLICY";
    case EventType::efi_spdm_device_authority:
        return "EV_EFI_SPDM_DEVICE_AUTHORITY";
    }
    return "unknown";
}

// ---- parsing --------------------------------------------------------------------------------------------------------

static constexpr std::size_t old_digest_size = 20; // TCG_PCR_EVENT: SHA-1
static constexpr std::size_t signature_size = 16;  // of a header, with its NUL
static constexpr std::string_view spec_id = "Spec ID Event";
static constexpr std::string_view agile_id{"Spec ID Event03\0", signature_size};
static constexpr std::string_view efi_12_id{"Spec ID Event02\0", signature_size}; // TCG EFI Platform 1.2: SHA-1
static constexpr std::string_view bios_id{"Spec ID Event00\0", signature_size};   // TCG BIOS: SHA-1
static constexpr std::string_view locality_id{"StartupLocality\0", signature_size};

std::optional<std::size_t> EventLog::bank(TpmAlg alg) const {
    for (std::size_t i = 0; i < banks.size(); ++i)
        if (banks[i].alg == alg)
            return i;
    return std::nullopt;
}

static std::uint32_t offset_of(const Reader &reader) { // max_replayed_log_size fits
    return static_cast<std::uint32_t>(reader.offset());
}

static Result<void> read_data(Reader &reader, FirmwareEvent &event) {
    const std::uint64_t size = reader.le(4);
    if (size > max_event_data_size)
        return fail(Errc::too_large, "event_log.event_data", size);
    event.data_at = offset_of(reader);
    event.data_size = static_cast<std::uint32_t>(size);
    reader.take(size);
    if (!reader.ok())
        return fail(Errc::truncated, "event_log", reader.offset());
    return {};
}

// TCG_PCR_EVENT: every event of an old log, and the header of a crypto-agile one.
static Result<FirmwareEvent> read_old_event(Reader &reader) {
    FirmwareEvent event{};
    event.pcr = static_cast<std::uint32_t>(reader.le(4));
    event.type = static_cast<EventType>(reader.le(4));
    event.digest_at[0] = offset_of(reader);
    reader.take(old_digest_size);
    CVMIN_CHECK(read_data(reader, event));
    return event;
}

// TCG_EfiSpecIDEvent, behind its signature: platformClass, version, errata, uintnSize, algorithms, vendor's info.
static Result<void> read_header(ByteView data, EventLog &log) {
    Reader reader{data};
    reader.take(signature_size + 4 + 4);
    const std::uint64_t count = reader.le(4);
    if (count > max_event_banks)
        return fail(Errc::too_large, "event_log.header.algorithms", count);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto alg = static_cast<TpmAlg>(reader.le(2));
        const auto size = static_cast<std::uint16_t>(reader.le(2));
        if (!reader.ok())
            return fail(Errc::truncated, "event_log.header", reader.offset());
        if (size == 0 || size > max_tpm_digest_size || (digest_size(alg) != 0 && digest_size(alg) != size))
            return fail(Errc::malformed, "event_log.header.digest_size", size);
        if (log.bank(alg))
            return fail(Errc::malformed, "event_log.header.algorithms", static_cast<std::uint64_t>(alg));
        log.banks.push_back({alg, size});
    }
    reader.take(reader.le(1));
    CVMIN_CHECK(reader.finish("event_log.header"));
    if (log.banks.empty())
        return fail(Errc::malformed, "event_log.header.algorithms", 0);
    return {};
}

// TCG_PCR_EVENT2.
static Result<FirmwareEvent> read_event(Reader &reader, const EventLog &log) {
    FirmwareEvent event{};
    event.pcr = static_cast<std::uint32_t>(reader.le(4));
    event.type = static_cast<EventType>(reader.le(4));
    const std::uint64_t count = reader.le(4);
    if (reader.ok() && count != log.banks.size()) // each of them once
        return fail(Errc::malformed, "event_log.digest_count", reader.offset());
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto alg = static_cast<TpmAlg>(reader.le(2));
        if (!reader.ok())
            return fail(Errc::truncated, "event_log", reader.offset());
        // as a rule the events have the banks in the header's order
        const auto bank = log.banks[i].alg == alg ? std::optional{static_cast<std::size_t>(i)} : log.bank(alg);
        if (!bank || event.digest_at[*bank] != 0)
            return fail(Errc::malformed, "event_log.digest", reader.offset());
        event.digest_at[*bank] = offset_of(reader);
        reader.take(log.banks[*bank].digest_size);
    }
    CVMIN_CHECK(read_data(reader, event));
    return event;
}

static Result<void> note_locality(EventLog &log, const FirmwareEvent &event) {
    const ByteView data = log.data(event);
    if (event.type != EventType::no_action || data.size() != signature_size + 1 ||
        as_text(data.first(signature_size)) != locality_id)
        return {};
    const auto locality = std::to_integer<std::uint8_t>(data.back());
    if (event.pcr != 0 || (log.startup_locality && *log.startup_locality != locality))
        return fail(Errc::malformed, "event_log.startup_locality", event.number);
    log.startup_locality = locality;
    return {};
}

Result<EventLog> parse_event_log(ByteView bytes) {
    if (bytes.empty())
        return fail(Errc::missing, "event_log");
    if (bytes.size() > max_replayed_log_size)
        return fail(Errc::too_large, "event_log", bytes.size());
    EventLog log{};
    log.bytes = bytes;
    Reader reader{bytes};
    CVMIN_TRY(first, read_old_event(reader));
    const ByteView first_data = log.data(first);
    const std::string_view id = as_text(first_data.first(std::min(first_data.size(), signature_size)));
    log.crypto_agile = first.type == EventType::no_action && id == agile_id;
    if (log.crypto_agile) {
        CVMIN_CHECK(read_header(first_data, log));
        first.digest_at = {};
    } else if (first.type == EventType::no_action && id.starts_with(spec_id) && id != efi_12_id && id != bios_id) {
        return fail(Errc::unsupported, "event_log.header");
    } else {
        log.banks.push_back({TpmAlg::sha1, old_digest_size});
    }
    log.events.push_back(first);
    while (reader.left() != 0) {
        if (log.events.size() == max_log_events)
            return fail(Errc::too_large, "event_log.events", max_log_events);
        CVMIN_TRY(event, log.crypto_agile ? read_event(reader, log) : read_old_event(reader));
        event.number = static_cast<std::uint32_t>(log.events.size());
        log.events.push_back(event);
    }
    for (const FirmwareEvent &event : log.events) {
        if (event.extends() && event.pcr >= pcr_count)
            return fail(Errc::malformed, "event_log.pcr", event.number);
        CVMIN_CHECK(note_locality(log, event));
    }
    return log;
}

// ---- replay ---------------------------------------------------------------------------------------------------------

static constexpr unsigned first_drtm_pcr = 17, last_drtm_pcr = 22;

static TpmDigest start_value(const EventLog &log, TpmAlg alg, unsigned pcr, bool extended) {
    const bool ones = pcr >= first_drtm_pcr && pcr <= last_drtm_pcr && !extended;
    TpmDigest value = TpmDigest::filled(digest_size(alg), ones ? std::byte{0xff} : std::byte{0});
    if (pcr == 0 && log.startup_locality)
        value.data().back() = std::byte{*log.startup_locality};
    return value;
}

static void start(const EventLog &log, ReplayedBank &bank) {
    for (const FirmwareEvent &event : log.events)
        if (event.extends())
            ++bank.pcrs[event.pcr].events;
    for (unsigned pcr = 0; pcr < pcr_count; ++pcr)
        bank.pcrs[pcr].value = start_value(log, bank.alg, pcr, bank.pcrs[pcr].events != 0);
}

Result<ReplayedBank> replay(const EventLog &log, TpmAlg alg) {
    const auto index = log.bank(alg);
    if (!index || !can_hash(alg))
        return fail(Errc::unsupported, "event_log.bank", static_cast<std::uint64_t>(alg));
    ReplayedBank bank{alg, {}};
    start(log, bank);
    for (const FirmwareEvent &event : log.events)
        if (event.extends())
            pcr_extend(alg, bank.pcrs[event.pcr].value, log.digest(event, *index));
    return bank;
}

std::vector<ReplayedBank> replay_all(const EventLog &log) {
    std::vector<ReplayedBank> out;
    for (const EventBank &bank : log.banks)
        if (auto replayed = replay(log, bank.alg))
            out.push_back(*replayed);
    return out;
}

// ---- digests of data ------------------------------------------------------------------------------------------------

// UEFI_VARIABLE_DATA: GUID, lengths, name in UTF-16, data.
struct Variable {
    ByteView guid, name, data;
};
static std::optional<Variable> read_variable(ByteView bytes) {
    Reader reader{bytes};
    Variable out;
    out.guid = reader.take(16);
    const std::uint64_t name_units = reader.le(8), data_size = reader.le(8);
    if (!reader.ok() || name_units > reader.left() / 2)
        return std::nullopt;
    out.name = reader.take(2 * name_units);
    if (data_size > reader.left())
        return std::nullopt;
    out.data = reader.take(data_size);
    return reader.left() == 0 ? std::optional{out} : std::nullopt;
}

DataCheck check_event_data(const EventLog &log, const FirmwareEvent &event, std::size_t bank) {
    const TpmAlg alg = log.banks[bank].alg;
    const ByteView digest = log.digest(event, bank), data = log.data(event);
    if (digest.empty() || !can_hash(alg))
        return DataCheck::not_of_this_type;
    bool holds = equal(tpm_hash(alg, data).view(), digest);
    switch (event.type) {
    case EventType::separator:
    case EventType::action:
    case EventType::s_crtm_version:
    case EventType::efi_variable_driver_config:
    case EventType::efi_variable_boot2:
    case EventType::efi_gpt_event:
    case EventType::efi_action:
        break;
    case EventType::efi_variable_boot: // before EV_EFI_VARIABLE_BOOT2, of the variable's data alone
        if (const auto variable = read_variable(data); variable && !holds)
            holds = equal(tpm_hash(alg, variable->data).view(), digest);
        break;
    default: // EV_EFI_VARIABLE_AUTHORITY among them: versions of shim measure other bytes than they log
        return DataCheck::not_of_this_type;
    }
    return holds ? DataCheck::holds : DataCheck::differs;
}

// ---- comparison -----------------------------------------------------------------------------------------------------

std::optional<std::uint32_t> Divergence::first_diverging() const {
    return next ? next : without ? without : inconsistent;
}

static void locate(const EventLog &log, TpmAlg alg, std::size_t bank, Divergence &out) {
    std::vector<const FirmwareEvent *> events;
    for (const FirmwareEvent &event : log.events)
        if (event.extends() && event.pcr == out.pcr)
            events.push_back(&event);
    const TpmDigest begin = start_value(log, alg, out.pcr, !events.empty());
    if (out.found == begin || out.found == start_value(log, alg, out.pcr, false)) {
        out.never_extended = true;
        if (!events.empty())
            out.next = events.front()->number;
        return;
    }
    TpmDigest value = begin;
    for (std::size_t i = 0; i < events.size(); ++i) {
        pcr_extend(alg, value, log.digest(*events[i], bank));
        if (value == out.found) {
            out.agrees_until = events[i]->number;
            if (i + 1 < events.size())
                out.next = events[i + 1]->number;
            return;
        }
        if (!out.inconsistent && check_event_data(log, *events[i], bank) == DataCheck::differs)
            out.inconsistent = events[i]->number;
    }
    if (events.size() > max_events_searched)
        return;
    TpmDigest before = begin; // everything up to the event that is left out
    for (std::size_t i = 0; i < events.size(); ++i) {
        value = before;
        for (std::size_t k = i + 1; k < events.size(); ++k)
            pcr_extend(alg, value, log.digest(*events[k], bank));
        if (value == out.found) {
            out.without = events[i]->number;
            return;
        }
        pcr_extend(alg, before, log.digest(*events[i], bank));
    }
}

Result<std::vector<Divergence>> compare_pcrs(const EventLog &log, TpmAlg alg,
                                             const std::map<unsigned, TpmDigest> &found) {
    CVMIN_TRY(replayed, replay(log, alg));
    std::vector<Divergence> out;
    for (const auto &[pcr, value] : found) {
        if (pcr >= pcr_count || value.size() != digest_size(alg))
            return fail(Errc::out_of_range, "event_log.compare", pcr);
        const ReplayedPcr &mine = replayed.pcrs[pcr];
        if (mine.value == value)
            continue;
        Divergence divergence{.pcr = pcr, .replayed = mine.value, .found = value, .events = mine.events};
        locate(log, alg, *log.bank(alg), divergence);
        out.push_back(divergence);
    }
    return out;
}

static std::string event_text(const EventLog &log, std::uint32_t number) {
    const FirmwareEvent &event = log.events[number];
    return "event " + std::to_string(number) + " (" + std::string{name(event.type)} + ": " +
           describe_event(log, event) + ")";
}

std::string to_string(const Divergence &divergence, const EventLog &log) {
    std::string out = "PCR " + std::to_string(divergence.pcr) + " is " + hex(divergence.found.view()) +
                      ", the log's events make " + hex(divergence.replayed.view());
    if (divergence.never_extended)
        out += divergence.next
                   ? "; nothing was extended to it, first of the log is " + event_text(log, *divergence.next)
                   : "; nothing was extended to it";
    else if (divergence.agrees_until)
        out += "; they agree until event " + std::to_string(*divergence.agrees_until) +
               (divergence.next ? "; not extended: " + event_text(log, *divergence.next) : "");
    else if (divergence.without)
        out += "; they agree without " + event_text(log, *divergence.without);
    else if (divergence.inconsistent)
        out += "; the data of " + event_text(log, *divergence.inconsistent) + " do not have its digest";
    else if (divergence.events == 0)
        out += "; the log has no event of it";
    else
        out += "; which of its " + std::to_string(divergence.events) + " events it is cannot be told from the value";
    return out;
}

// ---- descriptions ---------------------------------------------------------------------------------------------------

static constexpr std::size_t max_description = 400; // a kernel's command line is cut there

static std::string guid_text(ByteView guid) { // as it is written: the first three parts are little-endian
    char text[40];
    std::snprintf(text, sizeof text, "%08llx-%04llx-%04llx-%04llx-%012llx",
                  static_cast<unsigned long long>(load_le(guid.first(4))),
                  static_cast<unsigned long long>(load_le(guid.subspan(4, 2))),
                  static_cast<unsigned long long>(load_le(guid.subspan(6, 2))),
                  static_cast<unsigned long long>(load_be(guid.subspan(8, 2))),
                  static_cast<unsigned long long>(load_be(guid.subspan(10, 6))));
    return text;
}

static std::string hex_text(std::uint64_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

// UTF-16 of which only ASCII is shown; ends at a NUL.
static std::string utf16_text(ByteView bytes) {
    std::string out;
    for (std::size_t at = 0; at + 1 < bytes.size() && out.size() < max_description; at += 2) {
        const std::uint64_t unit = load_le(bytes.subspan(at, 2));
        if (unit == 0)
            break;
        out += unit >= 0x20 && unit < 0x7f ? static_cast<char>(unit) : '?';
    }
    return out;
}

// Text in one byte or two per character, or the first bytes in hex.
static std::string any_text(ByteView bytes) {
    const auto printable = [](std::byte b) {
        const auto c = std::to_integer<unsigned>(b);
        return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t';
    };
    ByteView text = bytes;
    while (!text.empty() && text.back() == std::byte{0})
        text = text.first(text.size() - 1);
    if (text.empty())
        return bytes.empty() ? "no data" : std::to_string(bytes.size()) + " zero bytes";
    if (std::ranges::all_of(text, printable))
        return std::string{as_text(text.first(std::min(text.size(), max_description)))};
    bool wide = text.size() >= 3;
    for (std::size_t i = 0; i < text.size() && wide; ++i)
        wide = i % 2 == 0 ? printable(text[i]) : text[i] == std::byte{0};
    if (wide)
        return utf16_text(bytes);
    constexpr std::size_t shown = 32;
    return std::to_string(bytes.size()) + " bytes: " + hex(bytes.first(std::min(bytes.size(), shown))) +
           (bytes.size() > shown ? "..." : "");
}

// UEFI device path: the nodes that say something to people, the others by type and subtype.
static std::string device_path_text(ByteView bytes) {
    std::string out;
    Reader reader{bytes};
    while (reader.left() != 0 && out.size() < max_description) {
        const std::uint64_t type = reader.le(1), subtype = reader.le(1), size = reader.le(2);
        const ByteView node = size >= 4 ? reader.take(size - 4) : ByteView{};
        if (!reader.ok() || size < 4)
            return out + "(cut)";
        if (type == 0x7f)
            break;
        out += out.empty() ? "" : "/";
        if (type == 4 && subtype == 4)
            out += utf16_text(node);
        else if (type == 4 && (subtype == 6 || subtype == 7) && node.size() == 16)
            out += (subtype == 6 ? "FvFile(" : "Fv(") + guid_text(node) + ")";
        else if (type == 4 && subtype == 3 && node.size() >= 16)
            out += "VenMedia(" + guid_text(node.first(16)) + ")";
        else if (type == 4 && subtype == 1 && node.size() >= 36)
            out += "HD(" + std::to_string(load_le(node.first(4))) + "," + guid_text(node.subspan(20, 16)) + ")";
        else if (type == 2 && subtype == 1 && node.size() == 8)
            out += "Acpi(" + hex_text(load_le(node.first(4))) + "," + std::to_string(load_le(node.subspan(4, 4))) + ")";
        else if (type == 1 && subtype == 1 && node.size() == 2)
            out += "Pci(" + hex_text(load_le(node.subspan(1, 1))) + "," + hex_text(load_le(node.first(1))) + ")";
        else
            out += "Path(" + std::to_string(type) + "," + std::to_string(subtype) + ")";
    }
    return out;
}

static std::string describe_variable(ByteView data) {
    const auto variable = read_variable(data);
    if (!variable)
        return any_text(data);
    std::string out = utf16_text(variable->name) + " {" + guid_text(variable->guid) + "}";
    if (variable->data.empty())
        return out + ", not set";
    if (variable->data.size() <= 2)
        return out + " = " + std::to_string(load_le(variable->data));
    return out + ", " + std::to_string(variable->data.size()) + " bytes";
}

static std::string describe_image(ByteView data) { // UEFI_IMAGE_LOAD_EVENT
    Reader reader{data};
    const std::uint64_t address = reader.le(8), size = reader.le(8);
    reader.le(8); // where it was linked to run
    const std::uint64_t path_size = reader.le(8);
    if (!reader.ok() || path_size > reader.left())
        return any_text(data);
    const std::string path = device_path_text(reader.take(path_size));
    return (path.empty() ? "an image" : path) + ", " + std::to_string(size) + " bytes at " + hex_text(address);
}

static std::string describe_tag(ByteView data) { // TCG_PCClientTaggedEvent
    Reader reader{data};
    const std::uint64_t id = reader.le(4), size = reader.le(4);
    if (!reader.ok() || size != reader.left())
        return any_text(data);
    return any_text(reader.take(size)) + " (tag " + hex_text(id) + ")";
}

static std::string describe_blob(ByteView data) {
    if (data.size() != 16)
        return any_text(data);
    return std::to_string(load_le(data.last(8))) + " bytes at " + hex_text(load_le(data.first(8)));
}

static std::string describe_blob2(ByteView data) { // a name before it
    Reader reader{data};
    const ByteView label = reader.take(reader.le(1));
    if (!reader.ok() || reader.left() != 16)
        return any_text(data);
    return std::string{as_text(label)} + ", " + describe_blob(reader.take(16));
}

static std::string describe_no_action(ByteView data) {
    const std::string_view text = as_text(data);
    if (text.starts_with(locality_id) && data.size() == signature_size + 1)
        return "StartupLocality " + std::to_string(std::to_integer<unsigned>(data.back()));
    if (text.starts_with(spec_id) || text.starts_with("SP800-155 Event"))
        return std::string{text.substr(0, text.find('\0'))};
    return any_text(data);
}

static std::string describe_partitions(ByteView data) { // UEFI_GPT_DATA
    constexpr std::size_t header_size = 92, disk_guid_at = 56;
    if (data.size() < header_size + 8)
        return any_text(data);
    return std::to_string(load_le(data.subspan(header_size, 8))) + " partitions on disk " +
           guid_text(data.subspan(disk_guid_at, 16));
}

static std::string describe(const EventLog &log, const FirmwareEvent &event) {
    const ByteView data = log.data(event);
    switch (event.type) {
    case EventType::no_action:
        return describe_no_action(data);
    case EventType::separator:
        if (data.size() == 4)
            return load_le(data) == 0            ? "the firmware's part ends"
                   : load_le(data) == 0xffffffff ? "the firmware's part ends (ones)"
                                                 : "ERROR " + hex_text(load_le(data));
        return any_text(data);
    case EventType::efi_variable_driver_config:
    case EventType::efi_variable_boot:
    case EventType::efi_variable_boot2:
    case EventType::efi_variable_authority:
        return describe_variable(data);
    case EventType::efi_boot_services_application:
    case EventType::efi_boot_services_driver:
    case EventType::efi_runtime_services_driver:
        return describe_image(data);
    case EventType::efi_platform_firmware_blob:
        return describe_blob(data);
    case EventType::efi_platform_firmware_blob2:
        return describe_blob2(data);
    case EventType::efi_gpt_event:
        return describe_partitions(data);
    case EventType::event_tag:
        return describe_tag(data);
    case EventType::s_crtm_version:
        return data.size() == 16 ? guid_text(data) : any_text(data);
    case EventType::post_code:
        return data.size() == 16 ? describe_blob(data) : any_text(data);
    default:
        return any_text(data);
    }
}

std::string describe_event(const EventLog &log, const FirmwareEvent &event) {
    std::string text = printable_line(describe(log, event));
    if (text.size() > max_description) {
        text.resize(max_description);
        text += "...";
    }
    return text;
}

} // namespace cvmin
