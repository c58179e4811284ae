// No file of any kind may take the check outside of its bytes; a reason is one line.
#include "host-tools/computation/static_elf.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const auto why = cvmin::why_not_static_elf(std::as_bytes(std::span{data, size}));
    if (why ? why->empty() || why->contains('\n') : size < 64)
        std::abort();
    return 0;
}
