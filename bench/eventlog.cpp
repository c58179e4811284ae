// How fast an event log is read and replayed, beside the floor: the hashing that a replay cannot do without, over
// buffers that are ready. Prints one line per measurement: name, least and median in MB/s of log.
#include "host-tools/base/os.hpp"
#include "host-tools/measured/event_log.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>

using namespace cvmin;

namespace {

double seconds() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time); // other work on a busy machine is not ours
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void must(bool holds, const char *what) {
    if (holds)
        return;
    std::fprintf(stderr, "bench eventlog: %s\n", what);
    std::exit(1);
}

struct Run {
    const char *name;
    std::function<bool()> call;
    std::vector<double> times{};
};

} // namespace

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
    Run runs[] = {
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
    const bool has_sha256 = log->bank(TpmAlg::sha256).has_value();
    const int calls = static_cast<int>(std::max<std::size_t>(1, (1u << 20) / bytes->size()));
    const long rounds = std::strtol(argv[2], nullptr, 10);
    must(rounds > 0, "wanted at least one round");
    for (long round = 0; round <= rounds; ++round) // the first only warms the caches
        for (Run &run : runs) {
            if (&run == &runs[2] && !has_sha256)
                continue;
            const double begin = seconds();
            for (int i = 0; i < calls; ++i)
                must(run.call(), run.name);
            if (round > 0)
                run.times.push_back((seconds() - begin) / calls);
        }
    for (Run &run : runs) {
        if (run.times.empty())
            continue;
        std::ranges::sort(run.times);
        const double megabytes = static_cast<double>(bytes->size()) / 1e6;
        std::printf("%s\t%.1f\t%.1f\n", run.name, megabytes / run.times.front(),
                    megabytes / run.times[run.times.size() / 2]);
    }
    return 0;
}
