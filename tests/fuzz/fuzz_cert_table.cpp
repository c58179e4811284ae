// Every view that a table gives lies inside of it; what was read can be written and read again.
#include "common/cert_table.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    const auto table = parse_cert_table(input);
    if (!table)
        return 0;
    std::size_t total = 0;
    for (const ByteView part : {table->vcek, table->vlek, table->ask, table->ark, table->crl}) {
        if (!part.empty() && (part.data() < input.data() || part.data() + part.size() > input.data() + input.size()))
            std::abort();
        total += part.size();
    }
    const Bytes written = encode_cert_table(
        {.vcek = table->vcek, .vlek = table->vlek, .ask = table->ask, .ark = table->ark, .crl = table->crl});
    if (written.size() > max_cert_table_size) // entries may lie over each other
        return 0;
    const auto again = parse_cert_table(written);
    if (!again || !equal(again->vcek, table->vcek) || !equal(again->vlek, table->vlek) ||
        !equal(again->ask, table->ask) || !equal(again->ark, table->ark) || !equal(again->crl, table->crl) ||
        total > written.size())
        std::abort();
    return 0;
}
