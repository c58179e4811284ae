// CVMs of this user: names, state directories, life cycle.
#pragma once

#include "host-tools/base/agent_address.hpp"
#include "host-tools/base/json.hpp"
#include "host-tools/base/os.hpp"
#include "qemu/machine.hpp"

#include <string>
#include <vector>

namespace cvmin {

struct VmInfo { // vm.json in the VM's directory
    std::string name;
    std::filesystem::path directory;
    Platform platform = Platform::emulated;
    std::filesystem::path image_json; // absolute
    std::string cpu_model;            // QEMU's name
    unsigned vcpus = 1;
    AgentAddress address;
    bool running = false;
    Json details; // everything else that describe shows
};

bool valid_vm_name(std::string_view name);
// missing: no CVM of that name.
Result<VmInfo> find_vm(std::string_view name);
std::vector<VmInfo> list_vms();

} // namespace cvmin
