// Registry of this user's CVMs.
#include "qemu/vm.hpp"

#include "common/protocol.hpp"
#include "host-tools/base/os.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <set>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cvmin {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t max_vm_json = 256u << 10; // the command lines in it are bounded by the kernel's ARG_MAX

std::unexpected<Error> system_error(std::string_view where) {
    return fail(errno == ENOENT ? Errc::missing : Errc::system, where, static_cast<std::uint64_t>(errno));
}

Result<void> take_lock(const UniqueFd &lock, int operation) {
    while (::flock(lock.get(), operation) != 0) {
        if (errno == EWOULDBLOCK)
            return fail(Errc::busy, "vm.lock");
        if (errno != EINTR)
            return system_error("vm.lock");
    }
    return {};
}

Result<UniqueFd> locked(const fs::path &file, int operation) {
    UniqueFd lock{::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!lock)
        return system_error("vm.lock");
    CVMIN_CHECK(take_lock(lock, operation));
    return lock;
}

// The lock file of a VM's directory. Makes nothing: a directory without one is not known to be a VM's. missing: no such
// directory; refused: it is not ours alone, or holds no lock file of ours.
Result<UniqueFd> open_lock(const fs::path &directory) {
    struct stat info{};
    if (::lstat(directory.c_str(), &info) != 0)
        return system_error("vm.directory");
    if (!why_not_private(info).empty())
        return fail(Errc::refused, "vm.directory");
    UniqueFd lock{::open((directory / vm_file::lock).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
    if (!lock && errno != ENOENT && errno != ELOOP && errno != EISDIR)
        return system_error("vm.lock");
    if (!lock || ::fstat(lock.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != ::geteuid())
        return fail(Errc::refused, "vm.lock");
    return lock;
}

// The lock file goes last, so that a removal that was cut short can be resumed.
Result<void> remove_tree(const fs::path &directory) {
    std::error_code error;
    for (fs::directory_iterator entry{directory, error}, end; !error && entry != end; entry.increment(error))
        if (entry->path().filename() != vm_file::lock) {
            std::error_code ignored; // seen below
            fs::remove_all(entry->path(), ignored);
        }
    fs::remove_all(directory, error);
    if (error)
        return fail(Errc::system, "vm.directory", static_cast<std::uint64_t>(error.value()));
    return {};
}

Explained<void> make_vms_directory() {
    const auto there = open_vms_directory();
    if (!there)
        return std::unexpected(there.error());
    if (*there)
        return {};
    for (const fs::path &level : {runtime_directory(), vms_directory()})
        if (const auto made = make_private_directory(level); !made)
            return explain(made.error(), level.native());
    return {};
}

// Held while a VM's directory is made or removed, so that a directory between mkdir and its own lock is not taken for
// one that a dead supervisor left.
Result<UniqueFd> lock_registry() {
    const auto vms = open_vms_directory();
    if (!vms)
        return fail(Errc::refused, "vm.directory"); // find_vm, list_vms and create say why
    if (!*vms)
        return fail(Errc::missing, "vm.directory");
    return locked(vms_directory() / ".lock", LOCK_EX);
}

// The registry is locked. busy: its supervisor lives.
Result<void> remove_if_dead(const fs::path &directory) {
    CVMIN_TRY(lock, open_lock(directory));
    CVMIN_CHECK(take_lock(lock, LOCK_EX | LOCK_NB));
    return remove_tree(directory);
}

// mkdir, or one that is empty: a removal or a creation that was cut short leaves that.
Result<void> make_or_take_empty(const fs::path &directory) {
    if (::mkdir(directory.c_str(), 0700) == 0)
        return {};
    const auto made = system_error("vm.directory");
    std::error_code error;
    if (errno != EEXIST || !make_private_directory(directory) || !fs::is_empty(directory, error) || error)
        return made;
    return {};
}

bool lives(const fs::path &directory) {
    // taking the lock to see whether it is free must not look like an owner to another process that does the same
    const auto registry = lock_registry();
    if (!registry)
        return false;
    const auto lock = open_lock(directory);
    if (!lock)
        return false;
    const auto taken = take_lock(*lock, LOCK_EX | LOCK_NB);
    return !taken && taken.error().code == Errc::busy;
}

} // namespace

bool valid_vm_name(std::string_view name) {
    auto letter_or_digit = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    return !name.empty() && name.size() <= max_vm_name_size && letter_or_digit(name.front()) &&
           std::ranges::all_of(name, [&](char c) { return letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
}

fs::path vms_directory() {
    return runtime_directory() / "vms";
}

Explained<std::optional<fs::path>> open_vms_directory() {
    for (const fs::path &level : {runtime_directory(), vms_directory()}) {
        struct stat info{};
        if (::lstat(level.c_str(), &info) != 0) {
            if (errno == ENOENT)
                return std::optional<fs::path>{};
            return explain(Errc::system, level.native() + ": " + std::strerror(errno));
        }
        if (const std::string_view why = why_not_private(info); !why.empty())
            return explain(Errc::system, level.native() + " was refused: it " + std::string{why});
    }
    return vms_directory();
}

Explained<void> check_socket_paths(const fs::path &directory) {
    const std::string guest_port = std::string{vm_file::vsock_socket} + "_" + std::to_string(emulator_vsock_port);
    for (const std::string &socket : {std::string{vm_file::qmp_socket}, std::string{vm_file::vtpm_socket},
                                      std::string{vm_file::vsock_device}, guest_port}) {
        const fs::path path = directory / socket;
        if (path.native().size() > max_socket_path)
            return explain(Errc::out_of_range,
                           "the socket path " + path.native() + " has " + std::to_string(path.native().size()) +
                               " bytes, but a Unix socket allows " + std::to_string(max_socket_path) +
                               ": give a shorter --name, or set XDG_RUNTIME_DIR to a shorter directory");
    }
    return {};
}

Result<VmInfo> parse_vm_json(ByteView text) {
    CVMIN_TRY(json, parse_json(text, "vm.json"));
    CVMIN_TRY(schema, json_unsigned(json, "schema", "vm.json: schema"));
    if (schema != vm_json_schema)
        return fail(Errc::unsupported, "vm.json: schema", schema);
    VmInfo info;
    CVMIN_TRY(vm_name, json_string(json, "name", "vm.json: name"));
    if (!valid_vm_name(vm_name))
        return fail(Errc::malformed, "vm.json: name");
    info.name = std::move(vm_name);
    CVMIN_TRY(platform, json_string(json, "platform", "vm.json: platform"));
    if (platform == name(Platform::snp))
        info.platform = Platform::snp;
    else if (platform != name(Platform::emulated))
        return fail(Errc::malformed, "vm.json: platform");
    CVMIN_TRY(image, json_string(json, "image", "vm.json: image"));
    info.image_json = image;
    CVMIN_TRY(cpu, json_string(json, "cpu_model", "vm.json: cpu_model"));
    info.cpu_model = std::move(cpu);
    CVMIN_TRY(vcpus, json_unsigned(json, "vcpus", "vm.json: vcpus"));
    info.vcpus = static_cast<unsigned>(vcpus);
    if (info.platform == Platform::snp) {
        CVMIN_TRY(cid, json_unsigned(json, "vsock_cid", "vm.json: vsock_cid"));
        info.address = KernelVsock{static_cast<std::uint32_t>(cid)};
    } else {
        CVMIN_TRY(socket, json_string(json, "vsock_socket", "vm.json: vsock_socket"));
        info.address = UnixVsock{socket};
    }
    CVMIN_TRY(state, json_string(json, "state", "vm.json: state"));
    info.running = state == "running";
    info.details = std::move(json);
    return info;
}

static Result<VmInfo> read_vm(const fs::path &directory) {
    CVMIN_TRY(text, read_file(directory / vm_file::json, max_vm_json));
    CVMIN_TRY(info, parse_vm_json(text));
    info.directory = directory;
    return info;
}

Explained<VmInfo> find_vm(std::string_view name) {
    const auto none = [&] { return explain(Error{Errc::missing, "CVM of this name"}, name); };
    const auto vms = open_vms_directory();
    if (!vms)
        return explain(vms.error().code, std::string{name} + ": " + vms.error().text);
    if (!*vms || !valid_vm_name(name))
        return none();
    const fs::path directory = **vms / name;
    if (!lives(directory)) {
        (void)remove_dead_vm(directory);
        return none();
    }
    auto info = read_vm(directory);
    if (!info && info.error().code == Errc::missing) // its supervisor has not written it yet
        return none();
    if (!info)
        return explain(info.error(), name);
    return std::move(*info);
}

Explained<std::vector<VmInfo>> list_vms() {
    std::vector<VmInfo> found;
    const auto vms = open_vms_directory();
    if (!vms)
        return std::unexpected(vms.error());
    if (!*vms)
        return found;
    std::set<fs::path> directories;
    std::error_code error;
    for (fs::directory_iterator entry{**vms, error}, end; !error && entry != end; entry.increment(error))
        if (valid_vm_name(entry->path().filename().native()))
            directories.insert(entry->path());
    if (error)
        return explain(Errc::system, (*vms)->native() + ": " + error.message());
    for (const fs::path &directory : directories) {
        if (!lives(directory)) {
            (void)remove_dead_vm(directory);
            continue;
        }
        if (auto info = read_vm(directory))
            found.push_back(std::move(*info));
    }
    return found;
}

Result<void> remove_dead_vm(const fs::path &directory) {
    CVMIN_TRY(registry, lock_registry());
    return remove_if_dead(directory);
}

Explained<VmDirectory> VmDirectory::create(std::string_view name) {
    if (!name.empty() && !valid_vm_name(name))
        return explain(Errc::usage, "\"" + std::string{name} + "\" is no name for a CVM: 1 to " +
                                        std::to_string(max_vm_name_size) +
                                        " of a-z, 0-9, '.', '_', '-', the first one a letter or digit");
    if (auto fits = check_socket_paths(vms_directory() / (name.empty() ? "vm1" : name)); !fits)
        return std::unexpected(fits.error());
    if (auto made = make_vms_directory(); !made)
        return std::unexpected(made.error());
    auto registry = lock_registry();
    if (!registry)
        return explain(registry.error(), vms_directory().native());
    constexpr unsigned most_vms = 1000; // of one user on one host
    for (unsigned number = 1; number <= (name.empty() ? most_vms : 1); ++number) {
        VmDirectory created;
        created.name_ = name.empty() ? "vm" + std::to_string(number) : std::string{name};
        created.path_ = vms_directory() / created.name_;
        struct stat info{};
        if (::lstat(created.path_.c_str(), &info) == 0) {
            const auto removed = remove_if_dead(created.path_);
            if (!removed && removed.error().code == Errc::busy) {
                if (name.empty())
                    continue;
                return explain(Errc::busy,
                               "a CVM named " + created.name_ + " is there already: cvmin stop " + created.name_);
            }
            // without a lock file it is not ours to remove; whether it can be used is seen below
            if (!removed && removed.error().code != Errc::refused)
                return explain(removed.error(), created.path_.native());
        }
        if (const auto made = make_or_take_empty(created.path_); !made) {
            if (made.error().detail == EEXIST && name.empty())
                continue;
            if (made.error().detail == EEXIST)
                return explain(Errc::busy,
                               created.path_.native() + " is there but holds no lock file of a CVM: it is not removed");
            return explain(made.error(), created.path_.native());
        }
        auto lock = locked(created.file(vm_file::lock), LOCK_EX);
        if (!lock)
            return explain(lock.error(), created.path_.native());
        created.lock_ = std::move(*lock);
        return created;
    }
    return explain(Errc::busy, "this user has " + std::to_string(most_vms) + " CVMs");
}

Result<void> VmDirectory::write_owner() {
    CVMIN_TRY(start_time, process_start_time(::getpid()));
    const std::string text = std::to_string(::getpid()) + " " + std::to_string(start_time) + "\n";
    if (::ftruncate(lock_.get(), 0) != 0 || ::lseek(lock_.get(), 0, SEEK_SET) < 0)
        return system_error("vm.lock");
    return write_all(lock_.get(), as_bytes(text));
}

void VmDirectory::remove() {
    // the lock is ours: whoever looks meanwhile sees a VM that lives, or none
    const auto registry = lock_registry();
    (void)remove_tree(path_);
    lock_.reset();
}

Result<std::uint64_t> process_start_time(pid_t pid) {
    CVMIN_TRY(stat, read_file("/proc/" + std::to_string(pid) + "/stat", 4096));
    // field 2, the name in parentheses, may hold anything: count from the last ')'
    std::string_view text = as_text(stat);
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string_view::npos)
        return fail(Errc::malformed, "process.stat");
    text.remove_prefix(name_end + 1);
    constexpr int fields_before = 20; // 3..21, and the blank before 22
    for (int field = 0; field < fields_before; ++field) {
        const std::size_t blank = text.find(' ');
        if (blank == std::string_view::npos)
            return fail(Errc::malformed, "process.stat");
        text.remove_prefix(blank + 1);
    }
    std::uint64_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc{})
        return fail(Errc::malformed, "process.stat");
    return value;
}

Result<UniqueFd> open_process(pid_t pid, std::uint64_t start_time) {
    UniqueFd process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    if (!process)
        return fail(Errc::missing, "process", static_cast<std::uint64_t>(errno));
    // looked at after the descriptor was made: if it is the right process now, the descriptor is the right one
    const auto found = process_start_time(pid);
    if (!found || *found != start_time)
        return fail(Errc::missing, "process");
    return process;
}

Result<Supervisor> find_supervisor(const fs::path &directory) {
    if (!lives(directory))
        return fail(Errc::missing, "supervisor");
    CVMIN_TRY(text, read_file(directory / vm_file::lock, 256));
    const std::string_view line = as_text(text);
    Supervisor supervisor;
    std::uint64_t start_time = 0;
    const auto pid = std::from_chars(line.data(), line.data() + line.size(), supervisor.pid);
    if (pid.ec != std::errc{} || pid.ptr == line.data() + line.size() ||
        std::from_chars(pid.ptr + 1, line.data() + line.size(), start_time).ec != std::errc{})
        return fail(Errc::missing, "supervisor"); // not written yet
    CVMIN_TRY(process, open_process(supervisor.pid, start_time));
    supervisor.pidfd = std::move(process);
    return supervisor;
}

} // namespace cvmin
