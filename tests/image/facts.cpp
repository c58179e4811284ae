// Throw-away PID 1 for tests/image/kernel.sh: prints what the kernel offers, one "FACT name: value" a line, and powers
// off. With "cvmin.test=panic" on the command line it returns instead, which must end the VM. Plain C library, no
// libc++.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

int main() {
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
    result("landlock", syscall(SYS_landlock_create_ruleset, nullptr, 0, 1));
    errno = 0; // with no filter given, EFAULT says that there are filters
    result("seccomp filter", prctl(PR_SET_SECCOMP, 2, nullptr));
    result("bpf", syscall(SYS_bpf, 0, nullptr, 0));
    result("io_uring", syscall(SYS_io_uring_setup, 1, nullptr));
    result("kexec", syscall(SYS_kexec_load, 0, 0, nullptr, 0));
    result("init_module", syscall(SYS_init_module, nullptr, 0, ""));
    result("memfd", syscall(SYS_memfd_create, "x", 0));
    result("user namespace", syscall(SYS_unshare, 0x10000000)); // CLONE_NEWUSER
    printf("FACT modules: %s\n", access("/proc/modules", F_OK) == 0 ? "yes" : "no");
    printf("FACT kcore: %s\n", access("/proc/kcore", F_OK) == 0 ? "yes" : "no");
    printf("FACT block: %s\n", access("/sys/block", F_OK) == 0 ? "yes" : "no");
    const int size = klogctl(3, buffer, sizeof buffer - 1);
    buffer[size < 0 ? 0 : size] = 0;
    printf("FACT hostile table: %s\n", strstr(buffer, "(v02 CVMIN  EVILTABL") ? "loaded" : "no trace");
    printf("FACT hostile write: %s\n",
           strstr(buffer, "AML is refused access to memory at 0x0000000001000000") ? "refused" : "no trace");
    printf("FACT end: yes\n");
    sync();
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}
