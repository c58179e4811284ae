// PID 1 of the CVM: mounts, report source, key, event loop, power off. What it does for a request is service.hpp's.
#include "agent-min/computation.hpp"
#include "agent-min/emulator_source.hpp"
#include "agent-min/esys_tpm.hpp"
#include "agent-min/kernel_logs.hpp"
#include "agent-min/mounts.hpp"
#include "agent-min/server.hpp"
#include "agent-min/tsm_source.hpp"
#include "agent-min/vsock.hpp"

#include <csignal>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

namespace cvmin::agent {

namespace {

constexpr std::size_t max_command_line_size = 4096; // the kernel's own limit is 2048 on x86
constexpr std::string_view debug_token = "console=ttyS0";
constexpr std::uint64_t turn_limit_ms = 60'000; // wake-up to reap; everything else wakes the loop by itself

BootClock boot_clock;
LockedPages locked_pages;
SecretStore secrets{locked_pages};
MemoryStore inputs{"/run/data"};
std::unique_ptr<KernelSandbox> sandbox;
std::unique_ptr<TlsIdentity> identity;
std::unique_ptr<Server> server; // uses identity
Fd console;                     // open only in a debug image: the host reads it

void log(std::string_view text) {
    if (!console)
        return;
    std::string line = "cvmin-agent: ";
    (line += text) += '\n';
    // nothing to be done about a console that does not take it
    [[maybe_unused]] const ssize_t written = ::write(console.get(), line.data(), line.size());
}

// The one way out: what is secret is wiped, then the machine goes off.
[[noreturn]] void stop(std::string_view reason) {
    log(reason);
    server.reset(); // requests that were half received, and TLS keys
    secrets.wipe();
    sandbox.reset(); // kills what runs
    inputs.wipe();
    identity.reset();
    ::sync();
    ::reboot(RB_POWER_OFF);
    for (;;) { // no power management: halt, and never return into a dead agent
        ::reboot(static_cast<int>(RB_HALT_SYSTEM));
        ::pause();
    }
}

[[noreturn]] void stop_on(const Error &error) {
    stop(to_string(error));
}

extern "C" void on_fault(int) { // a bug: end the machine instead of going on with an unknown state
    ::reboot(RB_POWER_OFF);
    ::_exit(1); // the kernel panics without its PID 1
}

void harden() {
    ::umask(077);
    ::prctl(PR_SET_DUMPABLE, 0);
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::reboot(RB_DISABLE_CAD); // the host's Ctrl-Alt-Del becomes a signal that PID 1 does not take
    struct sigaction fault{};
    fault.sa_handler = on_fault;
    for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP})
        ::sigaction(signal, &fault, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

bool is_debug_image() {
    const Fd fd{::open("/proc/cmdline", O_RDONLY | O_CLOEXEC)};
    std::array<char, max_command_line_size> text{};
    const ssize_t size = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
    std::string_view rest{text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find_first_of(" \n"), rest.size());
        if (rest.substr(0, end) == debug_token)
            return true;
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return false;
}

// Resident memory as /proc/self/statm has it (second number, in pages); for the log of a debug image.
std::string resident_memory() {
    const Fd fd{::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)};
    std::array<char, 128> text{};
    const ssize_t size = fd ? ::read(fd.get(), text.data(), text.size()) : 0;
    std::string_view rest{text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
    rest.remove_prefix(std::min(rest.find(' ') + 1, rest.size()));
    return std::string{rest.substr(0, rest.find(' '))};
}

class HostEmulatorLink final : public EmulatorLink {
  public:
    Result<Fd> connect(std::uint64_t deadline_ms) override {
        return connect_to_host(emulator_vsock_port, boot_clock, deadline_ms);
    }
};

// What is not there is absent; what is there and cannot be worked with has failed.
PartState state_of(const Result<void> &part) {
    if (part)
        return PartState::ready;
    const bool absent =
        part.error().code == Errc::system &&
        (part.error().detail == ENOENT || part.error().detail == ENODEV || part.error().detail == ENXIO);
    return absent ? PartState::absent : PartState::failed;
}

// The TPM lives as long as the machine: closing its device could wait for it.
struct TpmParts {
    std::optional<FdTpmDevice> device;
    std::unique_ptr<EsysTpm> tpm;
};
Result<void> open_tpm(TpmParts &parts) {
    Fd fd{::open("/dev/tpm0", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
    if (!fd)
        return os_error("tpm");
    CVMIN_TRY(device, FdTpmDevice::open(std::move(fd), boot_clock));
    parts.device.emplace(std::move(device));
    CVMIN_TRY(tpm, EsysTpm::open(*parts.device, boot_clock));
    parts.tpm = std::move(tpm);
    return {};
}

int run(std::uint64_t start_us) {
    if (::getpid() != 1) {
        constexpr std::string_view text =
            "cvmin-agent: error: runs only as PID 1 of a CVM: it powers the machine off\n";
        [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
        return 2;
    }
    harden();
    // Listen first: it needs no mount and no key, and whoever connects meanwhile waits in the queue.
    auto listener = listen_vsock(agent_vsock_port);
    const std::uint64_t listening_us = boot_clock.now_us();

    const auto mounted = mount_all(mounts);
    const bool debug_image = is_debug_image();
    if (debug_image)
        console = Fd{::open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC)};
    if (!mounted)
        stop_on(mounted.error());
    inputs.look_at_memory(); // nobody has been let in yet
    if (!listener)
        stop_on(listener.error());

    ConfigfsTree tree;
    TsmSource kernel_source{tree};
    HostEmulatorLink link;
    EmulatorSource emulator_source{link, boot_clock};
    ReportSource *source = &emulator_source;
    if (kernel_source.provider_present())
        source = &kernel_source;

    auto made = TlsIdentity::make();
    if (!made)
        stop_on(made.error());
    identity = std::move(*made);
    const std::uint64_t ready_us = boot_clock.now_us();

    KernelLogs logs{source == &kernel_source ? &kernel_source : nullptr};
    const auto ima = logs.load_ima_policy();
    if (!ima)
        log(to_string(ima.error()));
    TpmParts tpm;
    const auto tpm_opened = open_tpm(tpm);
    if (!tpm_opened)
        log(to_string(tpm_opened.error()));
    RuntimeLog runtime_log{boot_clock, tpm.tpm.get()};
    runtime_log.record(event::Boot{.agent = "cvmin-agent " CVMIN_VERSION,
                                   .debug_image = debug_image,
                                   .report_source = std::string{source->name()},
                                   .tpm = state_of(tpm_opened),
                                   .ima = state_of(ima)});
    auto opened_sandbox = KernelSandbox::open(boot_clock);
    if (opened_sandbox)
        sandbox = std::move(*opened_sandbox);
    else
        log(to_string(opened_sandbox.error()));
    Computation computation{{.source = *source,
                             .log = runtime_log,
                             .store = inputs,
                             .sandbox = sandbox.get(),
                             .key = identity->public_key(),
                             .signer = identity->key()}};
    Service service{
        {.source = *source, .secrets = secrets, .log = runtime_log, .logs = &logs, .computation = &computation},
        identity->public_key(),
        {start_us, listening_us, ready_us}};
    auto opened = Server::open(std::move(*listener), *identity, service, boot_clock, &computation);
    if (!opened)
        stop_on(opened.error());
    server = std::move(*opened);
    if (console)
        log("ready; reports: " + std::string{source->name()} + "; TPM: " + (tpm.tpm ? "yes" : "no") +
            "; resident pages: " + resident_memory());
    for (;;) {
        const auto stopped = server->turn(turn_limit_ms);
        if (!stopped)
            stop_on(stopped.error());
        if (*stopped)
            stop("stopped on request");
        // the program of a run is its sandbox's to wait for
        while (computation.state() != RunState::running && ::waitpid(-1, nullptr, WNOHANG) > 0) {}
    }
}

} // namespace

} // namespace cvmin::agent

int main() {
    // The first instruction of ours; before it only the relocation of a static-pie, some tens of microseconds.
    cvmin::agent::BootClock clock;
    return cvmin::agent::run(clock.now_us());
}
