// Throw-away PID 1 for tests/image/kernel.sh: prints what the kernel offers, one "FACT name: value" a line, and powers
// off. With "cvmin.test=panic" on the command line it returns instead, which must end the VM. Plain C library, no
// libc++.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[1 << 18];

static const char *contents(const char *path) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t size = fd < 0 ? -1 : read(fd, buffer, sizeof buffer - 1);
    if (fd >= 0)
        close(fd);
    buffer[size < 0 ? 0 : size] = 0;
    return buffer;
}

static void file(const char *name, const char *path) {
    char *text = const_cast<char *>(contents(path));
    if (char *end = strchr(text, '\n'))
        *end = 0;
    printf("FACT %s: %s\n", name, text);
}

static void names(const char *name, const char *path) {
    printf("FACT %s:", name);
    if (DIR *dir = opendir(path)) {
        while (const dirent *entry = readdir(dir))
            if (entry->d_name[0] != '.')
                printf(" %s", entry->d_name);
        closedir(dir);
    }
    printf("\n");
}

static void result(const char *name, long value) {
    printf("FACT %s: %s\n", name, value >= 0 ? "yes" : strerror(errno));
}

// ---- what confines an algorithm ----

static constexpr int nobody = 65534;
static constexpr const char *cgroup = "/run/cgroup/algorithm";

static bool put(const char *directory, const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const bool done = fd >= 0 && write(fd, text, strlen(text)) == static_cast<ssize_t>(strlen(text));
    close(fd);
    return done;
}

