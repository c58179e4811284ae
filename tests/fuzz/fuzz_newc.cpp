// What the reader accepts, it accepts with views inside the archive; what the writer takes of it, comes back the same.
#include "image/newc.hpp"

#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    const auto listed = read_newc(input);
    if (!listed)
        return 0;
    std::vector<NewcEntry> entries;
    for (const NewcListed &entry : *listed) {
        if (!entry.data.empty() && (entry.data.data() < input.data() || &entry.data.back() > &input.back()))
            std::abort();
        entries.push_back(
            {std::string{entry.name}, entry.mode, to_bytes(entry.data), entry.device_major, entry.device_minor});
    }
    const auto written = write_newc(entries);
    if (!written)
        return 0;
    const auto again = read_newc(*written);
    if (!again || again->size() != entries.size())
        std::abort();
    std::ranges::sort(entries, {}, &NewcEntry::name);
    for (std::size_t i = 0; i < entries.size(); ++i)
        if ((*again)[i].name != entries[i].name || (*again)[i].mode != entries[i].mode ||
            !equal((*again)[i].data, entries[i].data))
            std::abort();
    return 0;
}
