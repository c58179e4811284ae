// What an algorithm might try: argv[1] names it. Runs as a static program in the sandbox of a guest; says on standard
// output what came of it, one "NAME: RESULT" a line, for sandbox_init.cpp to judge. The calls and what they should give
// are typed here by hand, not taken from the agent's list.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *error_name(int error) {
    switch (error) {
    case 0:
        return "ok";
    case EPERM:
        return "EPERM";
    case ENOENT:
        return "ENOENT";
    case ESRCH:
        return "ESRCH";
    case EBADF:
        return "EBADF";
    case EAGAIN:
        return "EAGAIN";
    case ENOMEM:
        return "ENOMEM";
    case EACCES:
        return "EACCES";
    case EFAULT:
        return "EFAULT";
    case EEXIST:
        return "EEXIST";
    case EXDEV:
        return "EXDEV";
    case EINVAL:
        return "EINVAL";
    case ENOTTY:
        return "ENOTTY";
    case EFBIG:
        return "EFBIG";
    case ENOSPC:
        return "ENOSPC";
    case EROFS:
        return "EROFS";
    case ENOSYS:
        return "ENOSYS";
    case EAFNOSUPPORT:
        return "EAFNOSUPPORT";
    default:
        return "another error";
    }
}
static void say(const char *name, long result) {
    printf("%s: %s\n", name, result < 0 ? error_name(errno) : "ok");
    fflush(stdout);
}

// The first process of the namespace is not killed by what it does to itself, a child is.
static int in_child(void (*act)(const void *), const void *with) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        act(with);
        _exit(0);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return status;
}

// ---- what it finds
// ------------------------------------------------------------------------------------------------------
static int hello(int argc, char **argv, char **env) {
    for (int i = 0; i < argc; ++i)
        printf("argv: %s\n", argv[i]);
    for (; *env; ++env)
        printf("env: %s\n", *env);
    printf("ids: %d %d %d %d %d\n", getpid(), getppid(), getuid(), getgid(), getgroups(0, NULL));
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2] = {{1, 1, 1}, {1, 1, 1}};
    syscall(SYS_capget, &header, caps);
    int bounding = 0;
    for (int i = 0; i < 64; ++i)
        bounding += prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1;
    printf("capabilities: %x %x %x %d\n", caps[0].effective | caps[1].effective, caps[0].permitted | caps[1].permitted,
           caps[0].inheritable | caps[1].inheritable, bounding);
    printf("no_new_privs: %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    printf("descriptors:");
    for (int fd = 0; fd < 4096; ++fd)
        if (fcntl(fd, F_GETFD) >= 0)
            printf(" %d", fd);
    char text[256] = "";
    printf("\ninput: %zd bytes\n", read(0, text, sizeof text));
    printf("cwd: %s\n", getcwd(text, sizeof text));
    FILE *in = fopen("/in/numbers", "r");
    long sum = 0, value;
    while (in && fscanf(in, "%ld", &value) == 1)
        sum += value;
    FILE *out = fopen("sum", "w");
    if (!out || fprintf(out, "%ld\n", sum) < 0 || fclose(out) != 0)
        return 1;
    struct statvfs room;
    say("statvfs", statvfs("/out", &room));
    fprintf(stderr, "to standard error\n");
    return 7;
}

