// Any bytes as a firmware event log: what is read lies inside of it, replays, and can be described in ASCII; PCRs that
// are what it replays to do not differ, one that is changed does.
#include "host-tools/measured/boot_events.hpp"

#include <cstdlib>

using namespace cvmin;

static void must(bool holds) {
    if (!holds)
        std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    const auto log = parse_event_log(input);
    if (!log)
        return 0;
    must(!log->events.empty() && !log->banks.empty());
    const FirmwareEvent &last = log->events.back();
    must(std::size_t{last.data_at} + last.data_size == size);
    for (const FirmwareEvent &event : log->events) {
        must(&event == &log->events[event.number]);
        for (const char c : describe_event(*log, event))
            must(c >= 0x20 && c < 0x7f);
        for (std::size_t bank = 0; bank < log->banks.size(); ++bank) {
            must(log->digest(event, bank).empty() || log->digest(event, bank).size() == log->banks[bank].digest_size);
            check_event_data(*log, event, bank);
        }
    }
    for (const ReplayedBank &bank : replay_all(*log)) {
        std::map<unsigned, TpmDigest> found;
        for (unsigned pcr = 0; pcr < pcr_count; ++pcr)
            found[pcr] = bank.pcrs[pcr].value;
        must(compare_pcrs(*log, bank.alg, found).value().empty());
        for (unsigned pcr = 0; pcr < 8; ++pcr) {
            found[pcr].data()[3] ^= std::byte{1};
            const auto differs = compare_pcrs(*log, bank.alg, found).value();
            must(differs.size() == 1 && differs[0].pcr == pcr);
            for (const char c : to_string(differs[0], *log))
                must(c >= 0x20 && c < 0x7f);
            found[pcr].data()[3] ^= std::byte{1};
        }
        const BootDigests wanted{TpmDigest::filled(32, std::byte{1}), TpmDigest::filled(32, std::byte{2}),
                                 TpmDigest::filled(32, std::byte{3})};
        const auto booted = check_boot_events(*log, bank.alg, wanted);
        must(booted && !booted->found.empty());
    }
    return 0;
}
