// cvmin boot: plans a CVM, has a supervisor start it, and waits until its agent answers. What it started it also
// removes when the agent does not answer, or when it is interrupted.
#include "host-tools/base/text.hpp"
#include "host-tools/cli.hpp"
#include "host-tools/computation/manifest_file.hpp"
#include "host-tools/session/session.hpp"
#include "qemu/boot.hpp"
#include "qemu/child.hpp"
#include "qemu/emulated_keys.hpp"
#include "qemu/supervisor.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cvmin {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned default_timeout_s = 60; // 6 s under TCG on an idle host
constexpr unsigned max_timeout_s = 3600;
constexpr seconds kill_limit{5};    // for a process that was sent SIGKILL to be gone
constexpr seconds record_limit{10}; // for the supervisor to write vm.json
constexpr std::size_t max_packet = 64u << 10;

struct Args {
    BootOptions options;
    std::string name;
    std::optional<std::string> listen;
    unsigned timeout_s = default_timeout_s;
    bool dry_run = false;
    bool json = false;
};

int fail_with(const Failure &failure) {
    return report_error("boot", failure);
}

Explained<std::uint64_t> parse_policy(const std::string &text) {
    std::string_view digits = text;
    if (digits.starts_with("0x") || digits.starts_with("0X"))
        digits.remove_prefix(2);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc{} || end != digits.data() + digits.size())
        return explain(Errc::usage, "--policy: \"" + text + "\" is not a hexadecimal number of up to 64 bits");
    return value;
}

// ---- the agent's first answer
// ------------------------------------------------------------------------------------------

Json to_json(const response::Hello &hello) {
    return {{"version", hello.version},   {"agent", printable_text(hello.agent)},
            {"start_us", hello.start_us}, {"listening_us", hello.listening_us},
            {"ready_us", hello.ready_us}, {"report_source", printable_text(hello.report_source)}};
}

// Hello over TLS, tried until the deadline. The JSON is {"agent": ...} or {"error": text}.
Json ask_agent(const AgentAddress &address, Deadline deadline) {
    std::string last = "not tried";
    while (Clock::now() < deadline) {
        auto socket = connect_agent(address, agent_vsock_port, deadline);
        if (!socket) {
            last = to_string(socket.error());
            std::this_thread::sleep_for(milliseconds{50}); // the device's socket is not there yet
            continue;
        }
        auto session = Session::open(std::move(*socket), deadline);
        if (!session) {
            last = "TLS: " + to_string(session.error());
            std::this_thread::sleep_for(milliseconds{100});
            continue;
        }
        auto answer = session->request(request::Hello{}, deadline);
        if (!answer)
            return {{"error", "hello: " + to_string(answer.error())}};
        if (const auto *hello = std::get_if<response::Hello>(&*answer))
            return {{"agent", to_json(*hello)}};
        return {{"error", "hello: the agent answered with something else"}};
    }
    return {{"error", last}};
}

// In a process of its own, so that the answer, a QEMU that ends and Ctrl-C can be awaited together.
struct Asking {
    pid_t pid = -1;
    UniqueFd result;

    ~Asking() { stop(); }
    void stop() {
        if (pid > 0) {
            ::kill(pid, SIGKILL);
            while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR)
                ;
            pid = -1;
        }
    }
    bool start(const AgentAddress &address, Deadline deadline) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0)
            return false;
        result.reset(ends[0]);
        UniqueFd writing{ends[1]};
        const pid_t parent = ::getpid();
        pid = ::fork();
        if (pid != 0)
            return pid > 0;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent)
            ::_exit(1);
        const std::string text = ask_agent(address, deadline).dump();
        (void)write_all(writing.get(), as_bytes(text));
        ::_exit(0);
    }
};

// ---- waiting
// ------------------------------------------------------------------------------------------------------------

constexpr std::string_view starting_vtpm = "starting the vTPM"; // before the supervisor's first stage