// ---- processes, memory, time, output
// -----------------------------------------------------------------------------------
static int forks(void) {
    int children = 0;
    pid_t child;
    while (children < 10000 && (child = fork()) > 0)
        ++children;
    if (child == 0)
        for (;;)
            pause();
    printf("children: %d, then %s\n", children, error_name(errno));
    return 0;
}
static int fork_bomb(void) {
    for (;;)
        fork();
}
static void eat(void) {
    for (;;) {
        void *pages = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages != MAP_FAILED)
            memset(pages, 1, 1 << 20);
    }
}
static int eat_in_children(void) {
    for (int i = 0; i < 4; ++i)
        if (fork() == 0)
            eat();
    for (;;)
        pause();
}
static int fill(const char *name) {
    static char block[65536];
    memset(block, 'x', sizeof block);
    const int fd = open(name, O_WRONLY | O_CREAT, 0600);
    long total = 0;
    ssize_t wrote;
    while ((wrote = write(fd, block, sizeof block)) > 0)
        total += wrote;
    printf("written: %ld, then %s\n", total, error_name(errno));
    return 0;
}
static int fill_two(void) { // the limit of a file is that of the folder: only a second one finds the folder full
    fill("/out/one");
    return fill("/out/two");
}
static int many_files(void) {
    int files = 0;
    char name[32];
    for (;; ++files) {
        snprintf(name, sizeof name, "/out/%d", files);
        if (open(name, O_WRONLY | O_CREAT, 0600) < 0)
            break;
    }
    printf("files: %d, then %s\n", files, error_name(errno));
    return 0;
}
static int sparse(void) {
    char name[32];
    signal(SIGXFSZ, SIG_IGN);
    say("beyond", ftruncate(open("/out/beyond", O_WRONLY | O_CREAT, 0600), 1L << 40));
    unlink("/out/beyond");
    for (int i = 0; i < 8; ++i) {
        snprintf(name, sizeof name, "/out/%d", i);
        say("hole", ftruncate(open(name, O_WRONLY | O_CREAT, 0600), 1 << 20));
    }
    return 0;
}
static int spin(void) {
    for (volatile unsigned long i = 0;; ++i)
        ;
}
static int spin_in_children(void) {
    for (int i = 0; i < 4; ++i)
        if (fork() == 0)
            spin();
    for (;;)
        pause();
}
static int flood(void) {
    static char block[65536];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 64; ++i)
        if (write(1 + i % 2, block, sizeof block) != sizeof block)
            return 1;
    return 0;
}

