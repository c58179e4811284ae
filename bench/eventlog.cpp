// How fast an event log is read and replayed, beside the floor: the hashing that a replay cannot do without, over
// buffers that are ready. Prints one line per measurement: name, least and median in MB/s of log.
#include "bench/turns.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/measured/event_log.hpp"

using namespace cvmin;
using bench::must;

// LOG ROUNDS
int main(int argc, char **argv) {
    must(argc == 3, "wanted LOG ROUNDS");
    const auto bytes = read_file(argv[1], max_replayed_log_size);
    must(bytes.has_value(), "the log cannot be read");
    const auto log = parse_event_log(*bytes);
    must(log.has_value(), "the log cannot be parsed");
    // What a replay hashes, without a log around it: value and digest of every event in every bank.
    std::vector<std::pair<TpmAlg, std::vector<Bytes>>> blocks;
    for (std::size_t bank = 0; bank < log->banks.size(); ++bank) {
        const TpmAlg alg = log->banks[bank].alg;
        must(can_hash(alg), "a bank cannot be hashed");
        std::vector<Bytes> of_bank;
        for (const FirmwareEvent &event : log->events)
            if (event.extends())
                of_bank.emplace_back(2 * digest_size(alg), std::byte{1});
        blocks.emplace_back(alg, std::move(of_bank));
    }
    bench::Run runs[] = {
        {"floor: the same hashes over buffers that are ready",
         [&] {
             unsigned sum = 0;
             for (const auto &[alg, of_bank] : blocks)
                 for (const Bytes &block : of_bank)
                     sum += std::to_integer<unsigned>(tpm_hash(alg, block).view()[0]);
             return sum != 0;
         }},
        {"parsed", [&] { return parse_event_log(*bytes)->events.size() == log->events.size(); }},
        {"parsed and replayed, SHA-256 alone",
         [&] { return replay(*parse_event_log(*bytes), TpmAlg::sha256).has_value(); }},
        {"parsed and replayed, all banks",
         [&] { return replay_all(*parse_event_log(*bytes)).size() == log->banks.size(); }},
    };
    runs[2].left_out = !log->bank(TpmAlg::sha256);
    bench::in_turns(runs, static_cast<int>(std::max<std::size_t>(1, (1u << 20) / bytes->size())), argv[2]);
    const double megabytes = static_cast<double>(bytes->size()) / 1e6;
    for (const bench::Run &run : runs)
        if (!run.left_out)
            std::printf("%s\t%.1f\t%.1f\n", run.name, megabytes / run.least(), megabytes / run.median());
    return 0;
}