// What is known when the agent does not answer; the reason itself nobody outside of the guest can know.
std::string what_is_known(const BootPlan &plan, const std::filesystem::path &directory, const std::string &stage,
                          const std::string &last_error) {
    std::string text = "stage reached: " + stage;
    if (!last_error.empty())
        text += "; last attempt: " + last_error;
    const std::string console = log_tail(directory / vm_file::console, 12);
    if (stage == starting_vtpm) {
        if (const std::string swtpm = log_tail(directory / vm_file::vtpm_log, 6); !swtpm.empty())
            text += "\nswtpm said:\n" + swtpm;
        return text;
    }
    if (!plan.hash_page_fits)
        text += "\nThe hash page in memory is not the one for the kernel, initramfs and command line that QEMU was "
                "given: OVMF "
                "refuses them.";
    else if (console.empty())
        text += "\nThe console is empty, which is normal for a release image. The hash page fits the files, so OVMF "
                "did not refuse "
                "them; firmware or kernel were still starting, or stopped.";
    if (!console.empty())
        text += "\nThe console ends with:\n" + console;
    if (const std::string qemu = log_tail(directory / vm_file::qemu_log, 6); !qemu.empty())
        text += "\nQEMU said:\n" + qemu;
    return text;
}

struct Waiting {
    const BootPlan &plan;
    const std::filesystem::path &directory;
    SupervisorHandle &supervisor;
    const UniqueFd &signals;
    Clock::time_point began;
    Clock::time_point deadline;
};

struct Interrupted {
    int signal;
};
struct KvmFailed {
    std::string text;
};
// The agent's answer and when it came; or a failure; or a signal.
using Ending = std::variant<Json, Failure, Interrupted, KvmFailed>;

Ending wait_for_agent(const Waiting &w) {
    Asking asking;
    std::string stage{w.plan.vtpm ? starting_vtpm : "starting QEMU"};
    std::string last_error;
    const AgentAddress address = w.plan.machine.platform == Platform::snp
                                     ? AgentAddress{KernelVsock{w.plan.machine.guest_cid}}
                                     : AgentAddress{UnixVsock{w.directory / vm_file::vsock_socket}};
    // The asking process and this one keep the same deadline: whichever notices first, the failure is the same.
    const auto no_answer = [&] {
        const std::string known = what_is_known(w.plan, w.directory, stage, last_error);
        if (Clock::now() < w.deadline)
            return Failure{Errc::refused, "the agent did not answer as it should; " + known};
        const auto limit = std::chrono::duration_cast<seconds>(w.deadline - w.began);
        return Failure{Errc::timed_out,
                       "the agent did not answer within " + std::to_string(limit.count()) + " s; " + known};
    };
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(w.deadline - Clock::now());
        pollfd waiting[] = {{.fd = w.signals.get(), .events = POLLIN, .revents = 0},
                            {.fd = w.supervisor.channel.get(), .events = POLLIN, .revents = 0},
                            {.fd = asking.result.get(), .events = POLLIN, .revents = 0}};
        const int ready = ::poll(waiting, std::size(waiting), static_cast<int>(std::max<long long>(left.count(), 0)));
        if (ready < 0 && errno != EINTR)
            return Failure{Errc::system, std::string{"poll: "} + std::strerror(errno)};
        if (ready <= 0) {
            if (Clock::now() < w.deadline)
                continue;
            return no_answer();
        }
        if (waiting[0].revents != 0) {
            signalfd_siginfo info{};
            (void)!::read(w.signals.get(), &info, sizeof info);
            return Interrupted{static_cast<int>(info.ssi_signo)};
        }
        if (waiting[1].revents != 0) {
            char text[max_packet];
            const ssize_t got = ::recv(w.supervisor.channel.get(), text, sizeof text, 0);
            if (got <= 0)
                return Failure{Errc::system, "the supervisor ended without a word; stage reached: " + stage};
            const auto message = parse_json(as_bytes({text, static_cast<std::size_t>(got)}), "supervisor");
            if (!message)
                return Failure{Errc::system, "the supervisor sent " + to_string(message.error())};
            if (auto failed = json_string(*message, "text", "supervisor")) {
                if (message->value("kvm_failed", false))
                    return KvmFailed{*failed};
                Failure failure{Errc::system, *failed + "\nstage reached: " + stage};
                if (const auto code = json_string(*message, "failed", "supervisor"))
                    for (const Errc known :
                         {Errc::timed_out, Errc::missing, Errc::mismatch, Errc::unsupported, Errc::busy,
                          Errc::out_of_range, Errc::malformed, Errc::refused, Errc::truncated, Errc::trailing})
                        if (*code == name(known))
                            failure.code = known;
                if (const std::string console = log_tail(w.directory / vm_file::console, 12); !console.empty())
                    failure.text += "\nThe console ends with:\n" + console;
                return failure;
            }
            if (const auto doing = json_string(*message, "doing", "supervisor"))
                note(*doing);
            if (const auto reached = json_string(*message, "stage", "supervisor")) {
                stage = *reached;
                if (stage == launch_stage::started && !asking.start(address, w.deadline))
                    return Failure{Errc::system, std::string{"fork: "} + std::strerror(errno)};
            }
        }
        if (waiting[2].revents != 0) {
            std::string text;
            char chunk[4096];
            ssize_t got;
            while ((got = ::read(asking.result.get(), chunk, sizeof chunk)) > 0)
                text.append(chunk, static_cast<std::size_t>(got));
            asking.stop();
            asking.result.reset();
            auto answer = parse_json(as_bytes(text), "agent");
            if (!answer)
                return Failure{Errc::system, "asking the agent: " + to_string(answer.error())};
            if (answer->contains("agent")) {
                const std::chrono::duration<double, std::milli> took = Clock::now() - w.began;
                (*answer)["agent_answered"] = static_cast<double>(static_cast<long long>(took.count() * 10)) / 10;
                return std::move(*answer);
            }
            last_error = json_string(*answer, "error", "agent").value_or("none");
            return no_answer();
        }
    }
}

