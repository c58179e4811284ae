#include "host-tools/measured/boot_events.hpp"

#include "host-tools/measured/pe_image.hpp"

namespace cvmin {

static constexpr unsigned kernel_pcr = 4, stub_pcr = 9;
static constexpr std::string_view boot_action = "Calling EFI Application from Boot Option";
static constexpr ByteArray<4> separator{};

TpmDigest load_options_digest(TpmAlg alg, std::string_view command_line) {
    std::string line = "initrd=initrd ";
    line += command_line;
    Bytes utf16;
    utf16.reserve(2 * line.size() + 2);
    for (const char c : line) { // image.json holds printable ASCII only
        utf16.push_back(static_cast<std::byte>(c));
        utf16.push_back(std::byte{0});
    }
    utf16.resize(utf16.size() + 2);
    return tpm_hash(alg, utf16);
}

Result<BootDigests> boot_digests(TpmAlg alg, ByteView kernel, ByteView initrd, std::string_view command_line) {
    CVMIN_TRY(kernel_digest, authenticode_digest(kernel, alg));
    return BootDigests{kernel_digest, tpm_hash(alg, initrd), load_options_digest(alg, command_line)};
}

namespace {

struct Wanted {
    std::string_view name;
    TpmDigest digest;
    std::size_t seen = 0;
};

// Every event of `pcr` is one of `once` or of `any`; each of `once` is there once. What is wrong, or nothing.
std::string check_pcr(const EventLog &log, std::size_t bank, unsigned pcr, std::span<Wanted> once,
                      std::span<const TpmDigest> any) {
    const std::string place = "PCR " + std::to_string(pcr) + ": ";
    for (const FirmwareEvent &event : log.events) {
        if (!event.extends() || event.pcr != pcr)
            continue;
        const TpmDigest digest{log.digest(event, bank)};
        const auto found = std::ranges::find(once, digest, &Wanted::digest);
        if (found != once.end())
            ++found->seen;
        else if (std::ranges::find(any, digest) == any.end())
            return place + "event " + std::to_string(event.number) + " measures " + hex(digest.view()) + ", " +
                   std::string{name(event.type)} + ": " + describe_event(log, event);
    }
    for (const Wanted &each : once)
        if (each.seen != 1)
            return place + (each.seen == 0 ? "the " + std::string{each.name} + " was not measured"
                                           : "the " + std::string{each.name} + " was measured " +
                                                 std::to_string(each.seen) + " times");
    return {};
}

} // namespace

Result<BootEventsCheck> check_boot_events(const EventLog &log, TpmAlg alg, const BootDigests &wanted) {
    const auto bank = log.bank(alg);
    if (!bank || !can_hash(alg))
        return fail(Errc::unsupported, "event_log.bank", static_cast<std::uint64_t>(alg));
    BootEventsCheck out;
    out.wanted = "kernel " + hex(wanted.kernel.view()) + ", initramfs " + hex(wanted.initrd.view()) +
                 ", load options " + hex(wanted.load_options.view());
    Wanted loaded[] = {{"kernel", wanted.kernel}};
    Wanted given[] = {{"load options with the command line", wanted.load_options}, {"initramfs", wanted.initrd}};
    const TpmDigest texts[] = {tpm_hash(alg, as_bytes(boot_action)), tpm_hash(alg, separator)};
    out.found = check_pcr(log, *bank, kernel_pcr, loaded, texts);
    if (out.found.empty())
        out.found = check_pcr(log, *bank, stub_pcr, given, {});
    out.holds = out.found.empty();
    if (out.holds)
        out.found = "kernel, command line and initramfs of the image, and nothing else";
    return out;
}

} // namespace cvmin
