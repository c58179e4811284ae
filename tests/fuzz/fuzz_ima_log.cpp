// Any bytes as an IMA list: entries lie inside of it, and what replays once replays to the same again, with one entry
// less to something else.
#include "host-tools/measured/ima_log.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    auto log = parse_ima_log(input);
    if (!log)
        return 0;
    for (const ImaEntry &entry : log->entries) {
        if (entry.path.contains('\0') || (!entry.known && !entry.path.empty()) || entry.pcr > 23)
            std::abort();
        if (entry.known && !entry.path.empty() &&
            (as_bytes(entry.path).data() < input.data() ||
             as_bytes(entry.path).data() + entry.path.size() > input.data() + input.size()))
            std::abort();
    }
    for (const TpmAlg alg : {TpmAlg::sha1, TpmAlg::sha256, TpmAlg::sha384}) {
        const auto replayed = replay_ima(*log, alg);
        if (!replayed)
            continue;
        if (replay_ima(*log, alg)->hashed != replayed->hashed)
            std::abort();
        if (replayed->entries != 0 && replayed->hashed == TpmDigest::filled(digest_size(alg), std::byte{0}))
            std::abort();
    }
    return 0;
}