// The next of the signals that boot handles, if one comes within `limit`.
std::optional<Interrupted> next_signal(const UniqueFd &signals, milliseconds limit) {
    pollfd waiting{.fd = signals.get(), .events = POLLIN, .revents = 0};
    signalfd_siginfo info{};
    if (::poll(&waiting, 1, static_cast<int>(limit.count())) > 0 &&
        ::read(signals.get(), &info, sizeof info) == sizeof info)
        return Interrupted{static_cast<int>(info.ssi_signo)};
    return std::nullopt;
}

// Tells the supervisor to remove the VM and waits for it, for longer than it may need. A signal meanwhile (returned)
// ends the patience: then, and when the supervisor hangs, it is killed, its children with it, and we remove the rest.
std::optional<Interrupted> remove_vm(const Waiting &w) {
    w.supervisor.channel.reset();
    ::kill(w.supervisor.pid, SIGTERM); // our child, not reaped yet; it may have recorded that the VM stays
    std::optional<Interrupted> interrupted;
    bool killed = false;
    auto deadline = Clock::now() + supervisor_limit::patience;
    constexpr milliseconds slice{20};
    while (::waitpid(w.supervisor.pid, nullptr, WNOHANG) == 0) {
        if (!killed && (interrupted || Clock::now() >= deadline)) {
            ::kill(w.supervisor.pid, SIGKILL);
            killed = true;
            deadline = Clock::now() + kill_limit;
        } else if (killed && Clock::now() >= deadline) {
            note("the supervisor (pid " + std::to_string(w.supervisor.pid) + ") does not end");
            return interrupted;
        }
        if (auto signal = next_signal(w.signals, slice))
            interrupted = signal;
    }
    if (killed)
        if (const auto removed = remove_dead_vm(w.directory); !removed && removed.error().code != Errc::missing)
            note(w.directory.native() + ": " + to_string(removed.error()));
    return interrupted;
}

// Tells the supervisor that the VM stays, and waits until vm.json says so: Json. A failure or a signal: it does not.
Ending record(const Waiting &w, const Json &answer) {
    const std::string text = answer.dump();
    if (::send(w.supervisor.channel.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0)
        return Failure{Errc::system, std::strerror(errno)};
    const auto deadline = Clock::now() + record_limit;
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
        if (left.count() <= 0)
            return Failure{Errc::timed_out, "the supervisor did not answer"};
        pollfd waiting[] = {{.fd = w.signals.get(), .events = POLLIN, .revents = 0},
                            {.fd = w.supervisor.channel.get(), .events = POLLIN, .revents = 0}};
        if (::poll(waiting, std::size(waiting), static_cast<int>(left.count())) <= 0)
            continue;
        if (waiting[0].revents != 0)
            if (const auto interrupted = next_signal(w.signals, milliseconds{0}))
                return *interrupted;
        if (waiting[1].revents == 0)
            continue;
        char reply[max_packet];
        const ssize_t got = ::recv(w.supervisor.channel.get(), reply, sizeof reply, MSG_DONTWAIT);
        if (got <= 0)
            return Failure{Errc::system, "the supervisor ended"};
        auto message = parse_json(as_bytes({reply, static_cast<std::size_t>(got)}), "supervisor");
        if (!message)
            return Failure{Errc::system, to_string(message.error())};
        if (message->contains("stage"))
            return std::move(*message);
        return Failure{Errc::system, json_string(*message, "text", "supervisor").value_or("?")};
    }
}

