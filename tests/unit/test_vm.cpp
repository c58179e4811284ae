// The registry of CVMs: names, directories with an owner, dead and living, and vm.json.
#include "host-tools/base/text.hpp"
#include "tests/unit/cmocka.hpp"

#include "qemu/child.hpp"
#include "qemu/supervisor.hpp"
#include "qemu/vm.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cvmin;
namespace fs = std::filesystem;

namespace {

fs::path work;

int set_up(void **) {
    char name[] = "/tmp/cvmin-test-vm-XXXXXX";
    work = ::mkdtemp(name);
    return ::setenv("XDG_RUNTIME_DIR", work.c_str(), 1);
}
int tear_down(void **) {
    std::error_code error;
    fs::remove_all(work, error);
    return 0;
}

template <class T> Errc code_of(const Result<T> &result) {
    return result ? Errc{0xff} : result.error().code;
}
template <class T> Errc code_of(const Explained<T> &result) {
    return result ? Errc{0xff} : result.error().code;
}

Json sample() {
    return {{"schema", 1},
            {"name", "one"},
            {"state", "running"},
            {"platform", "emulated"},
            {"image", "/i/image.json"},
            {"cpu_model", "EPYC-v4"},
            {"vcpus", 2},
            {"vsock_socket", "/r/vsock"}};
}
Result<VmInfo> parsed(const Json &json) {
    return parse_vm_json(as_bytes(json.dump()));
}

// A process that owns the VM's directory until it is killed. Returns when it does.
pid_t owner_of(VmDirectory &directory) {
    int ends[2];
    if (::pipe(ends) != 0)
        abort();
    const pid_t pid = ::fork();
    if (pid == 0) {
        const bool owned = directory.write_owner().has_value();
        if (::write(ends[1], owned ? "y" : "n", 1) != 1)
            ::_exit(1);
        for (;;)
            ::pause();
    }
    char c = 0;
    if (::read(ends[0], &c, 1) != 1 || c != 'y')
        abort();
    ::close(ends[0]);
    ::close(ends[1]);
    directory.let_go();
    return pid;
}
void end(pid_t pid) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
}

void names_are_safe_as_file_names_and_options(void **) {
    for (const char *good : {"a", "0", "vm1", "a.b_c-d", "abcdefghijklmnopqrstuvwxyz012345"})
        assert_true(valid_vm_name(good));
    for (const char *bad : {"", ".", "..", "-a", "_a", ".lock", "A", "a/b", "a b", "a,b", "a\n", "\xc3\xa4",
                            "abcdefghijklmnopqrstuvwxyz0123456"})
        assert_false(valid_vm_name(bad));
}

void vm_json_is_read_and_every_gap_is_refused(void **) {
    const auto info = parsed(sample());
    assert_true(info && info->name == "one" && info->running && info->vcpus == 2 && info->cpu_model == "EPYC-v4");
    assert_true(std::get<UnixVsock>(info->address).socket == "/r/vsock");
    for (const char *member : {"schema", "name", "state", "platform", "image", "cpu_model", "vcpus", "vsock_socket"}) {
        Json without = sample();
        without.erase(member);
        assert_true(code_of(parsed(without)) == Errc::missing);
    }
    Json json = sample();
    json["schema"] = 2;
    assert_true(code_of(parsed(json)) == Errc::unsupported);
    json = sample();
    json["name"] = "../x";
    assert_true(code_of(parsed(json)) == Errc::malformed);
    json = sample();
    json["platform"] = "snp";
    assert_true(code_of(parsed(json)) == Errc::missing); // an SNP guest has a CID
    json["vsock_cid"] = 77;
    json["state"] = "starting";
    const auto snp = parsed(json);
    assert_true(snp && std::get<KernelVsock>(snp->address).cid == 77 && !snp->running);
    assert_true(code_of(parse_vm_json(as_bytes("{"))) == Errc::malformed);
}

