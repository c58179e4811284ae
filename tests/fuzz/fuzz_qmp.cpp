// What QEMU says: one QMP line, and its version line.
#include "qemu/qmp.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char *>(data), size};
    (void)cvmin::parse_qmp_line(text);
    (void)cvmin::parse_qemu_version(text);
    return 0;
}