// ---- system calls
// ----------------------------------------------------------------------------------------------------------
struct call {
    const char *name;
    long number;
    long arguments[6];
};
static void make_call(const void *with) {
    const struct call *call = with;
    const long *a = call->arguments;
    _exit(syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]) < 0 ? errno : 0);
}
static void report_call(const struct call *call) {
    const int status = in_child(make_call, call);
    if (WIFSIGNALED(status))
        printf("%s: signal %d\n", call->name, WTERMSIG(status));
    else
        printf("%s: %s\n", call->name, error_name(WEXITSTATUS(status)));
}
#define CALL(name, ...)                                                                                                \
    {                                                                                                                  \
        #name, SYS_##name, {                                                                                           \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
static int dangerous_calls(void) {
    static const struct call calls[] = {
        CALL(ptrace, 0),
        CALL(process_vm_readv, 1),
        CALL(process_vm_writev, 1),
        {"pidfd_getfd", 438, {0}},
        {"process_madvise", 440, {0}},
        CALL(kcmp, 1, 1),
        CALL(bpf, 0),
        CALL(perf_event_open, 0),
        CALL(userfaultfd, 0),
        CALL(add_key, 0),
        CALL(request_key, 0),
        CALL(keyctl, 0),
        CALL(mount, 0),
        CALL(umount2, 0),
        CALL(pivot_root, 0),
        CALL(chroot, 0),
        {"open_tree", 428, {0}},
        {"move_mount", 429, {0}},
        {"fsopen", 430, {0}},
        {"fsconfig", 431, {0}},
        {"fsmount", 432, {0}},
        {"fspick", 433, {0}},
        {"mount_setattr", 442, {0}},
        CALL(unshare, 0),
        CALL(unshare, CLONE_NEWUSER),
        CALL(setns, 0),
        CALL(init_module, 0),
        CALL(finit_module, 0),
        CALL(delete_module, 0),
        CALL(kexec_load, 0),
        CALL(kexec_file_load, 0),
        CALL(reboot, 0xfee1dead, 672274793, 0x4321fedc),
        CALL(swapon, 0),
        CALL(swapoff, 0),
        CALL(quotactl, 0),
        {"quotactl_fd", 443, {0}},
        CALL(acct, 0),
        CALL(syslog, 3),
        CALL(settimeofday, 0),
        CALL(clock_settime, 0),
        CALL(sethostname, 0),
        CALL(setdomainname, 0),
        CALL(iopl, 3),
        CALL(ioperm, 0),
        CALL(modify_ldt, 0),
        CALL(vhangup, 0),
        CALL(open_by_handle_at, 0),
        CALL(fanotify_init, 0),
        CALL(move_pages, 0),
        CALL(migrate_pages, 0),
        {"process_mrelease", 448, {0}},
        {"clone NEWNS", SYS_clone, {CLONE_NEWNS | SIGCHLD}},
        {"clone NEWUSER", SYS_clone, {CLONE_NEWUSER | SIGCHLD}},
        {"clone NEWPID", SYS_clone, {CLONE_NEWPID | SIGCHLD}},
        {"clone NEWNET", SYS_clone, {CLONE_NEWNET | SIGCHLD}},
        {"clone NEWUTS", SYS_clone, {CLONE_NEWUTS | SIGCHLD}},
        {"clone NEWIPC", SYS_clone, {CLONE_NEWIPC | SIGCHLD}},
        {"clone NEWCGROUP", SYS_clone, {0x02000000 | SIGCHLD}},
        // bits above the 32 that the kernel looks at hide nothing
        {"clone NEWNS high", SYS_clone, {CLONE_NEWNS | SIGCHLD | 0x100000000}},
        {"AF_VSOCK", SYS_socket, {40, SOCK_STREAM}},
        {"AF_VSOCK datagram", SYS_socket, {40, SOCK_DGRAM}},
        {"AF_VSOCK high", SYS_socket, {40 | 0x100000000, SOCK_STREAM}},
        {"AF_VSOCK pair", SYS_socketpair, {40, SOCK_STREAM}},
        {"x32 getpid", SYS_getpid | 0x40000000, {0}},
        {"x32 ptrace", 521 | 0x40000000, {0}},
    };
    for (size_t i = 0; i < COUNT(calls); ++i)
        report_call(&calls[i]);
    return 0;
}
static int refused_calls(void) {
    static char path[] = "/out/x", empty[] = "";
    static char *none[] = {NULL};
    const struct call calls[] = {
        {"AF_UNIX", SYS_socket, {1, SOCK_STREAM}},
        {"AF_INET", SYS_socket, {2, SOCK_STREAM}},
        {"AF_NETLINK", SYS_socket, {16, SOCK_RAW}},
        {"AF_ALG", SYS_socket, {38, 5}},
        {"AF_PACKET", SYS_socket, {17, SOCK_RAW}},
        {"AF_UNIX pair", SYS_socketpair, {1, SOCK_STREAM}},
        CALL(connect, 0),
        CALL(bind, 0),
        CALL(sendmsg, 0),
        CALL(memfd_create, (long)empty, 0),
        {"memfd_secret", 447, {0}},
        {"io_uring_setup", SYS_io_uring_setup, {8, 0}},
        {"clone3", 435, {0}},
        {"seccomp", 317, {0}},
        {"landlock", 444, {0}},
        {"pidfd_open", 434, {1}},
        {"no such call", 1000, {0}},
        {"no such call either", 0x3fffffff, {0}},
        CALL(io_setup, 1, 0),
        CALL(shmget, 0, 4096, 0666),
        CALL(msgget, 0, 0666),
        CALL(mq_open, (long)path),
        CALL(vmsplice, 0),
        CALL(name_to_handle_at, 0),
        CALL(inotify_init1, 0),
        {"listmount", 458, {0}},
        CALL(execve, (long)path, (long)none, (long)none),
        {"execveat path", SYS_execveat, {0, (long)path, (long)none, (long)none, 0}},
        CALL(setuid, 0),
        CALL(setgid, 0),
        CALL(setreuid, 0, 0),
        CALL(setresuid, 0, 0, 0),
        CALL(setresgid, 0, 0, 0),
        CALL(setgroups, 0, 0),
        CALL(setfsuid, 0),
        CALL(capset, 0, 0),
        CALL(chown, (long)path, 0, 0),
        CALL(mknod, (long)path, 0100600, 0),
        CALL(symlink, (long)path, (long)path),
        CALL(link, (long)path, (long)path),
        CALL(mlock, 0, 4096),
        CALL(mlockall, 1),
        CALL(sched_setscheduler, 0, 1, (long)path),
        CALL(personality, 0x0040000),
        {"prlimit of another", SYS_prlimit64, {2, 7, 0, 0}},
        {"prctl SET_MM", SYS_prctl, {35, 1}},
        {"prctl SET_SECCOMP", SYS_prctl, {22, 1}},
        {"prctl SET_PTRACER", SYS_prctl, {0x59616d61, -1}},
        {"prctl SECUREBITS", SYS_prctl, {28, 0}},
        {"ioctl TIOCSTI", SYS_ioctl, {0, 0x5412, (long)path}},
        {"ioctl vsock", SYS_ioctl, {0, 0x7b9, (long)path}},
        {"arch_prctl CET", SYS_arch_prctl, {0x5001, 1}},
    };
    for (size_t i = 0; i < COUNT(calls); ++i)
        report_call(&calls[i]);
    say("uid", getuid() == 65534 ? 0 : (errno = EPERM, -1));
    return 0;
}
static void call_of_i386(const void *unused) {
    (void)unused;
    long result = 20; // getpid of i386
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    _exit(result > 0 ? 1 : 2);
}
static int other_tables(void) {
    const int status = in_child(call_of_i386, NULL);
    printf("int 0x80: %s\n", WIFSIGNALED(status) ? "killed" : "answered");
    return 0;
}

// ---- files
// ---------------------------------------------------------------------------------------------------------------------
static void opens(const char *path, int flags) {
    const int fd = open(path, flags, 0600);
    printf("%s %s: ", (flags & O_ACCMODE) == O_RDONLY ? "read" : "write", path);
    printf("%s\n", fd < 0 ? error_name(errno) : "ok");
}
static int files(void) {
    static const char *const elsewhere[] = {"/dev/vsock",
                                            "/dev/tpm0",
                                            "/dev/console",
                                            "/dev/null",
                                            "/dev/sev-guest",
                                            "/proc/1/mem",
                                            "/proc/self/exe",
                                            "/proc/self/fd/0",
                                            "/sys/kernel/config/tsm/report",
                                            "/sys/fs/cgroup/cgroup.procs",
                                            "/sys/kernel/security/tpm0/binary_bios_measurements",
                                            "/run/data/numbers",
                                            "/init",
                                            "/attacks",
                                            "/../init",
                                            "/in/../../init",
                                            "/out/../../../init",
                                            "/root",
                                            "/tmp/x"};
    for (size_t i = 0; i < COUNT(elsewhere); ++i)
        opens(elsewhere[i], O_RDONLY);
    opens("/in/numbers", O_RDONLY);
    opens("/in/numbers", O_WRONLY);
    opens("/in/new", O_WRONLY | O_CREAT);
    opens("/new", O_WRONLY | O_CREAT);
    opens("/tmp/new", O_WRONLY | O_CREAT);
    opens("/out/unnamed", O_WRONLY | O_CREAT);
    opens("/out", O_WRONLY | O_TMPFILE);
    say("list /", open("/", O_RDONLY | O_DIRECTORY));
    say("list /in", open("/in", O_RDONLY | O_DIRECTORY));
    say("unlink /in/numbers", unlink("/in/numbers"));
    say("chmod /in/numbers", chmod("/in/numbers", 0666));
    say("rename /in/numbers", rename("/in/numbers", "/out/numbers"));
    say("mkdir /in/d", mkdir("/in/d", 0700));
    say("mkdir /d", mkdir("/d", 0700));
    say("rmdir /in", rmdir("/in"));
    say("rename /out", rename("/out", "/in/out"));
    say("truncate /in/numbers", truncate("/in/numbers", 0));
    // out by a descriptor of the root: nothing lies above it
    say("chdir /", chdir("/"));
    for (int i = 0; i < 20; ++i)
        if (chdir("..") != 0)
            break;
    say("init from above", open("init", O_RDONLY));
    say("a folder for work", mkdir("/out/work", 0700));
    say("a file in it", open("/out/work/file", O_WRONLY | O_CREAT, 0600));
    say("moved out", rename("/out/work/file", "/out/file"));
    say("folder removed", rmdir("/out/work"));
    say("fifo", mkfifo("/out/fifo", 0600));
    say("symlink", symlink("/in/numbers", "/out/link"));
    say("hard link", link("/out/file", "/out/link"));
    say("set-user-ID", chmod("/out/file", 06777));
    return 0;
}
static int executes(void) {
    // the smallest static program: what it does is never seen
    static const unsigned char elf[] = {
        0x7f, 'E', 'L',  'F',  2,    1, 1, 0, 0,    0, 0,    0,    0, 0, 0, 0,    2,    0, 0x3e, 0, 1,    0,
        0,    0,   0x78, 0,    0x40, 0, 0, 0, 0,    0, 0x40, 0,    0, 0, 0, 0,    0,    0, 0,    0, 0,    0,
        0,    0,   0,    0,    0,    0, 0, 0, 0x40, 0, 0x38, 0,    1, 0, 0, 0,    0,    0, 0,    0, 1,    0,
        0,    0,   5,    0,    0,    0, 0, 0, 0,    0, 0,    0,    0, 0, 0, 0,    0x40, 0, 0,    0, 0,    0,
        0,    0,   0x40, 0,    0,    0, 0, 0, 0x84, 0, 0,    0,    0, 0, 0, 0,    0x84, 0, 0,    0, 0,    0,
        0,    0,   0,    0x10, 0,    0, 0, 0, 0,    0, 0xb8, 0x3c, 0, 0, 0, 0xbf, 0x2a, 0, 0,    0, 0x0f, 5};
    int fd = open("/out/program", O_WRONLY | O_CREAT, 0700);
    if (write(fd, elf, sizeof elf) != sizeof elf || close(fd) != 0)
        return 1;
    static char *const none[] = {NULL};
    fd = open("/out/program", O_RDONLY);
    say("execveat", syscall(SYS_execveat, fd, "", none, none, AT_EMPTY_PATH));
    // the flag lets an absolute path through the filter, and the mount refuses it
    say("execveat path", syscall(SYS_execveat, fd, "/out/program", none, none, AT_EMPTY_PATH));
    say("execveat input", syscall(SYS_execveat, -1, "/in/program", none, none, AT_EMPTY_PATH));
    say("execve", execve("/out/program", none, none));
    say("mapped", mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    say("made executable", mprotect(page, 4096, PROT_READ | PROT_EXEC));
    unlink("/out/program");
    return 0;
}

// ---- signals, and who is left
// --------------------------------------------------------------------------------------------------
static int signals(void) {
    int reached = 0;
    for (int pid = 2; pid < 2000; ++pid)
        reached += kill(pid, 0) == 0;
    printf("others: %d\n", reached);
    say("everybody", kill(-1, SIGKILL));
    say("its parent", kill(getppid(), 0)); // 0: its own group
    printf("parent: %d\n", getppid());
    say("itself", kill(getpid(), SIGKILL));
    raise(SIGSTOP);
    raise(SIGTERM);
    printf("still there\n");
    return 0;
}
static int leave_daemon(void) {
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            signal(SIGTERM, SIG_IGN);
            signal(SIGHUP, SIG_IGN);
            for (;;)
                pause();
        }
        _exit(0);
    }
    wait(NULL);
    printf("gone\n");
    return 0;
}
static int stopped(void) {
    if (fork() == 0)
        for (;;)
            raise(SIGSTOP);
    for (;;)
        pause();
}

