// vm.json, as find_vm and list_vms read it.
#include "qemu/vm.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    (void)cvmin::parse_vm_json(std::as_bytes(std::span{data, size}));
    return 0;
}
