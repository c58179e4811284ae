// QEMU's command lines, its versions, and the QMP client against a peer that behaves and peers that do not.
#include "tests/unit/cmocka.hpp"

#include "qemu/child.hpp"
#include "qemu/machine.hpp"
#include "qemu/qmp.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <functional>

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cvmin;
namespace fs = std::filesystem;

namespace {

Machine emulated() {
    Machine m;
    m.name = "one";
    m.cpu_model = "EPYC-Milan";
    m.vcpus = 3;
    m.memory_mib = 256;
    m.firmware = "/i/OVMF.fd";
    m.kernel = "/i/bzImage";
    m.initrd = "/i/initrd.zst";
    m.command_line = "console=ttynull a=\"b c\"";
    m.qmp_socket = "/r/qmp";
    m.hash_page = "/r/hash-page.bin";
    m.hash_page_gpa = 0x810000;
    m.vsock_device = "/r/vsock-dev";
    return m;
}
Machine snp() {
    Machine m = emulated();
    m.platform = Platform::snp;
    m.policy = 0x30000;
    m.sev = {.c_bit_position = 51, .reduced_physical_bits = 1};
    m.guest_cid = 77;
    return m;
}
// The value after option `name`, at its n-th occurrence; "(none)" when there is no such one.
std::string value(const std::vector<std::string> &argv, std::string_view name, std::size_t n = 0) {
    for (std::size_t i = 0; i + 1 < argv.size(); ++i)
        if (argv[i] == name && n-- == 0)
            return argv[i + 1];
    return "(none)";
}
bool has(const std::vector<std::string> &argv, std::string_view word) {
    return std::ranges::find(argv, word) != argv.end();
}
template <class T> Errc code_of(const Result<T> &result) {
    return result ? Errc{0xff} : result.error().code;
}

// ---- command lines
// -----------------------------------------------------------------------------------------------------

void emulated_machine_is_paused_with_its_hash_page_in_memory(void **) {
    const auto argv = qemu_argv(emulated());
    assert_true(argv[0] == "qemu-system-x86_64");
    assert_true(has(argv, "-S") && has(argv, "-nodefaults") && has(argv, "-no-reboot"));
    assert_true(value(argv, "-name") == "cvmin-one");
    assert_true(value(argv, "-accel") == "tcg");
    assert_true(value(argv, "-machine") == "q35,memory-backend=ram0");
    assert_true(value(argv, "-cpu") == "EPYC-Milan");
    assert_true(value(argv, "-smp") == "3");
    assert_true(value(argv, "-m") == "256M");
    assert_true(value(argv, "-object") == "memory-backend-memfd,id=ram0,size=256M,share=true,prealloc=false");
    assert_true(value(argv, "-object", 1) == "(none)");
    assert_true(value(argv, "-drive") == "if=pflash,format=raw,unit=0,readonly=on,file=/i/OVMF.fd");
    assert_true(value(argv, "-bios") == "(none)");
    assert_true(value(argv, "-kernel") == "/i/bzImage");
    assert_true(value(argv, "-initrd") == "/i/initrd.zst");
    assert_true(value(argv, "-append") == "console=ttynull a=\"b c\"");
    assert_true(value(argv, "-device") == "loader,file=/r/hash-page.bin,addr=0x810000,force-raw=on");
    assert_true(value(argv, "-device", 1) == "vhost-user-vsock-pci,chardev=vsock0");
    assert_true(value(argv, "-chardev") == "socket,id=vsock0,path=/r/vsock-dev");
    assert_true(value(argv, "-chardev", 1) == "stdio,id=console0,signal=off");
    assert_true(value(argv, "-serial") == "chardev:console0");
    assert_true(value(argv, "-qmp") == "unix:/r/qmp,server=on,wait=off");
}

void emulated_machine_without_page_or_initrd_has_no_option_for_them(void **) {
    Machine m = emulated();
    m.hash_page.clear();
    m.initrd.clear();
    m.command_line.clear();
    m.accelerator = Accelerator::kvm;
    const auto argv = qemu_argv(m);
    assert_true(value(argv, "-device") == "vhost-user-vsock-pci,chardev=vsock0");
    assert_true(value(argv, "-initrd") == "(none)");
    assert_true(value(argv, "-append") == "(none)");
    assert_true(value(argv, "-accel") == "kvm");
}

void snp_machine_has_a_launch_context_and_the_kernels_vsock(void **) {
    const auto argv = qemu_argv(snp());
    assert_true(value(argv, "-accel") == "kvm");
    assert_true(value(argv, "-machine") == "q35,confidential-guest-support=sev0,memory-backend=ram0");
    assert_true(value(argv, "-object") == "memory-backend-memfd,id=ram0,size=256M,share=true,prealloc=false");
    assert_true(value(argv, "-object", 1) ==
                "sev-snp-guest,id=sev0,policy=0x30000,cbitpos=51,reduced-phys-bits=1,kernel-hashes=on");
    assert_true(value(argv, "-bios") == "/i/OVMF.fd");
    assert_true(value(argv, "-drive") == "(none)");
    assert_true(value(argv, "-device") == "vhost-vsock-pci,guest-cid=77,disable-legacy=on,iommu_platform=true");
    assert_true(value(argv, "-device", 1) == "(none)"); // QEMU makes the hash page
    assert_false(has(argv, "-S"));
}

void snp_machine_hands_over_host_data_in_base64_and_can_leave_hashes_off(void **) {
    Machine m = snp();
    m.host_data.fill(std::byte{0xab});
    m.kernel_hashes = false;
    m.sev = {.c_bit_position = 47, .reduced_physical_bits = 5};
    m.policy = 0xb0000;
    assert_true(value(qemu_argv(m), "-object", 1) ==
                "sev-snp-guest,id=sev0,policy=0xb0000,cbitpos=47,reduced-phys-bits=5,kernel-hashes=off,"
                "host-data=q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=");
}

void snp_machine_hands_over_an_id_block_in_base64(void **) {
    const std::string before = "sev-snp-guest,id=sev0,policy=0x30000,cbitpos=51,reduced-phys-bits=1,kernel-hashes=on,"
                               "id-block=";
    Machine m = snp();
    Bytes raw(96, std::byte{0xab});
    Bytes auth(4096);
    auth[0] = std::byte{1};
    m.id_block = make_signed_id_block(raw, auth).value();
    assert_true(value(qemu_argv(m), "-object", 1) == before + base64(raw) + ",id-auth=" + base64(auth));
    auth[0x880] = std::byte{2}; // an author key's curve
    m.id_block = make_signed_id_block(raw, auth).value();
    assert_true(value(qemu_argv(m), "-object", 1) ==
                before + base64(raw) + ",id-auth=" + base64(auth) + ",author-key-enabled=on");
    m.platform = Platform::emulated; // its AMD-SP is not QEMU's
    assert_true(value(qemu_argv(m), "-object", 1) == "(none)");
}

void commas_in_paths_are_doubled_for_qemu(void **) {
    Machine m = emulated();
    m.firmware = "/a,b/OVMF.fd";
    m.hash_page = "/a,readonly=off/p";
    m.vsock_device = "/a,b/v";
    m.qmp_socket = "/a,b/q";
    m.kernel = "/a,b/bzImage"; // an option of its own: taken as it is
    const auto argv = qemu_argv(m);
    assert_true(value(argv, "-drive").ends_with("file=/a,,b/OVMF.fd"));
    assert_true(value(argv, "-device") == "loader,file=/a,,readonly=off/p,addr=0x810000,force-raw=on");
    assert_true(value(argv, "-chardev") == "socket,id=vsock0,path=/a,,b/v");
    assert_true(value(argv, "-qmp") == "unix:/a,,b/q,server=on,wait=off");
    assert_true(value(argv, "-kernel") == "/a,b/bzImage");
}

void a_machine_with_a_vtpm_has_a_crb_device_on_its_socket_on_both_platforms(void **) {
    for (Machine m : {emulated(), snp()}) {
        const auto without = qemu_argv(m);
        assert_true(value(without, "-tpmdev") == "(none)");
        m.vtpm_socket = "/r,x/vtpm-ctl";
        const auto argv = qemu_argv(m);
        assert_true(value(argv, "-tpmdev") == "emulator,id=tpm0,chardev=vtpm0");
        assert_true(has(argv, "socket,id=vtpm0,path=/r,,x/vtpm-ctl"));
        assert_true(has(argv, "tpm-crb,tpmdev=tpm0"));
        assert_int_equal(argv.size(), without.size() + 6); // and nothing else
    }
}

void vsock_device_keeps_vms_apart(void **) {
    const auto argv = vsock_device_argv("one", "/r/vsock-dev", "/r/vsock");
    const std::vector<std::string> wanted = {"vhost-device-vsock", "--guest-cid=3", "--socket=/r/vsock-dev",
                                             "--uds-path=/r/vsock", "--groups=cvmin-one"};
    assert_true(argv == wanted);
}

void shell_quoting_survives_a_shell(void **) {
    const std::vector<std::string> argv = {"printf", "%s\\n", "plain", "two words", "it's", "", "$HOME;`id`", "a,b=c"};
    assert_true(shell_quote(argv) == "printf '%s\\n' plain 'two words' 'it'\\''s' '' '$HOME;`id`' a,b=c");
    const auto run = run_captured({"sh", "-c", shell_quote(argv)}, std::chrono::seconds{10});
    assert_true(run && run->output == "plain\ntwo words\nit's\n\n$HOME;`id`\na,b=c\n");
}

// ---- versions
// ------------------------------------------------------------------------------------------------------------

void qemu_version_is_read_from_its_first_line(void **) {
    assert_true(*parse_qemu_version("QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\nCopyright") ==
                (QemuVersion{10, 0, 13}));
    assert_true(*parse_qemu_version("QEMU emulator version 9.1") == (QemuVersion{9, 1, 0}));
    assert_true(*parse_qemu_version("QEMU emulator version 7.2.x") == (QemuVersion{7, 2, 0}));
    for (const char *wrong : {"", "QEMU", "QEMU emulator version ", "QEMU emulator version x.1",
                              "QEMU emulator version 10", "QEMU emulator version 99999999999999.1"})
        assert_true(code_of(parse_qemu_version(wrong)) == Errc::malformed);
}

void an_old_qemu_is_refused_with_the_version_that_is_needed(void **) {
    assert_true(check_qemu({10, 0, 0}, Platform::emulated).has_value());
    assert_true(check_qemu({9, 1, 0}, Platform::snp).has_value());
    const auto emulated_refusal = check_qemu({9, 2, 4}, Platform::emulated);
    assert_true(emulated_refusal.error().code == Errc::system);
    assert_true(emulated_refusal.error().text.starts_with("QEMU 9.2.4 was found, but 10.0 or newer is needed"));
    const auto snp_refusal = check_qemu({9, 0, 9}, Platform::snp);
    assert_true(snp_refusal.error().text.starts_with("QEMU 9.0.9 was found, but 9.1 or newer is needed"));
}

// ---- children
// ------------------------------------------------------------------------------------------------------------

void a_child_that_cannot_start_is_an_error_and_not_a_status(void **) {
    assert_true(code_of(Child::start({"/nonexistent/program"}, {})) == Errc::missing);
    assert_true(code_of(Child::start({"/etc/passwd"}, {})) == Errc::system);
    assert_true(code_of(run_captured({"sleep", "60"}, std::chrono::milliseconds{50})) == Errc::timed_out);
    const auto killed =
        run_captured({"sh", "-c", "echo begin; echo enough; exec sleep 60"}, std::chrono::seconds{30}, "enough");
    assert_true(killed && killed->status == 128 + SIGKILL && killed->output.starts_with("begin\n"));
    const auto failed = run_captured({"sh", "-c", "exit 7"}, std::chrono::seconds{10});
    assert_true(failed && failed->status == 7);
}

void a_child_that_ignores_sigterm_is_killed_after_its_grace(void **) {
    auto child = Child::start({"sh", "-c", "trap '' TERM; while :; do sleep 1; done"}, {});
    assert_true(child.has_value());
    assert_false(child->wait(std::chrono::milliseconds{100}).has_value());
    assert_int_equal(child->stop(std::chrono::milliseconds{100}), 128 + SIGKILL);
}

// What still runs of the processes whose numbers were written to `file`.
std::size_t running(const fs::path &file, std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        std::size_t count = 0;
        std::ifstream in(file);
        for (int pid = 0; in >> pid;) {
            std::string stat;
            std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/stat"), stat);
            const std::size_t end = stat.rfind(')');
            count += end != std::string::npos && stat.substr(end, 3) != ") Z";
        }
        if (count == 0 || std::chrono::steady_clock::now() >= deadline)
            return count;
        ::usleep(10'000);
    }
}
// Leaves a child in a session of its own behind, then goes on as told; both write down their numbers.
std::vector<std::string> leaving_a_child(const fs::path &file, const std::string &then) {
    return {"sh", "-c",
            "echo $$ >>$0; (setsid sh -c 'echo $$ >>$0; exec sleep 300' \"$0\" &); " +
                std::string{"while [ $(wc -l <$0) -lt 2 ]; do sleep 0.01; done; "} + then,
            file.string()};
}
const std::chrono::milliseconds no_grace{0};

void a_tree_ends_with_its_program_and_has_its_status(void **) {
    char name[] = "/tmp/cvmin-test-tree-XXXXXX";
    const fs::path directory = ::mkdtemp(name);
    const fs::path pids = directory / "pids";
    int status = -1;
    {
        auto child = Child::start_tree(leaving_a_child(pids, "exit 7"), {}, no_grace);
        status = child ? child->wait(std::chrono::seconds{10}).value_or(-2) : -3;
    }
    const std::size_t left = running(pids, std::chrono::seconds{5});
    const Errc missing = code_of(Child::start_tree({"/nonexistent/program"}, {}, no_grace));
    fs::remove_all(directory);
    assert_int_equal(status, 7);
    assert_int_equal(left, 0);
    assert_true(missing == Errc::missing);
}

void a_tree_that_is_stopped_is_ended_whole_after_its_grace(void **) {
    char name[] = "/tmp/cvmin-test-tree-XXXXXX";
    const fs::path directory = ::mkdtemp(name);
    const fs::path pids = directory / "pids";
    std::size_t before = 0;
    int cleaned_up = -1;
    {
        auto child = Child::start_tree(leaving_a_child(pids, "trap '' TERM; exec sleep 300"), {}, no_grace);
        for (int i = 0; child && i < 500 && before < 2; ++i) {
            ::usleep(10'000);
            before = running(pids, no_grace);
        }
        if (child)
            (void)child->stop(std::chrono::seconds{5});
    }
    const std::size_t left = running(pids, std::chrono::seconds{5});
    fs::remove(pids);
    { // one that is done within its grace ends as it would
        auto child = Child::start_tree(leaving_a_child(pids, "sleep 0.5; exit 3"), {}, std::chrono::seconds{5});
        for (int i = 0; child && i < 500 && running(pids, no_grace) < 2; ++i)
            ::usleep(10'000);
        if (child)
            cleaned_up = child->stop(std::chrono::seconds{10});
    }
    const std::size_t left_after_grace = running(pids, std::chrono::seconds{5});
    fs::remove_all(directory);
    assert_int_equal(before, 2);
    assert_int_equal(left, 0);
    assert_int_equal(cleaned_up, 3);
    assert_int_equal(left_after_grace, 0);
}

void a_tree_ends_when_its_starter_is_killed(void **) {
    char name[] = "/tmp/cvmin-test-tree-XXXXXX";
    const fs::path directory = ::mkdtemp(name);
    const fs::path pids = directory / "pids";
    const pid_t starter = ::fork();
    if (starter == 0) {
        auto child = Child::start_tree(leaving_a_child(pids, "exec sleep 300"), {}, no_grace);
        ::pause();
        ::_exit(1);
    }
    std::size_t before = 0;
    for (int i = 0; i < 500 && before < 2; ++i) {
        ::usleep(10'000);
        before = running(pids, no_grace);
    }
    ::kill(starter, SIGKILL);
    ::waitpid(starter, nullptr, 0);
    const std::size_t left = running(pids, std::chrono::seconds{5});
    fs::remove_all(directory);
    assert_int_equal(before, 2);
    assert_int_equal(left, 0);
}

// ---- QMP
// -------------------------------------------------------------------------------------------------------------------

void qmp_lines_are_told_apart(void **) {
    using Kind = QmpMessage::Kind;
    const auto greeting = parse_qmp_line(
        R"({"QMP": {"version": {"qemu": {"micro": 13, "minor": 0, "major": 10}, "package": "x"}, "capabilities": ["oob"]}})");
    assert_true(greeting && greeting->kind == Kind::greeting && greeting->body["major"] == 10);
    const auto success = parse_qmp_line(R"({"return": {"status": "paused"}, "id": 7})");
    assert_true(success && success->kind == Kind::success && success->id == 7 && success->body["status"] == "paused");
    const auto failure = parse_qmp_line(R"({"error": {"class": "GenericError", "desc": "no"}, "id": 8})");
    assert_true(failure && failure->kind == Kind::failure && failure->text == "no" && failure->id == 8);
    const auto event = parse_qmp_line(R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"})");
    assert_true(event && event->kind == Kind::event && event->text == "STOP");
    for (const char *wrong :
         {"", "x", "[]", "1", "{}", R"({"QMP": 1})", R"({"event": 1})", R"({"error": "x"})",
          R"({"error": {"desc": 1}})", R"({"return": {}, "id": "x"})", R"({"return": {}} trailing)"})
        assert_true(code_of(parse_qmp_line(wrong)) == Errc::malformed ||
                    code_of(parse_qmp_line(wrong)) == Errc::missing);
    assert_true(code_of(parse_qmp_line(std::string(max_qmp_line + 1, ' '))) == Errc::too_large);
    assert_true(code_of(parse_qmp_line(std::string(1000, '['))) == Errc::too_large); // depth
}

const std::string greeting_line = R"({"QMP": {"version": {"qemu": {"micro": 1, "minor": 2, "major": 10}}}})"
                                  "\n";

// Runs `client` against a server process that reads one line per entry of `script` and answers with it; the first entry
// is sent unasked.
void with_server(const std::vector<std::string> &script, const std::function<void(const fs::path &)> &client) {
    char name[] = "/tmp/cvmin-test-qmp-XXXXXX";
    const fs::path directory = ::mkdtemp(name);
    const fs::path path = directory / "qmp";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.native().size());
    const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0 || ::listen(listener, 1) != 0)
        abort();
    const pid_t server = ::fork();
    if (server == 0) {
        const int fd = ::accept(listener, nullptr, nullptr);
        for (std::size_t i = 0; i < script.size(); ++i) {
            char c = 0;
            while (i != 0 && c != '\n' && ::read(fd, &c, 1) == 1)
                ;
            (void)write_all(fd, as_bytes(script[i]));
        }
        ::_exit(0); // closes the connection
    }
    ::close(listener);
    client(path);
    ::kill(server, SIGKILL);
    ::waitpid(server, nullptr, 0);
    fs::remove_all(directory);
}
Deadline soon() {
    return std::chrono::steady_clock::now() + std::chrono::seconds{5};
}

void qmp_client_skips_events_and_reports_refusals(void **) {
    const std::string event = R"({"event": "RTC_CHANGE", "data": {}})"
                              "\n";
    bool ok = false, refused = false, closed = false;
    std::string text;
    with_server({greeting_line, event + "{\"return\": {}, \"id\": 1}\n",
                 event + event + "{\"return\": {\"status\": \"paused\"}, \"id\": 2}\n" + event,
                 "{\"error\": {\"desc\": \"no such file\"}, \"id\": 3}\n"},
                [&](const fs::path &path) {
                    auto qmp = Qmp::connect(path, soon());
                    if (!qmp || qmp->version() != QemuVersion{10, 2, 1})
                        return;
                    const auto status = qmp->execute("query-status", Json::object(), soon());
                    ok = status && (*status)["status"] == "paused";
                    refused = code_of(qmp->execute("pmemsave", Json::object(), soon())) == Errc::refused;
                    text = qmp->failure();
                    closed = code_of(qmp->execute("quit", Json::object(), soon())) == Errc::unreachable;
                });
    assert_true(ok && refused && closed);
    assert_true(text == "no such file");
}

void qmp_client_remembers_that_the_guest_was_stopped(void **) {
    bool before = true, after = false, at_end = true;
    with_server({greeting_line, "{\"return\": {}, \"id\": 1}\n", "{\"event\": \"STOP\"}\n{\"return\": {}, \"id\": 2}\n",
                 "{\"return\": {}, \"id\": 3}\n{\"event\": \"RES", "UME\"}\n"},
                [&](const fs::path &path) {
                    auto qmp = Qmp::connect(path, soon());
                    before = qmp->stopped();
                    (void)qmp->execute("a", Json::object(), soon());
                    after = qmp->stopped();
                    (void)qmp->execute("b", Json::object(), soon());
                    (void)qmp->execute("c", Json::object(), soon()); // the rest of the event, then the end
                    at_end = qmp->stopped();
                });
    assert_false(before);
    assert_true(after);
    assert_false(at_end);
}

void qmp_client_refuses_peers_that_do_not_speak_it(void **) {
    auto outcome = [](const std::vector<std::string> &script) {
        Errc code{0xff};
        with_server(script, [&](const fs::path &path) { code = code_of(Qmp::connect(path, soon())); });
        return code;
    };
    assert_true(outcome({"hello\n"}) == Errc::malformed);
    assert_true(outcome({"{\"return\": {}, \"id\": 1}\n"}) == Errc::malformed); // an answer before the greeting
    assert_true(outcome({""}) == Errc::unreachable);
    assert_true(outcome({greeting_line, "{\"return\": {}, \"id\": 9}\n"}) == Errc::malformed); // not what was asked
    assert_true(outcome({greeting_line, greeting_line}) == Errc::malformed);
    assert_true(outcome({std::string(max_qmp_line + 5000, 'x')}) == Errc::too_large); // no newline
    const auto before = std::chrono::steady_clock::now();
    assert_true(code_of(Qmp::connect("/tmp/cvmin-no-such-socket", before + std::chrono::milliseconds{50})) ==
                Errc::timed_out);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(emulated_machine_is_paused_with_its_hash_page_in_memory),
        cmocka_unit_test(emulated_machine_without_page_or_initrd_has_no_option_for_them),
        cmocka_unit_test(snp_machine_has_a_launch_context_and_the_kernels_vsock),
        cmocka_unit_test(snp_machine_hands_over_host_data_in_base64_and_can_leave_hashes_off),
        cmocka_unit_test(snp_machine_hands_over_an_id_block_in_base64),
        cmocka_unit_test(commas_in_paths_are_doubled_for_qemu),
        cmocka_unit_test(a_machine_with_a_vtpm_has_a_crb_device_on_its_socket_on_both_platforms),
        cmocka_unit_test(vsock_device_keeps_vms_apart),
        cmocka_unit_test(shell_quoting_survives_a_shell),
        cmocka_unit_test(qemu_version_is_read_from_its_first_line),
        cmocka_unit_test(an_old_qemu_is_refused_with_the_version_that_is_needed),
        cmocka_unit_test(a_child_that_cannot_start_is_an_error_and_not_a_status),
        cmocka_unit_test(a_child_that_ignores_sigterm_is_killed_after_its_grace),
        cmocka_unit_test(a_tree_ends_with_its_program_and_has_its_status),
        cmocka_unit_test(a_tree_that_is_stopped_is_ended_whole_after_its_grace),
        cmocka_unit_test(a_tree_ends_when_its_starter_is_killed),
        cmocka_unit_test(qmp_lines_are_told_apart),
        cmocka_unit_test(qmp_client_skips_events_and_reports_refusals),
        cmocka_unit_test(qmp_client_remembers_that_the_guest_was_stopped),
        cmocka_unit_test(qmp_client_refuses_peers_that_do_not_speak_it),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