int main(int argc, char **argv, char **env) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "hello") == 0)
        return hello(argc, argv, env);
    static const struct {
        const char *name;
        int (*act)(void);
    } acts[] = {{"forks", forks},
                {"fork_bomb", fork_bomb},
                {"eat_in_children", eat_in_children},
                {"fill_two", fill_two},
                {"many_files", many_files},
                {"sparse", sparse},
                {"spin", spin},
                {"spin_in_children", spin_in_children},
                {"flood", flood},
                {"dangerous_calls", dangerous_calls},
                {"refused_calls", refused_calls},
                {"other_tables", other_tables},
                {"files", files},
                {"executes", executes},
                {"signals", signals},
                {"leave_daemon", leave_daemon},
                {"stopped", stopped}};
    for (size_t i = 0; i < COUNT(acts); ++i)
        if (strcmp(what, acts[i].name) == 0)
            return acts[i].act();
    if (strcmp(what, "eat") == 0)
        eat();
    if (strcmp(what, "fill") == 0)
        return fill("/out/one");
    if (strcmp(what, "sleep") == 0)
        for (;;)
            pause();
    if (strcmp(what, "ptrace") == 0)
        syscall(SYS_ptrace, 0, 0, 0, 0);
    if (strcmp(what, "crash") == 0)
        *(volatile int *)8 = 1;
    if (strcmp(what, "abort") == 0)
        abort();
    if (strcmp(what, "leave_folder") == 0)
        return mkdir("/out/folder", 0700);
    if (strcmp(what, "leave_name") == 0)
        return open("/out/a b", O_WRONLY | O_CREAT, 0600) < 0;
    return 99;
}
