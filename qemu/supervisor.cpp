// One VM's supervisor: launch, then an event loop over QEMU, the vsock device, the guest's requests and our signals.
#include "qemu/supervisor.hpp"
#include "host-tools/base/text.hpp"

#include "qemu/child.hpp"
#include "qemu/emulated_sp.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <deque>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace cvmin {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr seconds start_limit{20};                 // for QEMU to answer QMP; 0.1 s when the host is idle
constexpr seconds vtpm_limit{10};                  // for swtpm to listen, and to answer; 20 ms when the host is idle
constexpr seconds setup_limit{60};                 // for swtpm_setup; 1 s, of which the RSA key may take most
constexpr seconds patience_without_word{1};        // then people are told what takes so long
constexpr milliseconds drain_interval{20};         // a pipe holds 64 KiB
constexpr std::size_t max_console_part = 1u << 20; // two parts are kept: a guest cannot fill the host's memory
constexpr std::size_t max_log = 256u << 10;        // of QEMU's and the vsock device's own messages
constexpr std::size_t max_sp_clients = 4;          // the agent uses one
constexpr std::size_t max_packet = 64u << 10;      // on the channel to boot; texts in it are cut to a few KiB
constexpr std::size_t tail_lines = 12;

std::unexpected<Failure> errno_failure(std::string text) {
    return explain(Errc::system, std::move(text) + ": " + std::strerror(errno));
}

Explained<UniqueFd> listen_on(const fs::path &path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.native().size() >= sizeof address.sun_path)
        return explain(Errc::out_of_range, "socket path too long: " + path.native());
    std::memcpy(address.sun_path, path.c_str(), path.native().size());
    UniqueFd listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!listener || ::bind(listener.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), static_cast<int>(max_sp_clients)) != 0)
        return errno_failure(path.native());
    return listener;
}

// Whether a Unix socket listens, without connecting to it (vhost-device-vsock takes its first connection for QEMU's).
bool listens(const fs::path &path) {
    const auto table = read_file("/proc/net/unix", 16u << 20);
    if (!table)
        return false;
    std::string_view rest = as_text(*table);
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        // Num: RefCount Protocol Flags Type St Inode Path; the flag __SO_ACCEPTCON is that of a listening socket
        constexpr std::string_view accepting = " 00010000 ";
        if (line.ends_with(" " + path.native()) && line.find(accepting) != std::string_view::npos)
            return true;
    }
    return false;
}

// A file that takes what a child writes into a pipe, within bounds.
class Log {
  public:
    // Keeps the newest `limit` to 2 * limit bytes when it may rotate, else the first `limit`.
    Log(fs::path file, fs::path rotated, std::size_t limit)
        : file_(std::move(file)), rotated_(std::move(rotated)), limit_(limit) {}

