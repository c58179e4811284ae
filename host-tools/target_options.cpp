#include "host-tools/target_options.hpp"

namespace cvmin {

void add_target_options(CLI::App &app, TargetArgs &args) {
    app.add_option("--connect", args.connect,
                   "HOST:PORT of a relay (boot --listen, cvmin relay) instead of the name of a CVM here");
    app.add_option("--vsock-socket", args.vsock_socket, "talk to the agent through this Unix socket");
}

std::optional<std::string> usage_problem(const TargetArgs &args) {
    if (args.vm.empty() != args.connect.has_value())
        return "wanted one of: the name of a CVM, --connect HOST:PORT";
    if (args.connect && args.vsock_socket)
        return "--vsock-socket goes with the name of a CVM";
    return std::nullopt;
}

Explained<VmInfo> find_target(const TargetArgs &args) {
    if (args.connect) {
        auto endpoint = parse_endpoint(*args.connect);
        if (!endpoint)
            return explain(endpoint.error().code, "--connect: " + endpoint.error().text);
        VmInfo vm;
        vm.name = *args.connect;
        vm.vcpus = 0;
        vm.address = std::move(*endpoint);
        return vm;
    }
    auto vm = find_vm(args.vm);
    if (vm && args.vsock_socket)
        vm->address = UnixVsock{*args.vsock_socket};
    return vm;
}

} // namespace cvmin