void a_directory_has_one_owner(void **) {
    auto first = VmDirectory::create("one");
    assert_true(first.has_value());
    struct stat info{};
    assert_int_equal(::stat(first->path().c_str(), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    const auto second = VmDirectory::create("one");
    assert_true(code_of(second) == Errc::busy);
    assert_true(second.error().text.find("one") != std::string::npos);
    auto other = VmDirectory::create("");
    assert_true(other && other->name() == "vm1");
    auto another = VmDirectory::create("");
    assert_true(another && another->name() == "vm2");
    for (auto *each : {&*first, &*other, &*another})
        each->remove();
    assert_false(fs::exists(vms_directory() / "one"));
    assert_true(code_of(VmDirectory::create("a/b")) == Errc::usage);
}

void a_dead_owners_directory_is_taken_over_and_a_living_ones_is_not(void **) {
    auto directory = VmDirectory::create("one");
    assert_true(directory.has_value());
    const fs::path path = directory->path();
    assert_true(write_file(path / vm_file::json, as_bytes(sample().dump()), 0600).has_value());
    const pid_t owner = owner_of(*directory);
    assert_true(find_vm("one").has_value());
    assert_int_equal(list_vms()->size(), 1);
    const auto supervisor = find_supervisor(path);
    assert_true(supervisor && supervisor->pid == owner);
    assert_true(code_of(remove_dead_vm(path)) == Errc::busy);
    assert_true(code_of(VmDirectory::create("one")) == Errc::busy);

    end(owner);
    assert_true(code_of(find_supervisor(path)) == Errc::missing);
    auto again = VmDirectory::create("one"); // what the dead one left is gone
    assert_true(again.has_value());
    assert_false(fs::exists(path / vm_file::json));
    again->remove();
}

void looking_for_a_dead_vm_cleans_up_after_it(void **) {
    for (const bool by_listing : {true, false}) {
        auto directory = VmDirectory::create("dead");
        assert_true(directory.has_value());
        const fs::path path = directory->path();
        assert_true(write_file(path / vm_file::json, as_bytes(sample().dump()), 0600).has_value());
        end(owner_of(*directory));
        assert_true(fs::exists(path));
        if (by_listing)
            assert_int_equal(list_vms()->size(), 0);
        else
            assert_true(code_of(find_vm("dead")) == Errc::missing);
        assert_false(fs::exists(path));
    }
    assert_true(code_of(find_vm("never-was")) == Errc::missing);
    assert_true(code_of(find_vm("../..")) == Errc::missing);
}

// Runs with a runtime directory of its own under `work`.
class OtherRuntime {
  public:
    explicit OtherRuntime(const char *name) : base(work / name) {
        fs::create_directory(base);
        ::setenv("XDG_RUNTIME_DIR", base.c_str(), 1);
    }
    ~OtherRuntime() { ::setenv("XDG_RUNTIME_DIR", work.c_str(), 1); }
    fs::path base;
};

// Everybody who uses the VMs directory refuses it, saying which level and why; what it holds stays.
void assert_refused(const fs::path &level, const char *why) {
    const std::string wanted = level.native() + " was refused: it " + why;
    const auto says = [&](const auto &result) {
        return code_of(result) == Errc::system && result.error().text.find(wanted) != std::string::npos;
    };
    assert_true(says(open_vms_directory()));
    assert_true(says(list_vms()));
    assert_true(says(find_vm("victim")));
    assert_true(says(VmDirectory::create("victim")));
    assert_true(code_of(find_supervisor(vms_directory() / "victim")) == Errc::missing);
    assert_true(code_of(remove_dead_vm(vms_directory() / "victim")) == Errc::refused);
}

void a_vms_directory_that_somebody_else_could_have_made_is_refused(void **) {
    const OtherRuntime runtime{"planted"};
    const fs::path run = runtime.base / "cvmin", vms = run / "vms", elsewhere = runtime.base / "elsewhere";
    const auto none = open_vms_directory();
    assert_true(none && !*none);
    assert_true(list_vms() && list_vms()->empty());
    assert_true(code_of(find_vm("victim")) == Errc::missing);
    assert_false(fs::exists(run)); // looking makes nothing

    // as a dead VM would look
    fs::create_directories(elsewhere / "victim");
    fs::permissions(elsewhere, fs::perms::owner_all);
    fs::permissions(elsewhere / "victim", fs::perms::owner_all);
    const fs::path kept = elsewhere / "victim" / "kept";
    for (const fs::path &file : {kept, elsewhere / "victim" / vm_file::lock})
        assert_true(write_file(file, as_bytes("1 1\n"), 0600).has_value());

    fs::create_directory(run);
    fs::permissions(run, fs::perms::owner_all);
    fs::create_directory_symlink(elsewhere, vms);
    assert_refused(vms, "is a symbolic link");
    fs::remove(vms);

    assert_true(write_file(vms, as_bytes("x"), 0600).has_value());
    assert_refused(vms, "is not a directory");
    fs::remove(vms);

    fs::rename(elsewhere, vms);
    const fs::path there = vms / "victim" / "kept";
    for (const fs::path &level : {run, vms})
        for (const fs::perms writer : {fs::perms::group_write, fs::perms::others_write}) {
            fs::permissions(level, fs::perms::owner_all | writer);
            assert_refused(level, "may be written to by others");
            assert_true(code_of(make_private_directory(level)) == Errc::refused);
            fs::permissions(level, fs::perms::owner_all);
        }
    assert_true(fs::exists(there));

    fs::rename(run, elsewhere);
    fs::create_directory_symlink(elsewhere, run);
    assert_refused(run, "is a symbolic link");
    fs::remove(run);
    fs::rename(elsewhere, run);
    assert_true(fs::exists(there));

    // and once all is as it should be, the same directory is a dead VM that is cleaned up
    assert_true(list_vms() && list_vms()->empty());
    assert_false(fs::exists(vms / "victim"));
}

void a_directory_of_another_user_is_not_private(void **) {
    struct stat info{};
    assert_int_equal(::lstat(work.c_str(), &info), 0);
    assert_true(why_not_private(info).empty());
    ++info.st_uid;
    assert_true(why_not_private(info) == "belongs to another user");
}

void a_directory_without_a_lock_file_of_ours_is_never_removed(void **) {
    const OtherRuntime runtime{"lockless"};
    auto other = VmDirectory::create("other"); // makes the levels above
    assert_true(other.has_value());
    const fs::path directory = vms_directory() / "vm1", lock = directory / vm_file::lock;
    const fs::path target = runtime.base / "target";
    assert_true(write_file(target, as_bytes(""), 0600).has_value());
    const auto stays = [&] {
        (void)list_vms();
        (void)find_vm("vm1");
        const auto taken = VmDirectory::create("vm1");
        auto numbered = VmDirectory::create(""); // goes past it
        const bool passed = numbered && numbered->name() == "vm2";
        if (numbered)
            numbered->remove();
        return passed && code_of(taken) == Errc::busy && taken.error().text.find("no lock file") != std::string::npos &&
               code_of(remove_dead_vm(directory)) == Errc::refused && fs::exists(directory / "kept");
    };
    assert_int_equal(::mkdir(directory.c_str(), 0700), 0);
    assert_true(write_file(directory / "kept", as_bytes("x"), 0600).has_value());
    assert_true(stays());
    fs::create_symlink(target, lock); // a file of ours, but not this directory's
    assert_true(stays());
    fs::remove(lock);
    fs::create_directory(lock);
    assert_true(stays());
    fs::remove(lock);
    fs::remove(directory / "kept");
    auto taken = VmDirectory::create("vm1"); // an empty one is what a creation that was cut short leaves
    assert_true(taken.has_value());
    taken->remove();
    assert_false(fs::exists(directory));
    other->remove();
}

void many_at_once_get_different_names(void **) {
    constexpr int count = 8;
    pid_t pids[count];
    for (pid_t &pid : pids) {
        pid = ::fork();
        if (pid == 0) {
            auto directory = VmDirectory::create("");
            if (!directory)
                ::_exit(1);
            for (;;)
                ::pause();
        }
    }
    // each one holds its own; wait for all of them
    std::size_t found = 0;
    for (int i = 0; i < 500 && found < count; ++i) {
        found = 0;
        std::error_code error;
        for (const auto &entry : fs::directory_iterator(vms_directory(), error))
            found += entry.is_directory() ? 1 : 0;
        ::usleep(10000);
    }
    bool all_held = true;
    for (int i = 1; i <= count; ++i)
        all_held = all_held && code_of(VmDirectory::create("vm" + std::to_string(i))) == Errc::busy;
    for (pid_t pid : pids)
        end(pid);
    (void)list_vms();
    assert_int_equal(found, count);
    assert_true(all_held);
}

void a_socket_path_that_is_too_long_is_named(void **) {
    assert_true(check_socket_paths("/tmp/" + std::string(91, 'x')).has_value()); // with /vsock_5001: 107
    const auto refused = check_socket_paths("/tmp/" + std::string(92, 'x'));
    assert_true(code_of(refused) == Errc::out_of_range);
    assert_true(refused.error().text.find("has 108 bytes, but a Unix socket allows 107") != std::string::npos);
}

void a_process_is_known_by_pid_and_start_time(void **) {
    const auto started = process_start_time(::getpid());
    assert_true(started && *started > 0);
    assert_true(open_process(::getpid(), *started).has_value());
    assert_true(code_of(open_process(::getpid(), *started + 1)) == Errc::missing);
    assert_true(code_of(open_process(0x3fffffff, 1)) == Errc::missing);
}

// From now on the kernel is one without pidfd_open, for this process and its children.
bool take_pidfd_open_away() {
    sock_filter filter[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_pidfd_open},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    const sock_fprog program{.len = std::size(filter), .filter = filter};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

void a_child_without_a_pidfd_is_killed_and_reaped_at_once(void **) {
    enum Outcome : int { as_wanted, no_filter, wrong_result, not_reaped, too_slow };
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::alarm(30);
        if (!take_pidfd_open_away())
            ::_exit(no_filter);
        const auto began = std::chrono::steady_clock::now();
        if (code_of(Child::start({"sleep", "60"}, {})) != Errc::system)
            ::_exit(wrong_result);
        if (::waitpid(-1, nullptr, WNOHANG) != -1 || errno != ECHILD)
            ::_exit(not_reaped);
        ::_exit(std::chrono::steady_clock::now() - began < std::chrono::seconds{5} ? as_wanted : too_slow);
    }
    int status = 0;
    assert_int_equal(::waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), as_wanted);
}

void a_child_is_waited_for_within_limits(void **) {
    auto child = Child::start({"sleep", "60"}, {});
    assert_true(child.has_value());
    assert_true(!child->wait(std::chrono::milliseconds{20}));
    assert_int_equal(child->stop(std::chrono::seconds{10}), 128 + SIGTERM);
    auto seven = Child::start({"sh", "-c", "exit 7"}, {});
    assert_true(seven.has_value());
    assert_true(seven->wait(std::chrono::seconds{10}) == 7);
}

void what_a_guest_writes_cannot_drive_a_terminal(void **) {
    assert_true(printable_text("a\tb\r\n\x1b[2J\x07\x9b\xff") == "a\tb\n\\x1b[2J\\x07\\x9b\\xff");
    const fs::path log = work / "log";
    assert_true(write_file(log, as_bytes("one\ntwo\r\nthree\x1b\n\n"), 0600).has_value());
    assert_true(log_tail(log, 2) == "two\nthree\\x1b");
    assert_true(log_tail(log, 9) == "one\ntwo\nthree\\x1b");
    assert_true(log_tail(work / "none", 9).empty());
    assert_true(write_file(log, as_bytes(std::string(10000, 'x')), 0600).has_value());
    assert_int_equal(log_tail(log, 9).size(), 4096);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(names_are_safe_as_file_names_and_options),
        cmocka_unit_test(vm_json_is_read_and_every_gap_is_refused),
        cmocka_unit_test(a_directory_has_one_owner),
        cmocka_unit_test(a_dead_owners_directory_is_taken_over_and_a_living_ones_is_not),
        cmocka_unit_test(looking_for_a_dead_vm_cleans_up_after_it),
        cmocka_unit_test(a_vms_directory_that_somebody_else_could_have_made_is_refused),
        cmocka_unit_test(a_directory_of_another_user_is_not_private),
        cmocka_unit_test(a_directory_without_a_lock_file_of_ours_is_never_removed),
        cmocka_unit_test(many_at_once_get_different_names),
        cmocka_unit_test(a_socket_path_that_is_too_long_is_named),
        cmocka_unit_test(a_process_is_known_by_pid_and_start_time),
        cmocka_unit_test(a_child_without_a_pidfd_is_killed_and_reaped_at_once),
        cmocka_unit_test(a_child_is_waited_for_within_limits),
        cmocka_unit_test(what_a_guest_writes_cannot_drive_a_terminal),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