// How a child that calls `run` ends: "exit N" or "signal N".
template <class Run> static void ends(const char *name, Run run) {
    const pid_t pid = fork();
    if (pid == 0) {
        run();
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    printf("FACT %s: %s %d\n", name, WIFSIGNALED(status) ? "signal" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void become_nobody() {
    if (setresgid(nobody, nobody, nobody) != 0 || setresuid(nobody, nobody, nobody) != 0)
        _exit(99);
    prctl(PR_SET_DUMPABLE, 1); // else it could not be attached to for that reason alone
}

static void join_cgroup() {
    char pid[16];
    snprintf(pid, sizeof pid, "%d", getpid());
    if (!put(cgroup, "cgroup.procs", pid))
        _exit(99);
}

static void limits() {
    result("controllers on", put("/run/cgroup", "cgroup.subtree_control", "+cpu +memory +pids") ? 0 : -1);
    mkdir(cgroup, 0700);
    result("limits", put(cgroup, "memory.max", "8388608") && put(cgroup, "memory.oom.group", "1") &&
                             put(cgroup, "pids.max", "4") && put(cgroup, "cpu.max", "50000 100000")
                         ? 0
                         : -1);
    ends("too much memory", [] {
        join_cgroup();
        void *const more = mmap(nullptr, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(more, 1, 32 << 20);
    });
    // a file in memory counts as memory of who wrote it
    ends("too large a file", [] {
        join_cgroup();
        const int fd = open("/run/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        for (int i = 0; i < 128; ++i)
            if (write(fd, buffer, sizeof buffer) < 0)
                _exit(1);
    });
    unlink("/run/file");
    ends("too many processes", [] {
        join_cgroup();
        for (int i = 0; i < 8; ++i) {
            const pid_t pid = fork();
            if (pid < 0)
                _exit(errno == EAGAIN ? i : 99);
            if (pid == 0)
                for (;;)
                    pause();
        }
    });
    int left = 0; // they are PID 1's children now
    const bool killed = put(cgroup, "cgroup.kill", "1");
    while (killed && waitpid(-1, nullptr, 0) > 0)
        ++left;
    printf("FACT cgroup.kill: %d\n", left);

    int pidfd = -1;
    clone_args args{};
    args.flags =
        CLONE_PIDFD | CLONE_INTO_CGROUP | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP;
    args.pidfd = reinterpret_cast<unsigned long long>(&pidfd);
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<unsigned long long>(open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        _exit(getpid()); // 1
    result("clone3", pid);
    siginfo_t info{};
    result("wait for a pidfd", waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED));
    printf("FACT pid in a namespace: %d\n", info.si_status);
    result("cgroup removed", rmdir(cgroup));
}

// A root of its own: not by pivot_root alone, which an initramfs does not allow.
static void own_root() {
    ends("own root", [] {
        const auto must = [](int step, long value) {
            if (value < 0)
                _exit(step);
        };
        must(1, syscall(SYS_unshare, CLONE_NEWNS));
        must(2, mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
        mkdir("/run/root", 0700);
        must(3, mount("tmpfs", "/run/root", "tmpfs", 0, "size=1m"));
        must(4, chdir("/run/root"));
        must(5, syscall(SYS_pivot_root, ".", ".") == 0 || errno != EINVAL ? -1 : 0);
        must(6, mount(".", "/", nullptr, MS_MOVE, nullptr));
        must(7, chroot("."));
        must(8, access("/run", F_OK) == 0 ? -1 : 0);
    });
}

static void executables() {
    const int exec = static_cast<int>(syscall(SYS_memfd_create, "algorithm", 0x12 /* MFD_ALLOW_SEALING | MFD_EXEC */));
    const int self = open("/init", O_RDONLY | O_CLOEXEC);
    for (ssize_t size; (size = read(self, buffer, sizeof buffer)) > 0;)
        if (write(exec, buffer, static_cast<size_t>(size)) != size)
            return;
    fchmod(exec, 0555);
    result("seals",
           fcntl(exec, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | 0x20 /* F_SEAL_EXEC */));
    result("write to sealed", write(exec, "x", 1));
    static char name[] = "algorithm";
    static char *argv[] = {name, nullptr}, *envp[] = {nullptr};
    ends("execute sealed", [&] {
        become_nobody();
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        syscall(SYS_execveat, exec, "", argv, envp, AT_EMPTY_PATH);
    });
    const int data = static_cast<int>(syscall(SYS_memfd_create, "data", 0x8 /* MFD_NOEXEC_SEAL */));
    result("data made executable", fchmod(data, 0777));
}

static void unprivileged() {
    const pid_t other = fork();
    if (other == 0) {
        become_nobody();
        raise(SIGSTOP);
    }
    waitpid(other, nullptr, WUNTRACED);
    ends("unprivileged", [&] {
        become_nobody();
        result("ptrace", ptrace(PTRACE_SEIZE, other, nullptr, nullptr));
        const long pidfd = syscall(SYS_pidfd_open, other, 0);
        result("pidfd_getfd", pidfd < 0 ? 0 : syscall(SYS_pidfd_getfd, pidfd, 0, 0));
        char path[32];
        snprintf(path, sizeof path, "/proc/%d/mem", other);
        result("other's memory", open(path, O_RDWR | O_CLOEXEC));
        result("PTRACE_TRACEME", ptrace(PTRACE_TRACEME, 0, nullptr, nullptr));
        result("kernel log", klogctl(3, buffer, 100));
        perf_event_attr attributes{};
        attributes.size = sizeof attributes;
        attributes.type = PERF_TYPE_SOFTWARE;
        attributes.exclude_kernel = attributes.exclude_hv = 1;
        result("perf", syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
        result("page at 61440",
               mmap(reinterpret_cast<void *>(61440), 4096, PROT_READ, flags, -1, 0) == MAP_FAILED ? -1 : 0);
        result("page at 65536",
               mmap(reinterpret_cast<void *>(65536), 4096, PROT_READ, flags, -1, 0) == MAP_FAILED ? -1 : 0);
    });
    result("ptrace by root", ptrace(PTRACE_SEIZE, other, nullptr, nullptr));
    kill(other, SIGKILL);
    waitpid(other, nullptr, 0);
}

int main(int, char **argv) {
    if (getpid() != 1)
        return strcmp(argv[0], "algorithm") == 0 && getuid() == nobody ? 7 : 8; // executables()
    setvbuf(stdout, nullptr, _IONBF, 0);
    result("descriptors", fcntl(0, F_GETFD) | fcntl(1, F_GETFD) | fcntl(2, F_GETFD));
    names("root", "/");
    result("dev", mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr));
    result("proc", mount("proc", "/proc", "proc", 0, nullptr));
    result("sys", mount("sysfs", "/sys", "sysfs", 0, nullptr));
    result("run", mount("tmpfs", "/run", "tmpfs", 0, nullptr));
    result("configfs", mount("configfs", "/sys/kernel/config", "configfs", 0, nullptr));
    result("securityfs", mount("securityfs", "/sys/kernel/security", "securityfs", 0, nullptr));
    result("cgroup2", mkdir("/run/cgroup", 0700) | mount("cgroup2", "/run/cgroup", "cgroup2", 0, nullptr));
    file("controllers", "/run/cgroup/cgroup.controllers");
    file("cmdline", "/proc/cmdline");
    if (strstr(buffer, "cvmin.test=panic"))
        return 1;
    file("version", "/proc/version");
    file("lockdown", "/sys/kernel/security/lockdown");
    file("lsm", "/sys/kernel/security/lsm");
    file("ima", "/sys/kernel/security/ima/ascii_runtime_measurements");
    file("cpus", "/sys/devices/system/cpu/online");
    file("memory", "/proc/meminfo");
    names("devices", "/dev");
    names("tsm", "/sys/kernel/config/tsm");
    result("report", mkdir("/sys/kernel/config/tsm/report/x", 0700));
    result("AF_VSOCK", socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
    result("AF_UNIX", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    result("AF_INET", socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    result("AF_PACKET", socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    printf("FACT landlock: %ld\n", syscall(SYS_landlock_create_ruleset, nullptr, 0, 1)); // version of its interface
    errno = 0; // with no filter given, EFAULT says that there are filters
    result("seccomp filter", prctl(PR_SET_SECCOMP, 2, nullptr));
    result("bpf", syscall(SYS_bpf, 0, nullptr, 0));
    result("io_uring", syscall(SYS_io_uring_setup, 1, nullptr));
    result("kexec", syscall(SYS_kexec_load, 0, 0, nullptr, 0));
    result("init_module", syscall(SYS_init_module, nullptr, 0, ""));
    result("memfd", syscall(SYS_memfd_create, "x", 0));
    result("user namespace", syscall(SYS_unshare, CLONE_NEWUSER));
    result("IPC namespace", syscall(SYS_unshare, CLONE_NEWIPC));
    limits();
    own_root();
    executables();
    unprivileged();
    file("page order", "/sys/module/page_alloc/parameters/shuffle");
    printf("FACT modules: %s\n", access("/proc/modules", F_OK) == 0 ? "yes" : "no");
    printf("FACT kcore: %s\n", access("/proc/kcore", F_OK) == 0 ? "yes" : "no");
    printf("FACT block: %s\n", access("/sys/block", F_OK) == 0 ? "yes" : "no");
    const int size = klogctl(3, buffer, sizeof buffer - 1);
    buffer[size < 0 ? 0 : size] = 0;
    printf("FACT hostile table: %s\n", strstr(buffer, "(v02 CVMIN  EVILTABL") ? "loaded" : "no trace");
    printf("FACT hostile write: %s\n",
           strstr(buffer, "AML is refused access to memory at 0x0000000001000000") ? "refused" : "no trace");
    printf("FACT writable and executable: %s\n",
           strstr(buffer, "Checked W+X mappings: passed") ? "none" : "not checked");
    char *init = strstr(buffer, "mem auto-init: ");
    if (init != nullptr)
        *strchrnul(init, '\n') = 0;
    printf("FACT cleared: %s\n", init == nullptr ? "no trace" : init + strlen("mem auto-init: "));
    printf("FACT end: yes\n");
    sync();
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}
