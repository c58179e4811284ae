// The file systems that the agent needs, as a table. Nothing from outside the image is mounted.
#pragma once

#include "common/error.hpp"

#include <span>

#include <sys/mount.h>

namespace cvmin::agent {

struct Mount {
    const char *type;
    const char *target;
    unsigned long flags;
    const char *options;
    bool fatal; // without it the agent cannot do its work
};

inline constexpr unsigned long plain_files = MS_NOSUID | MS_NODEV | MS_NOEXEC;
inline constexpr Mount mounts[] = {
    {"proc", "/proc", plain_files, "hidepid=2", true},               // command line: whether this is a debug image
    {"sysfs", "/sys", plain_files, nullptr, true},                   // mount point of the next two
    {"devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755", true},  // console, tpm0
    {"configfs", "/sys/kernel/config", plain_files, nullptr, false}, // attestation reports; without it: emulated ones
    {"securityfs", "/sys/kernel/security", plain_files, nullptr, false}, // firmware event log, IMA list
    {"cgroup2", "/sys/fs/cgroup", plain_files, nullptr, false}, // limits of an algorithm; without it none is run
    {"tmpfs", "/run", plain_files, "mode=0700,size=1m", true},
};

// Mounts in order; a mount point that is missing is made. system (errno; where is the target): of the first fatal one.
Result<void> mount_all(std::span<const Mount> table);

} // namespace cvmin::agent
