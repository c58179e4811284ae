// cvmin list: the CVMs of this user, also those that are starting.
#include "host-tools/cli.hpp"
#include "qemu/vm.hpp"

#include <cstdio>

namespace cvmin {

static Json id_block_of(const VmInfo &vm) {
    return vm.details.value("launch", Json::object()).value("id_block", Json());
}
// The first digits of the ID key's digest: enough to tell one's own keys apart.
static std::string signer_of(const VmInfo &vm) {
    constexpr std::size_t shown = 8;
    const Json id = id_block_of(vm);
    return id.is_object() ? id.value("id_key_digest", "").substr(0, shown) : "-";
}

// The id of the manifest that boot was given.
static Json manifest_of(const VmInfo &vm) {
    return vm.details.value("launch", Json::object()).value("manifest", Json());
}

static bool has_vtpm(const VmInfo &vm) {
    return vm.details.value("vtpm", Json()).is_object();
}

int cmd_list(int argc, char **argv) {
    bool as_json = false;
    bool names_only = false;
    CLI::App app{"List the CVMs of this user.", "cvmin list"};
    app.add_flag("--json", as_json, "print JSON");
    app.add_flag("--names", names_only, "print the names alone, one a line");
    app.footer("Example: cvmin list --json");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    const auto listed = list_vms();
    if (!listed)
        return report_error("list", listed.error());
    const std::vector<VmInfo> &vms = *listed;
    if (as_json) {
        Json json = {{"schema", 1}, {"vms", Json::array()}};
        for (const VmInfo &vm : vms)
            json["vms"].push_back({{"name", vm.name},
                                   {"state", vm.running ? "running" : "starting"},
                                   {"platform", name(vm.platform)},
                                   {"accelerator", vm.details.value("accelerator", "")},
                                   {"cpu_model", vm.cpu_model},
                                   {"vcpus", vm.vcpus},
                                   {"memory_mib", vm.details.value("memory_mib", 0u)},
                                   {"id_block", id_block_of(vm)},
                                   {"vtpm", has_vtpm(vm)},
                                   {"manifest", manifest_of(vm)},
                                   {"started", vm.details.value("started", "")},
                                   {"image", vm.image_json.native()}});
        print_json(json);
        return Exit::ok;
    }
    if (names_only) {
        for (const VmInfo &vm : vms)
            std::printf("%s\n", vm.name.c_str());
        return Exit::ok;
    }
    if (vms.empty()) {
        note("no CVMs");
        return Exit::ok;
    }
    std::printf("%-16s %-9s %-9s %-5s %-12s %5s %8s  %-5s %-10s %-16s %s\n", "NAME", "STATE", "PLATFORM", "ACCEL",
                "CPU", "VCPUS", "MEMORY", "VTPM", "ID KEY", "MANIFEST", "STARTED");
    for (const VmInfo &vm : vms)
        std::printf("%-16s %-9s %-9s %-5s %-12s %5u %4u MiB  %-5s %-10s %-16s %s\n", vm.name.c_str(),
                    vm.running ? "running" : "starting", vm.platform == Platform::snp ? "snp" : "EMULATED",
                    vm.details.value("accelerator", "").c_str(), vm.cpu_model.c_str(), vm.vcpus,
                    vm.details.value("memory_mib", 0u), has_vtpm(vm) ? "swtpm" : "-", signer_of(vm).c_str(),
                    manifest_of(vm).is_string() ? manifest_of(vm).get<std::string>().c_str() : "-",
                    vm.details.value("started", "").c_str());
    return Exit::ok;
}

} // namespace cvmin