// A failure comes out when nothing was printed and nothing is left.
Explained<int> boot_once(const Args &args, const std::string &accelerator, Clock::time_point began,
                         bool may_try_again) {
    auto plan = make_plan(args.options, false);
    if (!plan)
        return std::unexpected(plan.error());
    auto directory = VmDirectory::create(args.name);
    if (!directory)
        return std::unexpected(directory.error());
    const std::filesystem::path path = directory->path();
    const std::string vm_name = directory->name();
    if (auto placed = place_plan(*plan, vm_name, path, accelerator, false); !placed) {
        directory->remove();
        return std::unexpected(placed.error());
    }
    for (const std::string &line : plan->notes)
        note(line);
    const bool emulated = plan->machine.platform == Platform::emulated;
    if (emulated) {
        note("platform emulated: the launch is EMULATED, memory is not encrypted; QEMU " + to_string(plan->qemu) +
             " under " + (plan->machine.accelerator == Accelerator::kvm ? "KVM" : "TCG"));
        const auto keys = EmulatedKeys::load_or_make(
            EmulatedKeys::directory(), [] { note("making the emulated AMD-SP's keys, once (some seconds)"); });
        if (!keys) {
            directory->remove();
            Failure failure = explain(keys.error(), EmulatedKeys::directory().native()).error();
            if (keys.error().code == Errc::refused) // by us, and not by a peer
                failure.code = Errc::unsupported;
            if (keys.error().code != Errc::system)
                failure.text +=
                    "; remove that directory to have new keys made (evidence from before will then not verify)";
            return std::unexpected(failure);
        }
    }
    if (plan->vtpm)
        if (const auto ca = VtpmCa::load_or_make(VtpmCa::directory()); !ca) {
            directory->remove();
            Failure failure = explain(ca.error(), VtpmCa::directory().native()).error();
            if (ca.error().code == Errc::refused) // by us, and not by a peer
                failure.code = Errc::unsupported;
            if (ca.error().code != Errc::system)
                failure.text += "; remove that directory to have a new CA made (EK certificates from before will then "
                                "not verify)";
            return std::unexpected(failure);
        }
    UniqueFd listener; // from now on who connects waits in its queue
    if (args.listen) {
        const auto endpoint = parse_endpoint(*args.listen);
        auto listening = endpoint ? listen_tcp(*endpoint) : std::unexpected(endpoint.error());
        if (!listening) {
            directory->remove();
            return explain(listening.error().code, "--listen: " + listening.error().text);
        }
        listener = std::move(*listening);
    }
    if (plan->altered)
        note("an experiment: this is not the image as built, its launch digest or its boot will differ");

    // from here on a signal must not leave anything behind
    sigset_t handled;
    sigemptyset(&handled);
    for (int number : {SIGINT, SIGTERM, SIGHUP})
        sigaddset(&handled, number);
    sigset_t before;
    ::sigprocmask(SIG_BLOCK, &handled, &before);
    const UniqueFd signals{::signalfd(-1, &handled, SFD_CLOEXEC)};
    auto supervisor = start_supervisor(*plan, *directory, began, listener.get());
    if (!supervisor) {
        directory->remove();
        return std::unexpected(supervisor.error());
    }
    directory->let_go();
    listener.reset();

    const Waiting waiting{*plan, path, *supervisor, signals, began, began + seconds{args.timeout_s}};
    Ending ending = wait_for_agent(waiting);
    if (const auto *answer = std::get_if<Json>(&ending)) {
        // the VM stays; once the supervisor has recorded that, vm.json is complete
        ending = record(waiting, Json(*answer));
        if (auto *failure = std::get_if<Failure>(&ending))
            failure->text = "the CVM ended just after its agent had answered: " + failure->text;
    }
    if (!std::holds_alternative<Json>(ending)) {
        auto interrupted = remove_vm(waiting);
        if (const auto *before_that = std::get_if<Interrupted>(&ending))
            interrupted = *before_that;
        ::sigprocmask(SIG_SETMASK, &before, nullptr);
        if (interrupted) {
            ::signal(interrupted->signal, SIG_DFL);
            ::raise(interrupted->signal); // so that the shell sees what happened
            return int{Exit::system_failure};
        }
    }
    if (const auto *kvm = std::get_if<KvmFailed>(&ending)) {
        if (!may_try_again)
            return explain(Errc::system, kvm->text);
        // the probe passed, and KVM failed the guest all the same: what "auto" promised is a guest that runs
        note(kvm->text + ": trying again with TCG");
        return boot_once(args, std::string{name(Accelerator::tcg)}, began, false);
    }
    if (const auto *failure = std::get_if<Failure>(&ending))
        return std::unexpected(*failure);
    supervisor->channel.reset();
    const auto info = find_vm(vm_name);
    if (!info)
        return report_error("boot", info.error());
    if (args.json) {
        print_json(info->details);
        return int{Exit::ok};
    }
    std::printf("%s\n", vm_name.c_str());
    note("ready in " + std::to_string(std::chrono::duration_cast<milliseconds>(Clock::now() - began).count()) +
         " ms: " + vm_name);
    if (args.listen)
        note("other hosts reach it with --connect " + info->details.value("listens_on", ""));
    if (emulated)
        note("relying parties may trust this emulator by name: --trust-emulated " + EmulatedKeys::ark_file().native());
    if (plan->vtpm)
        note("and the CA of its vTPM, which this host runs: --ek-root " +
             info->details.value("vtpm", Json::object()).value("ek_root", ""));
    return int{Exit::ok};
}

