// The setup header of any bytes as a kernel, and the variable store of any bytes as firmware.
#include "host-tools/measure/boot_header.hpp"

#include <cstdint>
#include <cstdlib>

using namespace cvmin;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    const std::string_view line = as_text(input.first(std::min<std::size_t>(size, 40)));
    const auto plain = header_patched_by_qemu(input, {line, std::nullopt, 0});
    const auto with_initrd = header_patched_by_qemu(input, {line, 300007, std::uint64_t{2} << 30});
    if (with_initrd && !plain) // an initrd only ever adds a reason to refuse
        std::abort();
    if (plain && (std::to_integer<unsigned>((*plain)[0x210]) != 0xb0 || input.size() < patched_header_size))
        std::abort();
    if (const auto store = variable_store_size(input); store && (*store == 0 || *store >= size))
        std::abort();
    if (is_variable_store(input) && variable_store_size(input))
        std::abort();
    return 0;
}
