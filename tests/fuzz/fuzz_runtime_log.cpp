// What is accepted encodes back to the same bytes, and read in pieces it has the same head.
#include "common/runtime_log.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    using namespace cvmin;
    const ByteView input = std::as_bytes(std::span{data, size});
    if (const auto log = parse_runtime_log(input)) {
        const Bytes encoded = encode_runtime_log(*log);
        if (!equal(encoded, input))
            std::abort();
        RuntimeLog again;
        const std::size_t head = log->records.size() < 24 ? 1 : log->records.size() < 256 ? 2 : 3;
        if (!append_records(again, input.subspan(head)) || again.head != log->head || again.pcr256 != log->pcr256)
            std::abort();
    }
    RuntimeLog sequence;
    (void)append_records(sequence, input);
    return 0;
}