int boot(const Args &args) {
    const auto began = Clock::now();
    const bool any_accelerator = args.options.accelerator == "auto" && args.options.platform != "snp";
    const auto result = boot_once(args, args.options.accelerator, began, any_accelerator);
    return result ? *result : fail_with(result.error());
}

int dry_run(const Args &args) {
    auto plan = make_plan(args.options, true);
    if (!plan)
        return fail_with(plan.error());
    if (!args.name.empty() && !valid_vm_name(args.name))
        return report_error("boot", Exit::usage, "\"" + args.name + "\" is no name for a CVM");
    const std::string vm_name = args.name.empty() ? "vm1" : args.name;
    const std::filesystem::path directory = vms_directory() / vm_name;
    if (auto fits = check_socket_paths(directory); !fits)
        return fail_with(fits.error());
    if (auto placed = place_plan(*plan, vm_name, directory, args.options.accelerator, true); !placed)
        return fail_with(placed.error());
    for (const std::string &line : plan->notes)
        note(line);
    const bool emulated = plan->machine.platform == Platform::emulated;
    std::vector<std::vector<std::string>> commands;
    if (emulated)
        commands.push_back(vsock_device_argv(vm_name, plan->machine.vsock_device, directory / vm_file::vsock_socket));
    if (plan->vtpm) {
        commands.push_back(vtpm_setup_argv(*plan->vtpm, vm_name));
        commands.push_back(vtpm_argv(*plan->vtpm));
    }
    commands.push_back(qemu_argv(plan->machine));
    if (args.json) {
        Json json = {{"schema", 1},
                     {"platform", name(plan->machine.platform)},
                     {"launch_digest_predicted", hex(plan->predicted)},
                     {"commands", Json::array()}};
        for (const auto &command : commands)
            json["commands"].push_back(command);
        print_json(json);
        return Exit::ok;
    }
    for (const auto &command : commands)
        std::printf("%s\n", shell_quote(command).c_str());
    return Exit::ok;
}

} // namespace

