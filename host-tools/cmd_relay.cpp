// cvmin relay: makes a CVM's agent reachable over TCP. boot --listen starts it for a CVM's whole life.
#include "host-tools/cli.hpp"
#include "host-tools/relay/relay.hpp"
#include "qemu/vm.hpp"

#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

namespace cvmin {

namespace {

constexpr const char *command = "relay";

struct Args {
    std::string vm, listen;
    std::optional<std::string> vsock_socket;
    std::optional<std::uint32_t> vsock_cid;
    bool inherited = false, json = false;
};

std::optional<std::string> usage_problem(const Args &args) {
    if (!args.vm.empty() + args.vsock_socket.has_value() + args.vsock_cid.has_value() != 1)
        return "wanted one of: the name of a CVM, --vsock-socket, --vsock-cid";
    if (args.listen.empty() != args.inherited)
        return "wanted one of: --listen HOST:PORT, --inherited";
    return std::nullopt;
}

// What is relayed to, and a descriptor that becomes readable when it ends: the CVM's supervisor, if it has a name.
struct Target {
    AgentAddress address;
    UniqueFd end;
};
Explained<Target> find_relayed(const Args &args) {
    if (args.vsock_socket)
        return Target{.address = UnixVsock{*args.vsock_socket}, .end = {}};
    if (args.vsock_cid)
        return Target{.address = KernelVsock{*args.vsock_cid}, .end = {}};
    const auto vm = find_vm(args.vm);
    if (!vm)
        return std::unexpected(vm.error());
    auto supervisor = find_supervisor(vm->directory);
    if (!supervisor)
        return explain(supervisor.error(), args.vm);
    return Target{.address = vm->address, .end = std::move(supervisor->pidfd)};
}

Explained<UniqueFd> listener_of(const Args &args) {
    if (!args.inherited) {
        const auto endpoint = parse_endpoint(args.listen);
        if (!endpoint)
            return explain(endpoint.error().code, "--listen: " + endpoint.error().text);
        return listen_tcp(*endpoint);
    }
    return UniqueFd{::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)};
}

} // namespace

int cmd_relay(int argc, char **argv) {
    Args args;
    CLI::App app{"Make a CVM's agent reachable over TCP, until the CVM ends or Ctrl-C. What passes is TLS between a "
                 "relying party and\nthe agent: this host sees ciphertext. Prints the address.",
                 "cvmin relay"};
    app.add_option("name", args.vm, "name of the CVM");
    app.add_option("--listen", args.listen, "HOST:PORT or [IPV6]:PORT; port 0 takes a free one");
    app.add_flag("--inherited", args.inherited, "the listening socket is standard input (boot --listen uses this)");
    app.add_option("--vsock-socket", args.vsock_socket, "a vsock device's Unix socket instead of a CVM's name");
    app.add_option("--vsock-cid", args.vsock_cid, "a guest's CID instead of a CVM's name");
    app.add_flag("--json", args.json, "print JSON (schema 1)");
    app.footer("Example:\n"
               "  cvmin relay vm1 --listen 192.0.2.7:7000\n"
               "and where a party is: cvmin verify --connect 192.0.2.7:7000 ...\n\n"
               "Exit codes: 0 the CVM ended, 2 usage, 3 no such CVM, 4 system: also when the address is in use.");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (const auto problem = usage_problem(args))
        return report_error(command, Exit::usage, *problem);
    const auto target = find_relayed(args);
    if (!target)
        return report_error(command, target.error());
    auto listener = listener_of(args);
    if (!listener)
        return report_error(command, listener.error());
    const auto endpoint = local_endpoint(listener->get());
    if (!endpoint)
        return report_error(command, endpoint.error(), args.inherited ? "standard input" : args.listen);
    if (args.json)
        print_json({{"schema", 1}, {"name", args.vm}, {"listens_on", to_string(*endpoint)}});
    else
        std::printf("%s\n", to_string(*endpoint).c_str());
    std::fflush(stdout);
    const auto served = relay(std::move(*listener), target->address, target->end.get());
    return served ? Exit::ok : report_error(command, served.error());
}

} // namespace cvmin
