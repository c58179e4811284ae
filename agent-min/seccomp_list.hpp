// What an algorithm may ask of the kernel: the list as data, one line per system call with its reason. The filter that
// is made of it, and what happens to calls that are not listed, are seccomp_filter.hpp's. Numbers are those of x86-64.
//
// The kernel's own checks stay in force behind an allowed call: no capabilities, no other user, three mounts, an empty
// network.
#pragma once

#include <cerrno>
#include <cstdint>
#include <span>

#include <asm/prctl.h>
#include <asm/unistd_64.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>

namespace cvmin::agent {

namespace on_call {
inline constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;
// Nobody has an honest use for it in here: the process ends with SIGSYS, and so does the search for what else would
// work.
inline constexpr std::uint32_t kill = SECCOMP_RET_KILL_PROCESS;
constexpr std::uint32_t fail(int error) {
    return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
}
// As from a kernel without the call: libraries try newer calls first and go on with older ones.
inline constexpr std::uint32_t absent = fail(ENOSYS);
// Programs that go on without it are common, and "no such call" would lead them astray.
inline constexpr std::uint32_t refuse = fail(EPERM);
} // namespace on_call

struct SyscallRule {
    std::uint16_t number;
    std::uint32_t action; // a seccomp return value
};

inline constexpr SyscallRule syscall_rules[] = {
    // ---- memory ----------------------------------------------------------------------------------------------------
    {__NR_brk, on_call::allow},      // heap
    {__NR_mmap, on_call::allow},     // heap, stacks, files of /in; executable memory only of its own making
    {__NR_munmap, on_call::allow},   // the same
    {__NR_mremap, on_call::allow},   // realloc of large blocks
    {__NR_mprotect, on_call::allow}, // guard pages, relro
    {__NR_madvise, on_call::allow},  // free() gives pages back
    {__NR_msync, on_call::allow},    // shared mappings of output files
    {__NR_mincore, on_call::allow},  // Go looks for its stack with it
    {__NR_mlock, on_call::refuse},   // the limit for locked memory is 0
    {__NR_mlock2, on_call::refuse},  // the same
    {__NR_munlock, on_call::allow},  // harmless
    {__NR_mlockall, on_call::refuse},

    // ---- files of /in and /out: Landlock and the mounts say which, here only what is done with them
    // ------------------
    {__NR_read, on_call::allow},
    {__NR_write, on_call::allow},
    {__NR_readv, on_call::allow},
    {__NR_writev, on_call::allow}, // musl's stdio
    {__NR_pread64, on_call::allow},
    {__NR_pwrite64, on_call::allow},
    {__NR_preadv, on_call::allow},
    {__NR_pwritev, on_call::allow},
    {__NR_preadv2, on_call::allow},
    {__NR_pwritev2, on_call::allow},
    {__NR_lseek, on_call::allow},
    {__NR_open, on_call::allow},    // musl
    {__NR_openat, on_call::allow},  // glibc, Go
    {__NR_openat2, on_call::allow}, // Rust's cap-std
    {__NR_creat, on_call::allow},
    {__NR_close, on_call::allow},
    {__NR_close_range, on_call::allow},
    {__NR_dup, on_call::allow},
    {__NR_dup2, on_call::allow},
    {__NR_dup3, on_call::allow},
    {__NR_fcntl, on_call::allow}, // flags, record locks
    {__NR_flock, on_call::allow}, // databases in one file
    {__NR_fsync, on_call::allow}, // nothing to do on tmpfs, but programs insist
    {__NR_fdatasync, on_call::allow},
    {__NR_sync_file_range, on_call::allow},
    {__NR_truncate, on_call::allow},
    {__NR_ftruncate, on_call::allow},
    {__NR_fallocate, on_call::allow},
    {__NR_fadvise64, on_call::allow},
    {__NR_readahead, on_call::allow},
    {__NR_copy_file_range, on_call::allow}, // Rust's and Go's copy
    {__NR_sendfile, on_call::allow},        // the same, older
    {__NR_stat, on_call::allow},
    {__NR_lstat, on_call::allow},
    {__NR_fstat, on_call::allow},
    {__NR_newfstatat, on_call::allow},
    {__NR_statx, on_call::allow},
    {__NR_statfs, on_call::allow}, // how much room is left in /out
    {__NR_fstatfs, on_call::allow},
    {__NR_access, on_call::allow},
    {__NR_faccessat, on_call::allow},
    {__NR_faccessat2, on_call::allow},
    {__NR_readlink, on_call::allow}, // start-up of glibc looks for /proc/self/exe, and finds nothing
    {__NR_readlinkat, on_call::allow},
    {__NR_getdents, on_call::allow},
    {__NR_getdents64, on_call::allow},
    {__NR_getcwd, on_call::allow},
    {__NR_chdir, on_call::allow},
    {__NR_fchdir, on_call::allow},
    {__NR_mkdir, on_call::allow}, // for work in progress: a folder that is left over spoils the result
    {__NR_mkdirat, on_call::allow},
    {__NR_rmdir, on_call::allow},
    {__NR_unlink, on_call::allow},
    {__NR_unlinkat, on_call::allow},
    {__NR_rename, on_call::allow}, // write a new file, then move it into place
    {__NR_renameat, on_call::allow},
    {__NR_renameat2, on_call::allow},
    {__NR_chmod, on_call::allow}, // of its own files; set-user-ID means nothing on these mounts
    {__NR_fchmod, on_call::allow},
    {__NR_fchmodat, on_call::allow},
    {__NR_umask, on_call::allow},
    {__NR_utime, on_call::allow}, // unpackers of archives set times
    {__NR_utimes, on_call::allow},
    {__NR_utimensat, on_call::allow},
    {__NR_futimesat, on_call::allow},
    {__NR_chown, on_call::refuse}, // there is one user
    {__NR_fchown, on_call::refuse},
    {__NR_lchown, on_call::refuse},
    {__NR_fchownat, on_call::refuse},
    {__NR_link, on_call::refuse}, // outputs are files with one name
    {__NR_linkat, on_call::refuse},
    {__NR_symlink, on_call::refuse}, // nor anything else but files
    {__NR_symlinkat, on_call::refuse},
    {__NR_mknod, on_call::refuse},
    {__NR_mknodat, on_call::refuse},

    // ---- pipes and waiting, within the program
    // -----------------------------------------------------------------------
    {__NR_pipe, on_call::allow},
    {__NR_pipe2, on_call::allow},
    {__NR_poll, on_call::allow}, // Rust looks at its standard descriptors first thing
    {__NR_ppoll, on_call::allow},
    {__NR_select, on_call::allow},
    {__NR_pselect6, on_call::allow},
    {__NR_epoll_create, on_call::allow}, // Go's run time
    {__NR_epoll_create1, on_call::allow},
    {__NR_epoll_ctl, on_call::allow},
    {__NR_epoll_wait, on_call::allow},
    {__NR_epoll_pwait, on_call::allow},
    {__NR_epoll_pwait2, on_call::allow},
    {__NR_eventfd, on_call::allow}, // Go's run time
    {__NR_eventfd2, on_call::allow},
    {__NR_signalfd, on_call::allow},
    {__NR_signalfd4, on_call::allow},

    // ---- processes and threads: pids.max counts them
    // -------------------------------------------------------------------
    {__NR_fork, on_call::allow},
    {__NR_vfork, on_call::allow},
    {__NR_clone3, on_call::absent}, // its flags lie in memory, where a filter cannot look: libraries go on with clone
    {__NR_exit, on_call::allow},
    {__NR_exit_group, on_call::allow},
    {__NR_wait4, on_call::allow},
    {__NR_waitid, on_call::allow},
    {__NR_execve, on_call::refuse},         // there is nothing to execute
    {__NR_set_tid_address, on_call::allow}, // start-up
    {__NR_set_robust_list, on_call::allow}, // threads
    {__NR_get_robust_list, on_call::allow},
    {__NR_rseq, on_call::allow}, // glibc's start-up
    {__NR_futex, on_call::allow},
    {__NR_futex_waitv, on_call::allow},
    {__NR_membarrier, on_call::allow},
    {__NR_sched_yield, on_call::allow},
    {__NR_sched_getaffinity, on_call::allow}, // how many processors there are
    {__NR_sched_setaffinity, on_call::allow}, // pinned threads, its own
    {__NR_sched_getparam, on_call::allow},    // pthread_getschedparam
    {__NR_sched_getscheduler, on_call::allow},
    {__NR_sched_get_priority_max, on_call::allow},
    {__NR_sched_get_priority_min, on_call::allow},
    {__NR_sched_setparam, on_call::refuse}, // nothing is more urgent than the agent
    {__NR_sched_setscheduler, on_call::refuse},
    {__NR_sched_setattr, on_call::refuse},
    {__NR_getpriority, on_call::allow},
    {__NR_setpriority, on_call::allow}, // the kernel lets it only step back
    {__NR_getcpu, on_call::allow},
    {__NR_getrlimit, on_call::allow},
    {__NR_setrlimit, on_call::allow}, // downwards
    {__NR_getrusage, on_call::allow},
    {__NR_times, on_call::allow},
    {__NR_sysinfo, on_call::allow}, // how much memory there is
    {__NR_uname, on_call::allow},

    // ---- signals: in its own PID namespace, of its own processes
    // -------------------------------------------------------
    {__NR_rt_sigaction, on_call::allow},
    {__NR_rt_sigprocmask, on_call::allow},
    {__NR_rt_sigreturn, on_call::allow},
    {__NR_rt_sigsuspend, on_call::allow},
    {__NR_rt_sigpending, on_call::allow},
    {__NR_rt_sigtimedwait, on_call::allow},
    {__NR_sigaltstack, on_call::allow}, // Go, Rust: stack overflows are told apart
    {__NR_pause, on_call::allow},
    {__NR_kill, on_call::allow},
    {__NR_tkill, on_call::allow},  // abort
    {__NR_tgkill, on_call::allow}, // the same; Go interrupts its threads with it
    {__NR_restart_syscall, on_call::allow},

    // ---- time, random numbers
    // -------------------------------------------------------------------------------------------
    {__NR_clock_gettime, on_call::allow},
    {__NR_clock_getres, on_call::allow},
    {__NR_gettimeofday, on_call::allow},
    {__NR_time, on_call::allow},
    {__NR_nanosleep, on_call::allow},
    {__NR_clock_nanosleep, on_call::allow},
    {__NR_alarm, on_call::allow},
    {__NR_getitimer, on_call::allow},
    {__NR_setitimer, on_call::allow},
    {__NR_timer_create, on_call::allow},
    {__NR_timer_settime, on_call::allow},
    {__NR_timer_gettime, on_call::allow},
    {__NR_timer_getoverrun, on_call::allow},
    {__NR_timer_delete, on_call::allow},
    {__NR_timerfd_create, on_call::allow},
    {__NR_timerfd_settime, on_call::allow},
    {__NR_timerfd_gettime, on_call::allow},
    {__NR_getrandom, on_call::allow}, // seeds of hash tables

    // ---- who am I
    // --------------------------------------------------------------------------------------------------------
    {__NR_getpid, on_call::allow},
    {__NR_getppid, on_call::allow},
    {__NR_gettid, on_call::allow},
    {__NR_getpgid, on_call::allow},
    {__NR_setpgid, on_call::allow}, // job control within the program
    {__NR_getpgrp, on_call::allow},
    {__NR_getsid, on_call::allow},
    {__NR_setsid, on_call::allow},
    {__NR_getuid, on_call::allow},
    {__NR_geteuid, on_call::allow},
    {__NR_getgid, on_call::allow},
    {__NR_getegid, on_call::allow},
    {__NR_getresuid, on_call::allow},
    {__NR_getresgid, on_call::allow},
    {__NR_getgroups, on_call::allow},
    {__NR_capget, on_call::allow},
    {__NR_setuid, on_call::refuse}, // the kernel would refuse it as well
    {__NR_setgid, on_call::refuse},
    {__NR_setreuid, on_call::refuse},
    {__NR_setregid, on_call::refuse},
    {__NR_setresuid, on_call::refuse},
    {__NR_setresgid, on_call::refuse},
    {__NR_setfsuid, on_call::refuse},
    {__NR_setfsgid, on_call::refuse},
    {__NR_setgroups, on_call::refuse},
    {__NR_capset, on_call::refuse},

    // ---- other processes' memory and descriptors
    // ---------------------------------------------------------------------------
    {__NR_ptrace, on_call::kill},
    {__NR_process_vm_readv, on_call::kill},
    {__NR_process_vm_writev, on_call::kill},
    {__NR_process_madvise, on_call::kill},
    {__NR_process_mrelease, on_call::kill},
    {__NR_pidfd_getfd, on_call::kill},
    {__NR_kcmp, on_call::kill},
    {__NR_move_pages, on_call::kill},
    {__NR_migrate_pages, on_call::kill},

    // ---- parts of the kernel with a history, of no use to a computation
    // -------------------------------------------------------
    {__NR_bpf, on_call::kill},
    {__NR_perf_event_open, on_call::kill},
    {__NR_userfaultfd, on_call::kill},
    {__NR_add_key, on_call::kill},
    {__NR_request_key, on_call::kill},
    {__NR_keyctl, on_call::kill},
    {__NR_fanotify_init, on_call::kill},
    {__NR_open_by_handle_at, on_call::kill}, // opens files past every mount

    // ---- another view of the machine
    // ---------------------------------------------------------------------------------------------
    {__NR_mount, on_call::kill},
    {__NR_umount2, on_call::kill},
    {__NR_pivot_root, on_call::kill},
    {__NR_chroot, on_call::kill},
    {__NR_fsopen, on_call::kill},
    {__NR_fsconfig, on_call::kill},
    {__NR_fsmount, on_call::kill},
    {__NR_fspick, on_call::kill},
    {__NR_open_tree, on_call::kill},
    {__NR_move_mount, on_call::kill},
    {__NR_mount_setattr, on_call::kill},
    {__NR_unshare, on_call::kill},
    {__NR_setns, on_call::kill},

    // ---- the machine itself
    // --------------------------------------------------------------------------------------------------------
    {__NR_init_module, on_call::kill},
    {__NR_finit_module, on_call::kill},
    {__NR_delete_module, on_call::kill},
    {__NR_kexec_load, on_call::kill},
    {__NR_kexec_file_load, on_call::kill},
    {__NR_reboot, on_call::kill},
    {__NR_iopl, on_call::kill},
    {__NR_ioperm, on_call::kill},
    {__NR_modify_ldt, on_call::kill},
    {__NR_swapon, on_call::kill},
    {__NR_swapoff, on_call::kill},
    {__NR_quotactl, on_call::kill},
    {__NR_quotactl_fd, on_call::kill},
    {__NR_acct, on_call::kill},
    {__NR_syslog, on_call::kill},
    {__NR_settimeofday, on_call::kill},
    {__NR_clock_settime, on_call::kill},
    {__NR_sethostname, on_call::kill},
    {__NR_setdomainname, on_call::kill},
    {__NR_vhangup, on_call::kill},
};

// Calls of which one argument decides. The kernel takes all of these arguments as 32 bits, and ignores what is above.
struct ArgumentRule {
    std::uint16_t number;
    std::uint8_t argument; // from 0
    enum class Test : std::uint8_t { one_of, any_bit } test;
    std::span<const std::uint32_t> values; // one_of: the argument is one of them; any_bit: it has a bit of one of them
    std::uint32_t then;
    std::uint32_t otherwise;
};

namespace argument {
inline constexpr std::uint32_t new_namespaces[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                                   CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET, CLONE_PTRACE};
inline constexpr std::uint32_t own_prctl[] = {
    PR_SET_NAME,         PR_GET_NAME,         // names of threads
    PR_SET_PDEATHSIG,    PR_GET_PDEATHSIG,    // children end with their parent
    PR_GET_DUMPABLE,     PR_SET_DUMPABLE,     // there are no dumps
    PR_SET_VMA,                               // names of mappings: malloc, Go
    PR_GET_NO_NEW_PRIVS, PR_SET_NO_NEW_PRIVS, // set already
    PR_SET_TIMERSLACK,   PR_GET_TIMERSLACK,   // of its own thread
    PR_CAPBSET_READ,                          // nothing is in it
};
inline constexpr std::uint32_t own_arch_prctl[] = {ARCH_SET_FS, ARCH_GET_FS, ARCH_SET_GS,
                                                   ARCH_GET_GS}; // thread storage
// is it a terminal (no); is there something to read; flags that fcntl knows as well
inline constexpr std::uint32_t own_ioctl[] = {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX};
inline constexpr std::uint32_t vsock[] = {40}; // AF_VSOCK
inline constexpr std::uint32_t empty_path[] = {AT_EMPTY_PATH};
inline constexpr std::uint32_t self[] = {0};
inline constexpr std::uint32_t plain_personality[] = {0, 0xffff'ffff}; // PER_LINUX; or what is it now
} // namespace argument

inline constexpr ArgumentRule argument_rules[] = {
    // threads and children, but no namespaces
    {__NR_clone, 0, ArgumentRule::Test::any_bit, argument::new_namespaces, on_call::kill, on_call::allow},
    {__NR_prctl, 0, ArgumentRule::Test::one_of, argument::own_prctl, on_call::allow, on_call::fail(EINVAL)},
    {__NR_arch_prctl, 0, ArgumentRule::Test::one_of, argument::own_arch_prctl, on_call::allow, on_call::fail(EINVAL)},
    {__NR_ioctl, 1, ArgumentRule::Test::one_of, argument::own_ioctl, on_call::allow, on_call::fail(ENOTTY)},
    // No sockets. AF_VSOCK reaches the host and is not divided by network namespaces; of the others the kernel has
    // none, and
    // programs that look whether there is a network learn that there is not.
    {__NR_socket, 0, ArgumentRule::Test::one_of, argument::vsock, on_call::kill, on_call::fail(EAFNOSUPPORT)},
    {__NR_socketpair, 0, ArgumentRule::Test::one_of, argument::vsock, on_call::kill, on_call::fail(EAFNOSUPPORT)},
    // How the agent starts the program, under this very filter. The program finds nothing to execute: all its mounts
    // are noexec,
    // Landlock gives that right for no file, and memfd_create is absent.
    {__NR_execveat, 4, ArgumentRule::Test::one_of, argument::empty_path, on_call::allow, on_call::refuse},
    {__NR_prlimit64, 0, ArgumentRule::Test::one_of, argument::self, on_call::allow, on_call::refuse},
    {__NR_personality, 0, ArgumentRule::Test::one_of, argument::plain_personality, on_call::allow, on_call::refuse},
};

} // namespace cvmin::agent