    Explained<int> open() { // the end for the child
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0)
            return errno_failure("pipe");
        reading_.reset(ends[0]);
        writing_.reset(ends[1]);
        ::fcntl(reading_.get(), F_SETFL, O_NONBLOCK);
        out_.reset(::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
        if (!out_)
            return errno_failure(file_.native());
        return writing_.get();
    }
    void child_started() { writing_.reset(); }
    int fd() const { return reading_.get(); }
    // Takes what is there. A full disk loses output, not the VM.
    void take() {
        char chunk[16384];
        for (;;) {
            const ssize_t got = ::read(reading_.get(), chunk, sizeof chunk);
            if (got < 0 && errno == EINTR)
                continue;
            if (got == 0)
                reading_.reset();
            if (got <= 0)
                return;
            const std::size_t size = static_cast<std::size_t>(got);
            if (size_ + size > limit_) {
                if (rotated_.empty())
                    continue; // read on, so that the child never waits for us
                ::rename(file_.c_str(), rotated_.c_str());
                out_.reset(::open(file_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
                size_ = 0;
            }
            size_ += size;
            (void)write_all(out_.get(), std::as_bytes(std::span{chunk, size}));
        }
    }

  private:
    fs::path file_, rotated_;
    std::size_t limit_;
    std::size_t size_ = 0;
    UniqueFd reading_, writing_, out_;
};

// One connection of the guest to the emulated AMD-SP: frames of exactly one size.
struct SpClient {
    UniqueFd fd;
    ByteArray<frame_header_size + sp_request_size> buffer{};
    std::size_t used = 0;
};

class Supervising {
  public:
    Supervising(BootPlan plan, VmDirectory directory, UniqueFd channel, UniqueFd signals, UniqueFd listener,
                Clock::time_point began)
        : plan_(std::move(plan)), directory_(std::move(directory)), channel_(std::move(channel)),
          signals_(std::move(signals)), listener_(std::move(listener)), began_(began),
          console_(directory_.file(vm_file::console), directory_.file(vm_file::console_before), max_console_part),
          qemu_log_(directory_.file(vm_file::qemu_log), {}, max_log),
          vsock_log_(directory_.file(vm_file::vsock_log), {}, max_log),
          vtpm_log_(directory_.file(vm_file::vtpm_log), {}, max_log),
          relay_log_(directory_.file(vm_file::relay_log), {}, max_log) {}

    void run() {
        auto launched = launch();
        if (launched)
            launched = supervise();
        take_logs();
        if (!launched)
            tell({{"failed", name(launched.error().code)},
                  {"text", launched.error().text},
                  {"kvm_failed", kvm_failed_}});
        else if (!running_)
            tell({{"failed", name(Errc::refused)}, {"text", "the CVM was stopped before its agent answered"}});
        end_children();
        directory_.remove();
    }

  private:
    bool emulated() const { return plan_.machine.platform == Platform::emulated; }
    double since_began() const { return std::chrono::duration<double, std::milli>(Clock::now() - began_).count(); }
    static double rounded(double milliseconds_) {
        return static_cast<double>(static_cast<long long>(milliseconds_ * 10)) / 10;
    }

    void tell(const Json &message) {
        const std::string text = message.dump(-1, ' ', false, Json::error_handler_t::replace);
        if (channel_)
            (void)::send(channel_.get(), text.data(), std::min(text.size(), max_packet), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    void reached(std::string_view stage) {
        const double ms = rounded(since_began());
        times_[std::string{stage}] = ms;
        tell({{"stage", stage}, {"ms", ms}});
    }

    // ---- vm.json --------------------------------------------------------------------------------------------------

    // What the ID block says; on the platform snp whether the AMD-SP took it is known once the guest runs.
    Json id_block_json() const {
        if (!plan_.machine.id_block)
            return nullptr;
        const SignedIdBlock &id = *plan_.machine.id_block;
        const IdKeys keys = id_auth_claims(id.auth);
        return {{"family_id", hex(id.block.family_id)},
                {"image_id", hex(id.block.image_id)},
                {"guest_svn", id.block.guest_svn},
                {"id_key_digest", hex(keys.id_key_digest)},
                {"author_key_digest", keys.author_key_digest ? Json(hex(*keys.author_key_digest)) : Json(nullptr)}};
    }

    Json vtpm_json() const {
        if (!plan_.vtpm)
            return nullptr;
        const Vtpm &vtpm = *plan_.vtpm;
        return {{"device", "tpm-crb"},
                {"run_by", "host: swtpm"},
                {"ek_root", (vtpm.kept ? *vtpm.kept / vtpm_file::root : VtpmCa::root_file()).native()},
                {"ek_certificates",
                 {(vtpm.certificates / vtpm_file::ek_rsa).native(), (vtpm.certificates / vtpm_file::ek_ecc).native()}},
                {"kept_in", vtpm.kept ? Json(vtpm.kept->native()) : Json(nullptr)},
                {"pid", vtpm_.pid()},
                {"start_time", process_start_time(vtpm_.pid()).value_or(0)}};
    }

    Explained<void> write_json() {
        const Machine &m = plan_.machine;
        Json json = {{"schema", vm_json_schema},
                     {"name", directory_.name()},
                     {"state", running_ ? "running" : "starting"},
                     {"platform", name(m.platform)},
                     {"emulated", emulated()},
                     {"accelerator", name(m.accelerator)},
                     {"image", plan_.image_json.native()},
                     {"altered", plan_.altered},
                     {"cpu_model", m.cpu_model},
                     {"vcpus", m.vcpus},
                     {"memory_mib", m.memory_mib},
                     {"started", started_at_}};
        if (emulated()) {
            json["vsock_socket"] = directory_.file(vm_file::vsock_socket).native();
            json["emulated_ark"] = EmulatedKeys::ark_file().native();
        } else {
            json["vsock_cid"] = m.guest_cid;
        }
        json["vtpm"] = vtpm_json();
        char policy[19];
        std::snprintf(policy, sizeof policy, "0x%llx", static_cast<unsigned long long>(plan_.policy));
        json["launch"] = {{"digest_measured", measured_ ? Json(hex(*measured_)) : Json(nullptr)},
                          {"measured_by", emulated() ? Json("emulated AMD-SP") : Json("AMD-SP")},
                          {"digest_predicted", hex(plan_.predicted)},
                          {"policy", policy},
                          {"guest_features", plan_.vcpu.sev_features},
                          {"host_data", hex(plan_.host_data)},
                          {"manifest", plan_.manifest_id.empty() ? Json(nullptr) : Json(plan_.manifest_id)},
                          {"id_block", id_block_json()},
                          {"hash_page", plan_.hash_page_choice},
                          {"hash_page_fits", plan_.hash_page_fits}};
        const auto listens_on = listener_ ? local_endpoint(listener_.get()) : fail(Errc::missing, "listener");
        json["listens_on"] = listens_on ? Json(to_string(*listens_on)) : Json(nullptr);
        json["console"] = directory_.file(vm_file::console).native();
        json["qemu"] = {{"version", to_string(plan_.qemu)},
                        {"pid", qemu_.pid()},
                        {"start_time", process_start_time(qemu_.pid()).value_or(0)},
                        {"command", shell_quote(qemu_argv(m))}};
        if (emulated())
            json["vsock_device"] = {{"pid", vsock_.pid()},
                                    {"start_time", process_start_time(vsock_.pid()).value_or(0)}};
        json["supervisor"] = {{"pid", ::getpid()}, {"start_time", process_start_time(::getpid()).value_or(0)}};
        json["times"] = times_;
        json["agent"] = agent_;
        const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
        if (auto written = write_file(directory_.file(vm_file::json), as_bytes(text), 0600); !written)
            return explain(written.error(), directory_.file(vm_file::json).native());
        return {};
    }

    // ---- launch ---------------------------------------------------------------------------------------------------

    Explained<void> launch() {
        char now[32];
        const std::time_t wall = std::time(nullptr);
        std::tm utc{};
        ::gmtime_r(&wall, &utc);
        std::strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &utc);
        started_at_ = now;
        if (auto owned = directory_.write_owner(); !owned)
            return explain(owned.error(), directory_.path().native());
        if (auto written = write_json(); !written)
            return written;
        if (emulated()) {
            auto keys = EmulatedKeys::load(EmulatedKeys::directory());
            if (!keys)
                return explain(keys.error(), EmulatedKeys::directory().native());
            sp_.emplace(std::move(*keys));
            if (plan_.hash_page)
                if (auto written = write_file(plan_.machine.hash_page, *plan_.hash_page, 0600); !written)
                    return explain(written.error(), plan_.machine.hash_page.native());
            if (auto ready = start_vsock_device(); !ready)
                return ready;
        }
        if (plan_.vtpm) {
            if (auto ready = start_vtpm(*plan_.vtpm); !ready)
                return ready;
            reached(launch_stage::vtpm_ready);
        }
        if (auto ready = start_qemu(); !ready)
            return ready;
        if (emulated()) {
            if (auto measured = measure(); !measured)
                return measured;
            reached(launch_stage::measured);
            if (cancelled())
                return explain(Errc::refused, "cancelled");
            if (auto running = qmp_->execute("cont", Json::object(), Clock::now() + supervisor_limit::command);
                !running)
                return qmp_failure("cont", running.error());
        }
        if (listener_)
            if (auto ready = start_relay(); !ready)
                return ready;
        reached(launch_stage::started);
        return write_json();
    }

    // A process of its own: what talks to the network has no part in the keys and files that are here.
    Explained<void> start_relay() {
        auto log = relay_log_.open();
        if (!log)
            return std::unexpected(log.error());
        std::vector<std::string> argv{"/proc/self/exe", "relay", "--inherited"};
        if (emulated())
            argv.insert(argv.end(), {"--vsock-socket", directory_.file(vm_file::vsock_socket).native()});
        else
            argv.insert(argv.end(), {"--vsock-cid", std::to_string(plan_.machine.guest_cid)});
        auto child = Child::start(argv, {.in = listener_.get(), .out = *log, .err = *log});
        relay_log_.child_started();
        if (!child)
            return explain(child.error(), "cvmin relay");
        relay_ = std::move(*child);
        return {};
    }

    Explained<void> start_vsock_device() {
        auto listener = listen_on(directory_.path() /
                                  (std::string{vm_file::vsock_socket} + "_" + std::to_string(emulator_vsock_port)));
        if (!listener)
            return std::unexpected(listener.error());
        sp_listener_ = std::move(*listener);
        auto log = vsock_log_.open();
        if (!log)
            return std::unexpected(log.error());
        const auto argv =
            vsock_device_argv(directory_.name(), plan_.machine.vsock_device, directory_.file(vm_file::vsock_socket));
        auto child = Child::start(argv, {.in = -1, .out = *log, .err = *log});
        vsock_log_.child_started();
        if (!child && child.error().code == Errc::missing)
            return explain(Errc::system, "vhost-device-vsock is not in PATH");
        if (!child)
            return explain(child.error(), "vhost-device-vsock");
        vsock_ = std::move(*child);
        const auto deadline = Clock::now() + start_limit;
        while (!listens(plan_.machine.vsock_device)) {
            if (auto status = vsock_.wait(milliseconds{2}))
                return ended("vhost-device-vsock", *status, vsock_log_, vm_file::vsock_log);
            if (Clock::now() >= deadline)
                return explain(Errc::timed_out, "vhost-device-vsock made no socket within 20 s");
            if (cancelled())
                return explain(Errc::refused, "cancelled");
        }
        return {};
    }

    Explained<void> start_vtpm(const Vtpm &vtpm) {
        bool manufactured = false;
        if (vtpm.kept) {
            auto kept = open_kept_vtpm(*vtpm.kept);
            if (!kept)
                return std::unexpected(kept.error());
            vtpm_lock_ = std::move(kept->lock);
            manufactured = kept->manufactured;
        }
        if (!manufactured)
            if (auto made = manufacture_vtpm(vtpm); !made)
                return made;
        auto log = vtpm_log_.open();
        if (!log)
            return std::unexpected(log.error());
        auto child = Child::start(vtpm_argv(vtpm), {.in = -1, .out = *log, .err = *log});
        vtpm_log_.child_started();
        if (!child)
            return explain(child.error(), vtpm.programs.swtpm.native());
        vtpm_ = std::move(*child);
        const auto deadline = Clock::now() + vtpm_limit;
        while (!listens(vtpm.socket)) {
            if (auto status = vtpm_.wait(milliseconds{2}))
                return ended("swtpm", *status, vtpm_log_, vm_file::vtpm_log);
            if (Clock::now() >= deadline)
                return explain(Errc::timed_out, "swtpm made no control socket within 10 s");
            if (cancelled())
                return explain(Errc::refused, "cancelled");
        }
        const auto answered = ask_vtpm(vtpm.socket, vtpm_limit);
        if (!answered) {
            if (auto status =
                    vtpm_.wait(answered.error().code == Errc::unreachable ? milliseconds{200} : milliseconds{0}))
                return ended("swtpm", *status, vtpm_log_, vm_file::vtpm_log);
            // whatever else it is, no other input would help
            return explain(answered.error().code == Errc::timed_out ? Errc::timed_out : Errc::system,
                           "swtpm: " + to_string(answered.error()));
        }
        return {};
    }

    Explained<void> manufacture_vtpm(const Vtpm &vtpm) {
        const fs::path ca_directory = VtpmCa::directory();
        const auto ca = VtpmCa::load(ca_directory);
        if (!ca)
            return explain(ca.error(), ca_directory.native());
        if (auto written = write_vtpm_configuration(vtpm, *ca, ca_directory); !written)
            return written;
        if (auto made = make_private_directory(vtpm.state); !made)
            return explain(made.error(), vtpm.state.native());
        auto log = vtpm_log_.open();
        if (!log)
            return std::unexpected(log.error());
        auto setup = Child::start_tree(vtpm_setup_argv(vtpm, directory_.name()), {.in = -1, .out = *log, .err = *log},
                                       supervisor_limit::setup);
        vtpm_log_.child_started();
        if (!setup)
            return explain(setup.error(), vtpm.programs.swtpm_setup.native());
        const auto began = Clock::now();
        bool said = false;
        std::optional<int> status;
        while (!(status = setup->wait(drain_interval))) {
            vtpm_log_.take();
            const auto took = Clock::now() - began;
            if (took >= patience_without_word && !std::exchange(said, true))
                tell({{"doing", "manufacturing the vTPM: keys and EK certificates"}});
            const bool unwanted = cancelled();
            if (!unwanted && took < setup_limit)
                continue;
            (void)setup->stop(supervisor_limit::setup + supervisor_limit::term);
            if (unwanted)
                return explain(Errc::refused, "cancelled");
            return explain(Errc::timed_out, "swtpm_setup did not end within 60 s");
        }
        if (*status != 0)
            return ended("swtpm_setup", *status, vtpm_log_, vm_file::vtpm_log);
        vtpm_log_.take();
        if (vtpm.kept)
            if (auto written = write_file(*vtpm.kept / vtpm_file::root, ca->root(), 0600); !written)
                return explain(written.error(), vtpm.kept->native());
        return {};
    }

    Explained<void> start_qemu() {
        auto out = console_.open();
        auto err = qemu_log_.open();
        if (!out)
            return std::unexpected(out.error());
        if (!err)
            return std::unexpected(err.error());
        auto child = Child::start(qemu_argv(plan_.machine), {.in = -1, .out = *out, .err = *err});
        console_.child_started();
        qemu_log_.child_started();
        if (!child && child.error().code == Errc::missing)
            return explain(Errc::system, std::string{qemu_program} + " is not in PATH");
        if (!child)
            return explain(child.error(), qemu_program);
        qemu_ = std::move(*child);
        const auto deadline = Clock::now() + start_limit;
        for (;;) {
            // in slices, so that a QEMU that ends at once is seen at once
            auto qmp = Qmp::connect(plan_.machine.qmp_socket, std::min(deadline, Clock::now() + milliseconds{200}));
            if (qmp) {
                qmp_.emplace(std::move(*qmp));
                break;
            }
            if (auto status = qemu_.wait(milliseconds{0}))
                return ended("QEMU", *status, qemu_log_, vm_file::qemu_log);
            if (qmp.error().code != Errc::timed_out || Clock::now() >= deadline)
                return explain(qmp.error(), plan_.vtpm ? "QEMU's control socket (it first waits for what swtpm answers)"
                                                       : "QEMU's control socket");
            if (cancelled())
                return explain(Errc::refused, "cancelled");
        }
        if (auto usable = check_qemu(qmp_->version(), plan_.machine.platform); !usable)
            return usable;
        plan_.qemu = qmp_->version();
        reached(launch_stage::qemu_ready);
        return {};
    }

    Explained<Bytes> guest_memory(std::uint64_t gpa, std::uint64_t size) {
        const fs::path file = directory_.file("memory.bin");
        const Json arguments = {{"val", gpa}, {"size", size}, {"filename", file.native()}};
        if (auto saved = qmp_->execute("pmemsave", arguments, Clock::now() + supervisor_limit::command); !saved)
            return qmp_failure("pmemsave", saved.error());
        auto bytes = read_file(file, size);
        ::unlink(file.c_str());
        if (!bytes)
            return explain(bytes.error(), file.native());
        if (bytes->size() != size)
            return explain(Errc::truncated, "guest memory at " + std::to_string(gpa));
        return std::move(*bytes);
    }

    // What SNP_LAUNCH_UPDATE would be given, from the memory that the guest is going to run on.
    Explained<void> measure() {
        auto firmware = guest_memory(four_gib - plan_.firmware_size, plan_.firmware_size);
        if (!firmware)
            return std::unexpected(firmware.error());
        const auto ovmf = parse_ovmf(*firmware);
        if (!ovmf)
            return explain(ovmf.error(), "firmware in guest memory");
        const auto step = [](const Result<void> &result, std::string_view what) -> Explained<void> {
            if (!result)
                return explain(result.error(), what);
            return {};
        };
        if (auto done = step(sp_->launch_start(plan_.policy), "launch start"); !done)
            return done;
        for (const LaunchRegion &region : launch_regions(*ovmf, firmware->size(), plan_.hash_page.has_value())) {
            Bytes contents;
            if (region.gpa + region.size == four_gib)
                contents = std::exchange(*firmware, Bytes{});
            else if (region.type == PageType::normal || region.type == PageType::zero) {
                if (cancelled())
                    return explain(Errc::refused, "cancelled");
                auto memory = guest_memory(region.gpa, region.size);
                if (!memory)
                    return std::unexpected(memory.error());
                contents = std::move(*memory);
            }
            if (region.type == PageType::zero) {
                // the AMD-SP clears such a page; here it must be clear already
                if (!all_zero(contents))
                    return explain(Errc::mismatch, "guest memory at " + std::to_string(region.gpa) + " is not zero");
                contents.clear();
            }
            if (auto done = step(sp_->launch_update(region.type, region.gpa, region.size, contents), region.what);
                !done)
                return done;
        }
        for (unsigned vcpu = 0; vcpu < plan_.machine.vcpus; ++vcpu) {
            const auto page = vmsa_page(plan_.vcpu, vcpu == 0 ? bsp_reset_eip : ovmf->reset_eip);
            if (auto done = step(sp_->launch_update(PageType::vmsa, vmsa_gpa, page_size, page), "VMSA"); !done)
                return done;
        }
        EmulatedSp::Finish finish;
        finish.host_data = plan_.host_data;
        if (plan_.machine.id_block) {
            finish.id_block = plan_.machine.id_block->raw;
            finish.id_auth = plan_.machine.id_block->auth;
            finish.author_key_enabled = plan_.machine.id_block->author_key_enabled();
        }
        if (auto finished = sp_->launch_finish(finish); !finished && plan_.machine.id_block)
            return explain(finished.error().code, sp_->why_refused(finish, finished.error()));
        else if (!finished)
            return explain(finished.error(), "launch finish");
        measured_ = sp_->launch_digest();
        return {};
    }

    std::unexpected<Failure> qmp_failure(std::string_view command, const Error &error) {
        if (auto status = qemu_.wait(error.code == Errc::unreachable ? supervisor_limit::closing : seconds{0}))
            return ended("QEMU", *status, qemu_log_, vm_file::qemu_log);
        const std::string subject = "QEMU: " + std::string{command};
        if (error.code == Errc::refused)
            return explain(Errc::system, subject + ": " + printable_text(qmp_->failure()));
        return explain(error, subject);
    }

    std::unexpected<Failure> ended(std::string_view what, int status, Log &log, const char *log_name) {
        log.take();
        console_.take();
        std::string text{what};
        text += status > 128 ? " was ended by signal " + std::to_string(status - 128)
                             : " ended with status " + std::to_string(status);
        if (const std::string tail = log_tail(directory_.file(log_name), tail_lines); !tail.empty())
            text += "; it said:\n" + tail;
        return explain(Errc::system, text);
    }

    // ---- event loop -----------------------------------------------------------------------------------------------

    // A signal, or boot gone before the agent answered. Looked at between the steps of the launch.
    bool cancelled() {
        take_channel();
        signalfd_siginfo info;
        if (::read(signals_.get(), &info, sizeof info) == sizeof info)
            stopping_ = true;
        return stopping_;
    }

    void take_channel() {
        char text[max_packet];
        while (channel_) {
            const ssize_t got = ::recv(channel_.get(), text, sizeof text, MSG_DONTWAIT);
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                return;
            if (got <= 0) { // boot is gone
                channel_.reset();
                stopping_ = stopping_ || !running_;
                return;
            }
            auto message = parse_json(as_bytes({text, static_cast<std::size_t>(got)}), "boot");
            if (!message || !message->is_object() || !message->contains("agent_answered"))
                continue;
            running_ = true;
            times_["agent_answered"] = (*message)["agent_answered"];
            agent_ = message->value("agent", Json(nullptr));
            if (agent_.is_object()) // the guest's own clock: microseconds since its kernel started
                for (const char *key : {"start_us", "listening_us", "ready_us"})
                    if (agent_.contains(key) && agent_[key].is_number_unsigned())
                        times_[std::string{"guest_clock_agent_"} + std::string{key}.substr(0, std::strlen(key) - 3)] =
                            rounded(static_cast<double>(agent_[key].get<std::uint64_t>()) / 1000);
            if (const auto written = write_json()) {
                tell({{"stage", "recorded"}, {"ms", rounded(since_began())}});
            } else { // a VM that cannot be found is of no use to anyone
                tell({{"failed", name(written.error().code)}, {"text", written.error().text}});
                stopping_ = true;
            }
        }
    }

    void take_logs() {
        for (Log *log : {&console_, &qemu_log_, &vsock_log_, &vtpm_log_, &relay_log_})
            if (log->fd() >= 0)
                log->take();
    }

    // Until the VM is to end. A Failure: it ended by itself.
    Explained<void> supervise() {
        while (!stopping_) {
            std::vector<pollfd> waiting;
            auto add = [&](int fd) {
                waiting.push_back({.fd = fd, .events = POLLIN, .revents = 0}); // a negative fd is skipped by poll
                return waiting.size() - 1;
            };
            const std::size_t signals = add(signals_.get());
            const std::size_t channel = add(channel_.get());
            const std::size_t qemu = add(qemu_.pidfd());
            const std::size_t vsock = add(vsock_.pidfd());
            const std::size_t vtpm = add(vtpm_.pidfd());
            const std::size_t qmp = add(qmp_->fd());
            const std::size_t listener = add(sp_listener_.get());
            const std::size_t relay = add(relay_.pidfd());
            for (const Log *log : {&console_, &qemu_log_, &vsock_log_, &vtpm_log_, &relay_log_})
                add(log->fd());
            const std::size_t first_client = waiting.size();
            for (const SpClient &client : sp_clients_)
                add(client.fd.get());
            if (::poll(waiting.data(), waiting.size(), -1) < 0) {
                if (errno == EINTR)
                    continue;
                return errno_failure("poll");
            }
            take_logs();
            if (waiting[signals].revents != 0) {
                stopping_ = true;
                break;
            }
            if (waiting[channel].revents != 0)
                take_channel();
            if (waiting[qemu].revents != 0)
                return ended("QEMU", qemu_.wait(milliseconds{0}).value_or(0), qemu_log_, vm_file::qemu_log);
            if (waiting[vsock].revents != 0)
                return ended("vhost-device-vsock", vsock_.wait(milliseconds{0}).value_or(0), vsock_log_,
                             vm_file::vsock_log);
            if (waiting[vtpm].revents != 0)
                return ended("swtpm", vtpm_.wait(milliseconds{0}).value_or(0), vtpm_log_, vm_file::vtpm_log);
            if (waiting[relay].revents != 0)
                return ended("cvmin relay", relay_.wait(milliseconds{0}).value_or(0), relay_log_, vm_file::relay_log);
            if (waiting[qmp].revents != 0 && !qmp_->take_events())
                return ended_or_mute();
            if (qmp_->stopped())
                return guest_stopped();
            // clients by index from the last: one that is dropped moves only those behind it
            for (std::size_t i = sp_clients_.size(); i-- > 0;)
                if (waiting[first_client + i].revents != 0 && !serve(sp_clients_[i]))
                    sp_clients_.erase(sp_clients_.begin() + static_cast<std::ptrdiff_t>(i));
            if (waiting[listener].revents != 0)
                accept_client();
        }
        return {};
    }

    std::unexpected<Failure> ended_or_mute() {
        if (auto status = qemu_.wait(supervisor_limit::closing))
            return ended("QEMU", *status, qemu_log_, vm_file::qemu_log);
        return explain(Errc::system, "QEMU closed its control connection");
    }

    // Nobody stops a guest of ours but QEMU itself, when it cannot go on with it.
    std::unexpected<Failure> guest_stopped() {
        const auto status = qmp_->execute("query-status", Json::object(), Clock::now() + supervisor_limit::command);
        const std::string why = status ? json_string(*status, "status", "status").value_or("?") : "?";
        take_logs();
        const bool kvm_failed = plan_.machine.accelerator == Accelerator::kvm && why == "internal-error";
        std::string text = "QEMU stopped the guest: " + printable_text(why);
        if (kvm_failed)
            text = "KVM could not go on with the guest (internal-error)";
        if (const std::string tail = log_tail(directory_.file(vm_file::qemu_log), tail_lines);
            !tail.empty() && !kvm_failed)
            text += "; QEMU said:\n" + tail;
        kvm_failed_ = kvm_failed;
        return explain(Errc::system, text);
    }

    void accept_client() {
        UniqueFd fd{::accept4(sp_listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
        if (!fd)
            return;
        if (sp_clients_.size() == max_sp_clients)
            sp_clients_.pop_front(); // the oldest: a guest that forgets connections must not lock itself out
        sp_clients_.push_back({.fd = std::move(fd), .buffer = {}, .used = 0});
    }

    // False: the connection is over, or what came is no request.
    bool serve(SpClient &client) {
        const ssize_t got =
            ::read(client.fd.get(), client.buffer.data() + client.used, client.buffer.size() - client.used);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        if (got == 0)
            return false;
        client.used += static_cast<std::size_t>(got);
        const ByteView bytes = client.buffer;
        if (client.used >= frame_header_size && load_be(bytes.first(frame_header_size)) != sp_request_size)
            return false;
        if (client.used < client.buffer.size())
            return true;
        client.used = 0;
        const auto request = parse_sp_request(bytes.subspan(frame_header_size));
        if (!request)
            return false;
        const Bytes response = encode_sp_response(sp_->guest_request(*request));
        Bytes frame = to_bytes(frame_header(response.size()));
        frame.insert(frame.end(), response.begin(), response.end());
        // some 6 KiB into an empty socket buffer: what does not fit at once is a guest that does not read
        return ::send(client.fd.get(), frame.data(), frame.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(frame.size());
    }

    void end_children() {
        if (qemu_.pid() > 0) {
            if (qmp_ && !qemu_.wait(milliseconds{0})) {
                // asked again and again: a late answer to an earlier one is as good as an answer
                const auto deadline = Clock::now() + supervisor_limit::quit;
                for (;;) {
                    take_logs();
                    const auto quit =
                        qmp_->execute("quit", Json::object(), std::min(deadline, Clock::now() + drain_interval));
                    if (quit || quit.error().code != Errc::timed_out || Clock::now() >= deadline)
                        break;
                }
                (void)wait_draining(qemu_, supervisor_limit::quit);
            }
            stop_draining(qemu_);
        }
        for (Child *child : {&relay_, &vsock_, &vtpm_})
            if (child->pid() > 0)
                stop_draining(*child);
        take_logs();
    }

    // A child that waits for room in a full log pipe never ends.
    bool wait_draining(Child &child, milliseconds limit) {
        const auto deadline = Clock::now() + limit;
        while (!child.wait(drain_interval)) {
            take_logs();
            if (Clock::now() >= deadline)
                return false;
        }
        return true;
    }
    void stop_draining(Child &child) {
        child.signal(SIGTERM);
        (void)wait_draining(child, supervisor_limit::term);
        child.stop(milliseconds{0}); // insists
    }

    BootPlan plan_;
    VmDirectory directory_;
    UniqueFd channel_, signals_;
    UniqueFd listener_; // TCP; relayed to the agent
    Clock::time_point began_;
    std::string started_at_;
    bool running_ = false, stopping_ = false, kvm_failed_ = false;
    Json times_ = Json::object();
    Json agent_;
    Log console_, qemu_log_, vsock_log_, vtpm_log_, relay_log_;
    UniqueFd vtpm_lock_; // of a state that is kept
    std::optional<EmulatedSp> sp_;
    std::optional<Sha384Digest> measured_;
    UniqueFd sp_listener_;
    std::deque<SpClient> sp_clients_;
    Child relay_, vsock_, vtpm_, qemu_; // QEMU goes first, being destroyed in reverse order
    std::optional<Qmp> qmp_;
};

// Whatever descriptors boot was started with are not ours to keep open: somebody may wait for their end.
void close_all_but(std::vector<int> kept) {
    std::ranges::sort(kept);
    unsigned from = STDERR_FILENO + 1;
    for (int fd : kept) {
        if (fd < 0)
            continue;
        if (static_cast<unsigned>(fd) > from)
            ::close_range(from, static_cast<unsigned>(fd) - 1, 0);
        from = static_cast<unsigned>(fd) + 1;
    }
    ::close_range(from, ~0u, 0);
}

} // namespace

Explained<SupervisorHandle> start_supervisor(const BootPlan &plan, VmDirectory &directory, Clock::time_point began,
                                             int listener) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return errno_failure("socketpair");
    UniqueFd ours{ends[0]};
    UniqueFd theirs{ends[1]};
    const pid_t pid = ::fork();
    if (pid < 0)
        return errno_failure("fork");
    if (pid != 0)
        return SupervisorHandle{.pid = pid, .channel = std::move(ours)};

    ours.reset();
    ::setsid();
    ::umask(077);
    (void)!::chdir("/");
    const int null = ::open("/dev/null", O_RDWR);
    if (null < 0)
        ::_exit(1);
    for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        ::dup2(null, fd);
    close_all_but({theirs.get(), directory.lock_fd(), listener});
    sigset_t handled;
    sigemptyset(&handled);
    for (int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT})
        sigaddset(&handled, number);
    ::sigprocmask(SIG_SETMASK, &handled, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGCHLD, SIG_DFL);
    UniqueFd signals{::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK)};
    {
        Supervising supervising{plan, std::move(directory), std::move(theirs), std::move(signals), UniqueFd{listener},
                                began};
        supervising.run();
    }
    ::_exit(0);
}

std::string log_tail(const fs::path &file, std::size_t lines) {
    constexpr std::size_t most = 4096;
    const auto bytes = read_file(file, max_console_part + max_log);
    if (!bytes)
        return {};
    std::string kept;
    for (std::string_view rest = as_text(*bytes); !rest.empty();) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        // QEMU's warning for each feature of a CPU model that TCG or the host lacks: tens of lines, never the reason
        if (line.find("support requested feature: CPUID") == std::string_view::npos)
            kept.append(line).append("\n");
    }
    std::string_view text = kept;
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r'))
        text.remove_suffix(1);
    text = text.substr(text.size() - std::min(text.size(), most));
    std::size_t start = text.size();
    for (std::size_t line = 0; line < lines && start != std::string_view::npos && start > 0; ++line)
        start = text.rfind('\n', start - 1);
    if (start != std::string_view::npos && start < text.size())
        text = text.substr(start == 0 ? 0 : start + 1);
    return printable_text(text);
}

} // namespace cvmin