int cmd_boot(int argc, char **argv) {
    Args args;
    std::string policy, host_data, manifest, kernel, append, id_block, id_auth, vtpm_state;
    CLI::App app{"Boot an image as a CVM and wait until its agent answers. Prints the CVM's name.", "cvmin boot"};
    app.add_option("--image", args.options.image_json, "image.json, as cvmin build wrote it")->required();
    app.add_option("--name", args.name, "name of the CVM (default: vm1, vm2, ...)");
    app.add_option("--vcpus", args.options.vcpus, "number of vCPUs")->capture_default_str();
    app.add_option("--cpu", args.options.cpu_model, "QEMU's CPU model; decides the launch digest")
        ->capture_default_str();
    app.add_option("--memory", args.options.memory_mib, "guest memory in MiB")->capture_default_str();
    app.add_option("--platform", args.options.platform, "snp, emulated, or auto: snp where the host has it")
        ->check(CLI::IsMember({"auto", "emulated", "snp"}))
        ->capture_default_str();
    app.add_option("--accel", args.options.accelerator, "kvm, tcg, or auto: kvm where it works (platform emulated)")
        ->check(CLI::IsMember({"auto", "kvm", "tcg"}))
        ->capture_default_str();
    app.add_option("--policy", policy, "guest policy in hexadecimal (default: the image's)");
    auto *host_data_option =
        app.add_option("--host-data", host_data, "HOST_DATA of the launch: 32 bytes in hexadecimal");
    app.add_option(
           "--manifest", manifest,
           "manifest of a computation (cvmin manifest): its digest becomes HOST_DATA, and the CVM takes no other")
        ->excludes(host_data_option);
    auto *id_block_option =
        app.add_option("--id-block", id_block,
                       "signed ID block of the launch: id-blocks.json, or id-block.base64 with --id-auth (cvmin sign)");
    auto *id_auth_option = app.add_option("--id-auth", id_auth, "its authentication: id-auth.base64");
    app.add_flag("--vtpm", args.options.vtpm, "give it a TPM of its own: swtpm, run by this host");
    auto *vtpm_state_option = app.add_option(
        "--vtpm-state", vtpm_state, "keep the TPM's state in this directory, for another boot (implies --vtpm)");
    app.add_option("--listen", args.listen,
                   "HOST:PORT on which parties of other hosts reach the agent (ciphertext only; port 0: a free one)");
    app.add_option("--timeout", args.timeout_s, "seconds to wait for the agent")
        ->check(CLI::Range(1u, max_timeout_s))
        ->capture_default_str();
    app.add_flag("--dry-run", args.dry_run, "print the commands and stop");
    app.add_flag("--json", args.json, "print the CVM's description as JSON");
    const auto experiments = "Experiments (the launch digest, or the boot, then differs from the image's)";
    auto *kernel_option = app.add_option("--kernel", kernel, "another kernel than the image's")->group(experiments);
    auto *append_option =
        app.add_option("--append", append, "another command line than the image's")->group(experiments);
    app.add_option(
           "--hash-page", args.options.hash_page,
           "measured page for OVMF: computed (over what QEMU is given), from-image, none, or a file of 4096 bytes")
        ->capture_default_str()
        ->group(experiments);
    app.footer("Example: cvmin boot --image out/image.json --name demo --vtpm\n"
               "See docs/boot.md; cvmin list, describe, console, stop.");
    if (const auto done = parse_options(app, argc, argv))
        return *done;
    if (!policy.empty()) {
        const auto value = parse_policy(policy);
        if (!value)
            return fail_with(value.error());
        args.options.policy = *value;
    }
    if (!host_data.empty()) {
        const auto value = parse_hex_exactly<32>(host_data, "--host-data");
        if (!value)
            return report_error("boot", Exit::usage, "--host-data: 32 bytes in hexadecimal are wanted");
        args.options.host_data = *value;
    }
    if (!manifest.empty()) {
        const auto file = load_manifest(manifest);
        if (!file)
            return fail_with(file.error());
        constexpr std::uint64_t mib = 1u << 20;
        if (const std::uint64_t bound = memory_bound(file->manifest); bound / mib >= args.options.memory_mib)
            return report_error("boot", Exit::usage,
                                manifest + ": inputs and run may take " + std::to_string((bound + mib - 1) / mib) +
                                    " MiB, which do not fit in --memory " + std::to_string(args.options.memory_mib));
        args.options.host_data = file->digest;
        args.options.manifest_id = file->manifest.id;
    }
    if (id_block_option->count() != 0)
        args.options.id_block = id_block;
    if (id_auth_option->count() != 0)
        args.options.id_auth = id_auth;
    if (vtpm_state_option->count() != 0)
        args.options.vtpm_state = vtpm_state;
    if (kernel_option->count() != 0)
        args.options.kernel = kernel;
    if (append_option->count() != 0)
        args.options.append = append;
    return args.dry_run ? dry_run(args) : boot(args);
}

} // namespace cvmin
