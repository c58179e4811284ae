// The sandbox without a kernel's help: what the filter answers to every call, by an interpreter of classic BPF, and
// what is taken from an output folder. What needs namespaces is tests/vm/sandbox.sh's.
#include "agent-min/file.hpp"
#include "agent-min/sandbox.hpp"
#include "agent-min/seccomp_filter.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/cmocka.hpp"

using namespace cvmin;
using namespace cvmin::agent;

namespace {

constexpr std::uint32_t x86_64 = 0xc000'003e, i386 = 0x4000'0003, aarch64 = 0xc000'00b7;
constexpr std::uint32_t kill_process = 0x8000'0000, allowed = 0x7fff'0000, error = 0x0005'0000;
constexpr std::uint32_t answered = 0xffff'ffff; // by no instruction: the program is wrong

using Arguments = std::array<std::uint64_t, 6>;

// As much of classic BPF as seccomp takes from us. Linux, Documentation/networking/filter.rst.
std::uint32_t evaluate(std::uint32_t architecture, std::uint32_t number, const Arguments &arguments = {}) {
    const auto program = algorithm_filter();
    std::uint32_t a = 0;
    for (std::size_t at = 0; at < program.size(); ++at) {
        const sock_filter &now = program[at];
        switch (now.code) {
        case 0x20: // ld [k]: of int nr, __u32 arch, __u64 instruction_pointer, __u64 args[6]
            if (now.k == 0)
                a = number;
            else if (now.k == 4)
                a = architecture;
            else if (now.k >= 16 && now.k < 64 && now.k % 8 == 0)
                a = static_cast<std::uint32_t>(arguments[(now.k - 16) / 8]);
            else
                return answered;
            break;
        case 0x15:
            at += a == now.k ? now.jt : now.jf;
            break; // jeq
        case 0x35:
            at += a >= now.k ? now.jt : now.jf;
            break; // jge
        case 0x45:
            at += (a & now.k) != 0 ? now.jt : now.jf;
            break; // jset
        case 0x06:
            return now.k; // ret
        default:
            return answered;
        }
    }
    return answered;
}
std::uint32_t on(long number, const Arguments &arguments = {}) {
    return evaluate(x86_64, static_cast<std::uint32_t>(number), arguments);
}

bool by_argument(std::uint32_t number) {
    return std::ranges::any_of(argument_rules, [&](const ArgumentRule &rule) { return rule.number == number; });
}

class Folder {
  public:
    Folder() {
        char name[] = "/tmp/cvmin-outputs-XXXXXX";
        if (::mkdtemp(name) == nullptr)
            abort();
        path_ = name;
        fd_ = ::open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;
    ~Folder() {
        ::close(fd_);
        std::filesystem::remove_all(path_);
    }
    int fd() const { return fd_; }
    std::string at(const std::string &name) const { return path_ + '/' + name; }
    void write(const std::string &name, std::string_view text) const {
        std::ofstream{at(name), std::ios::binary | std::ios::trunc} << text;
    }
    Error refusal(std::uint64_t most_bytes = 100) const {
        const auto listed = list_outputs(fd_, most_bytes);
        return listed ? Error{Errc::usage, "listed"} : listed.error();
    }

  private:
    std::string path_;
    int fd_ = -1;
};

} // namespace

static void the_kernel_takes_the_filter(void **) {
    const auto program = algorithm_filter();
    assert_in_range(program.size(), 10, 4096);
    for (std::size_t at = 0; at < program.size(); ++at) {
        const bool jump = (program[at].code & 7) == 5;
        assert_true(!jump || at + 1 + std::max(program[at].jt, program[at].jf) < program.size());
    }
    assert_int_equal(program.back().code & 7, 6); // the last one answers
}

static void every_line_of_the_list_holds(void **) {
    std::map<std::uint32_t, std::uint32_t> listed;
    for (const SyscallRule &rule : syscall_rules)
        listed[rule.number] = rule.action;
    std::size_t wrong = 0;
    for (std::uint32_t number = 0; number < 2000; ++number) {
        const auto found = listed.find(number);
        const std::uint32_t wanted = found == listed.end() ? error | ENOSYS : found->second;
        wrong += !by_argument(number) && on(number) != wanted;
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(listed.size(), std::size(syscall_rules));
    for (const std::uint32_t number : {2000u, 0x3fff'ffffu})
        assert_int_equal(on(number), error | ENOSYS);
}

static void every_argument_decides(void **) {
    std::size_t wrong = 0;
    for (const ArgumentRule &rule : argument_rules) {
        std::uint32_t all = 0;
        for (const std::uint32_t value : rule.values) {
            for (const std::uint64_t above : {std::uint64_t{0}, std::uint64_t{1} << 32, ~std::uint64_t{0} << 32}) {
                Arguments arguments{};
                arguments[rule.argument] = value | above;
                wrong += on(rule.number, arguments) != rule.then;
            }
            all |= value;
        }
        for (const std::uint32_t value : {0u, 1u, 7u, 0x1234u, 0x7fff'fff0u, 0xffff'fff0u}) {
            const bool hit = rule.test == ArgumentRule::Test::one_of ? std::ranges::contains(rule.values, value)
                                                                     : (value & all) != 0;
            for (std::uint64_t elsewhere : {0u, 0x1000u, 40u}) { // the other arguments do not
                Arguments arguments;
                arguments.fill(elsewhere);
                arguments[rule.argument] = value;
                wrong += on(rule.number, arguments) != (hit ? rule.then : rule.otherwise);
            }
        }
    }
    assert_int_equal(wrong, 0);
}

static void other_architectures_end_the_process(void **) {
    std::size_t wrong = 0;
    for (std::uint32_t number = 0; number < 2000; ++number) {
        for (const std::uint32_t architecture : {i386, aarch64, 0u, 0x3eu})
            wrong += evaluate(architecture, number) != kill_process;
        wrong += on(number | 0x4000'0000u) != kill_process; // x32
        wrong += on(number | 0xc000'0000u) != kill_process;
    }
    assert_int_equal(wrong, 0);
}

// By hand, not by the list: numbers of arch/x86/entry/syscalls/syscall_64.tbl.
static void dangerous_calls_end_the_process(void **) {
    for (const int number : {101 /* ptrace */,
                             310 /* process_vm_readv */,
                             311 /* process_vm_writev */,
                             438 /* pidfd_getfd */,
                             440 /* process_madvise */,
                             312 /* kcmp */,
                             321 /* bpf */,
                             298 /* perf_event_open */,
                             323 /* userfaultfd */,
                             248 /* add_key */,
                             249 /* request_key */,
                             250 /* keyctl */,
                             165 /* mount */,
                             166 /* umount2 */,
                             155 /* pivot_root */,
                             161 /* chroot */,
                             428 /* open_tree */,
                             429 /* move_mount */,
                             430 /* fsopen */,
                             431 /* fsconfig */,
                             432 /* fsmount */,
                             433 /* fspick */,
                             442 /* mount_setattr */,
                             272 /* unshare */,
                             308 /* setns */,
                             175 /* init_module */,
                             313 /* finit_module */,
                             176 /* delete_module */,
                             246 /* kexec_load */,
                             320 /* kexec_file_load */,
                             169 /* reboot */,
                             172 /* iopl */,
                             173 /* ioperm */,
                             167 /* swapon */,
                             168 /* swapoff */,
                             179 /* quotactl */,
                             103 /* syslog */,
                             304 /* open_by_handle_at */,
                             227 /* clock_settime */})
        assert_int_equal(on(number), kill_process);
    for (const std::uint64_t flag :
         {0x2'0000u, 0x200'0000u, 0x400'0000u, 0x800'0000u, 0x1000'0000u, 0x2000'0000u, 0x4000'0000u})
        assert_int_equal(on(56, {flag | 17}), kill_process); // clone with CLONE_NEW*
    assert_int_equal(on(41, {40, 1}), kill_process);         // socket(AF_VSOCK)
}

static void nothing_of_these_is_ever_allowed(void **) {
    for (const int number : {41 /* socket */,
                             53 /* socketpair */,
                             42 /* connect */,
                             49 /* bind */,
                             44 /* sendto */,
                             46 /* sendmsg */,
                             319 /* memfd_create */,
                             447 /* memfd_secret */,
                             425 /* io_uring_setup */,
                             426 /* io_uring_enter */,
                             435 /* clone3 */,
                             59 /* execve */,
                             105 /* setuid */,
                             117 /* setresuid */,
                             106 /* setgid */,
                             119 /* setresgid */,
                             116 /* setgroups */,
                             126 /* capset */,
                             86 /* link */,
                             265 /* linkat */,
                             88 /* symlink */,
                             266 /* symlinkat */,
                             133 /* mknod */,
                             259 /* mknodat */,
                             29 /* shmget */,
                             240 /* mq_open */,
                             317 /* seccomp */,
                             444 /* landlock_create_ruleset */,
                             434 /* pidfd_open */})
        for (const std::uint64_t value :
             {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{16}, ~std::uint64_t{0}}) {
            Arguments arguments;
            arguments.fill(value);
            assert_int_not_equal(on(number, arguments), allowed);
        }
    assert_int_not_equal(on(322, {0, 0, 0, 0, 0}), allowed);    // execveat by path
    assert_int_not_equal(on(16, {0, 0x5412}), allowed);         // ioctl TIOCSTI
    assert_int_not_equal(on(302, {2, 7}), allowed);             // prlimit64 of another process
    for (const std::uint64_t option : {22u, 35u, 28u, 24u, 8u}) // prctl SECCOMP, MM, SECUREBITS, CAPBSET_DROP, KEEPCAPS
        assert_int_not_equal(on(157, {option}), allowed);
}

static void what_programs_start_with_is_allowed(void **) {
    for (const int number : {0 /* read */,
                             1 /* write */,
                             2 /* open */,
                             3 /* close */,
                             9 /* mmap */,
                             10 /* mprotect */,
                             11 /* munmap */,
                             12 /* brk */,
                             13 /* rt_sigaction */,
                             14 /* rt_sigprocmask */,
                             20 /* writev */,
                             56 /* clone */,
                             60 /* exit */,
                             61 /* wait4 */,
                             131 /* sigaltstack */,
                             186 /* gettid */,
                             202 /* futex */,
                             204 /* sched_getaffinity */,
                             218 /* set_tid_address */,
                             228 /* clock_gettime */,
                             231 /* exit_group */,
                             257 /* openat */,
                             262 /* newfstatat */,
                             273 /* set_robust_list */,
                             318 /* getrandom */,
                             332 /* statx */,
                             334 /* rseq */})
        assert_int_equal(on(number), allowed);
    assert_int_equal(on(158, {0x1002}), allowed);          // arch_prctl(ARCH_SET_FS)
    assert_int_equal(on(56, {0x3d'0f00}), allowed);        // clone of a thread, as glibc and musl make it
    assert_int_equal(on(56, {0x5'0f00}), allowed);         // of Go
    assert_int_equal(on(16, {1, 0x5413}), allowed);        // ioctl(TIOCGWINSZ): is it a terminal
    assert_int_equal(on(302, {0, 3, 0, 0x7ff0}), allowed); // prlimit64 of itself
    assert_int_equal(on(322, {4, 0x7000, 0x7000, 0x7000, 0x1000}), allowed); // execveat(AT_EMPTY_PATH)
}

static void outputs_are_listed_by_name(void **) {
    const Folder folder;
    const auto none = list_outputs(folder.fd(), 100);
    folder.write("b.csv", "12345");
    folder.write("a", "");
    folder.write("Z-1_x", "678");
    folder.write(".hidden", "9");
    folder.write(std::string(64, 'x'), "");
    const auto listed = list_outputs(folder.fd(), 9); // exactly what there is
    std::string found;
    if (listed)
        for (const OutputFile &file : *listed)
            found += file.name + ' ' + std::to_string(file.size) + ' ';
    const bool as_wanted = found == ".hidden 1 Z-1_x 3 a 0 b.csv 5 " + std::string(64, 'x') + " 0 ";
    assert_true(none && none->empty());
    assert_true(as_wanted);
    assert_true((folder.refusal(8) == Error{Errc::too_large, "output.size", 8}));
}

static void other_outputs_are_refused(void **) {
    constexpr Error kind{Errc::unsupported, "output.kind"}, name{Errc::malformed, "output.name"};
    const Folder folder;
    folder.write("good", "1");
    std::filesystem::create_directory(folder.at("folder"));
    assert_true(folder.refusal() == kind);
    std::filesystem::remove(folder.at("folder"));
    std::filesystem::create_symlink("good", folder.at("link"));
    assert_true(folder.refusal() == kind);
    std::filesystem::remove(folder.at("link"));
    std::filesystem::create_hard_link(folder.at("good"), folder.at("second"));
    assert_true(folder.refusal() == kind);
    std::filesystem::remove(folder.at("second"));
    assert_int_equal(::mkfifo(folder.at("fifo").c_str(), 0600), 0);
    assert_true(folder.refusal() == kind);
    std::filesystem::remove(folder.at("fifo"));
    for (const char *bad : {"a b", "a\n", "\xc3\xa4", "a:b", "-\\"}) {
        folder.write(bad, "");
        assert_true(folder.refusal() == name);
        std::filesystem::remove(folder.at(bad));
    }
    folder.write(std::string(65, 'x'), "");
    assert_true(folder.refusal() == name);
    std::filesystem::remove(folder.at(std::string(65, 'x')));
    assert_true((folder.refusal() == Error{Errc::usage, "listed"}));
}

static void too_much_output_is_refused(void **) {
    const Folder folder;
    for (int i = 0; i < 64; ++i)
        folder.write(std::to_string(i), "");
    assert_true((folder.refusal() == Error{Errc::usage, "listed"}));
    folder.write("64", "");
    assert_true((folder.refusal() == Error{Errc::too_large, "output.files", 64}));
    const Folder holes; // sizes whose sum does not fit in 64 bits would not help either
    for (const char *name : {"a", "b", "c"}) {
        holes.write(name, "");
        assert_int_equal(::truncate(holes.at(name).c_str(), std::int64_t{1} << 40), 0);
    }
    assert_true((holes.refusal((std::uint64_t{3} << 40) - 1) ==
                 Error{Errc::too_large, "output.size", (std::uint64_t{3} << 40) - 1}));
    assert_true((holes.refusal(std::uint64_t{3} << 40) == Error{Errc::usage, "listed"}));
}

static void outputs_are_read_in_pieces(void **) {
    const Folder folder;
    folder.write("result", "0123456789");
    std::array<std::byte, 4> piece{};
    const auto read = [&](const char *name, std::uint64_t offset) {
        const auto done = read_output_file(folder.fd(), name, offset, piece);
        return done ? Errc::usage : done.error().code;
    };
    assert_true(read("result", 6) == Errc::usage);
    assert_memory_equal(piece.data(), "6789", 4);
    assert_true(read("result", 7) == Errc::truncated);
    assert_true(read("result", 1000) == Errc::truncated);
    assert_true(read("none", 0) == Errc::system);
    assert_true(read("../result", 0) == Errc::malformed);
    assert_true(read("", 0) == Errc::malformed);
    std::filesystem::create_symlink("result", folder.at("link"));
    assert_true(read("link", 0) == Errc::system);
}

static void number_behind_a_key_is_found_in_its_line(void **) {
    const std::string_view meminfo = "MemTotal:  81532 kB\nMemAvailable:   65904 kB\nX: 1\n";
    assert_true(number_behind(meminfo, "MemAvailable:") == 65904u && number_behind(meminfo, "MemTotal:") == 81532u);
    assert_true(number_behind("a 1\noom_kill 7", "oom_kill ") == 7u && number_behind("12\n", "") == 12u);
    for (const std::string_view text :
         {"", "\n\n", "b 1\n", "xa 1", "a", "a ", "a x", "a -1", "a 99999999999999999999"})
        assert_false(number_behind(text, "a").has_value());
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(number_behind_a_key_is_found_in_its_line),
        cmocka_unit_test(the_kernel_takes_the_filter),
        cmocka_unit_test(every_line_of_the_list_holds),
        cmocka_unit_test(every_argument_decides),
        cmocka_unit_test(other_architectures_end_the_process),
        cmocka_unit_test(dangerous_calls_end_the_process),
        cmocka_unit_test(nothing_of_these_is_ever_allowed),
        cmocka_unit_test(what_programs_start_with_is_allowed),
        cmocka_unit_test(outputs_are_listed_by_name),
        cmocka_unit_test(other_outputs_are_refused),
        cmocka_unit_test(too_much_output_is_refused),
        cmocka_unit_test(outputs_are_read_in_pieces),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
