// What is accepted encodes back to the same bytes, and read in pieces it has the same head. The input is a log; a
// sequence of records; and the content of a boot record or of one behind it, whose digests are made to fit so that it
// is read.
#include "common/runtime_log.hpp"

#include <cstdlib>

using namespace cvmin;

namespace {

void put(Bytes &out, ByteView bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}

// A record as common/protocol.cddl has it, typed here by hand.
Bytes record_of(std::uint8_t number, ByteView content) {
    constexpr std::string_view to_sha256{"\x01\x0f\x03\x82\xa2\x00\x0b\x01\x58\x20", 10};
    constexpr std::string_view to_sha384{"\xa2\x00\x0c\x01\x58\x30", 6};
    constexpr std::string_view to_content{"\x09\x1a\x00\x01\x11\x71\x0a", 7};
    Bytes record{std::byte{0xa5}, std::byte{0x00}, std::byte{number}};
    put(record, as_bytes(to_sha256));
    put(record, sha256(content));
    put(record, as_bytes(to_sha384));
    put(record, sha384(content));
    put(record, as_bytes(to_content));
    put(record, content);
    return record;
}

void check(ByteView input) {
    const auto log = parse_runtime_log(input);
    if (!log)
        return;
    if (!equal(encode_runtime_log(*log), input))
        std::abort();
    RuntimeLog again;
    const std::size_t head = log->records.size() < 24 ? 1 : log->records.size() < 256 ? 2 : 3;
    if (!append_records(again, input.subspan(head)) || again.head != log->head || again.pcr256 != log->pcr256)
        std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    check(input);
    RuntimeLog sequence;
    (void)append_records(sequence, input);
    if (size > max_runtime_content_size)
        return 0;
    Bytes log{std::byte{0x81}};
    put(log, record_of(0, input));
    check(log);
    constexpr std::string_view boot{"\xa7\x00\x00\x01\x00\x02\x61\x61\x03\x00\x04\x61\x62\x05\x00\x06\x00", 17};
    log = {std::byte{0x82}};
    put(log, record_of(0, as_bytes(boot)));
    put(log, record_of(1, input));
    check(log);
    return 0;
}
