#include "agent-min/store.hpp"

#include "agent-min/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

namespace cvmin::agent {

namespace {

constexpr std::uint64_t page_size = 4096;
constexpr std::size_t max_meminfo_size = 8192; // fifty lines or so

// Memory that is given back is cleared before anybody gets it again (CONFIG_INIT_ON_ALLOC_DEFAULT_ON).
void empty_file(int fd) {
    // what cannot be emptied is given back when it is closed
    [[maybe_unused]] const int emptied = ::ftruncate(fd, 0);
    ::lseek(fd, 0, SEEK_SET);
}

} // namespace

void MemoryStore::look_at_memory() {
    const auto text = read_file("/proc/meminfo", max_meminfo_size, "store.meminfo");
    const auto kilobytes = text ? number_behind(as_text(*text), "MemAvailable:") : std::nullopt;
    available_ = kilobytes.value_or(0) << 10;
}

std::uint64_t MemoryStore::capacity() const {
    const std::uint64_t room = available_ > memory_for_peers ? available_ - memory_for_peers : 0;
    return room - room / index_share;
}

Result<void> MemoryStore::open(const Manifest &manifest) {
    std::uint64_t room = 0;
    for (const Dataset &dataset : manifest.datasets)
        room += (dataset.size_limit + page_size - 1) / page_size * page_size;
    // each file has an inode, and the folder; a size of 0 would mean none
    const std::string options = "mode=0755,size=" + std::to_string(room + page_size) +
                                ",nr_inodes=" + std::to_string(manifest.datasets.size() + 2);
    ::mkdir(folder_, 0755); // there already, or the mount says what is wrong
    if (::mount("tmpfs", folder_, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) != 0)
        return os_error("store.mount");
    mounted_ = true;
    Fd program{::memfd_create("algorithm", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!program)
        return os_error("store.program");
    files_.push_back(std::move(program));
    for (const Dataset &dataset : manifest.datasets) {
        const std::string path = std::string{folder_} + '/' + dataset.name;
        Fd file{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444)};
        if (!file || ::fchmod(file.get(), 0444) != 0) // whatever the umask is
            return os_error("store.dataset");
        files_.push_back(std::move(file));
    }
    return {};
}

Result<void> MemoryStore::append(std::size_t item, ByteView piece) {
    while (!piece.empty()) {
        const ssize_t written = ::write(files_[item].get(), piece.data(), piece.size());
        if (written <= 0)
            return os_error("store.append");
        piece = piece.subspan(static_cast<std::size_t>(written));
    }
    return {};
}

Result<void> MemoryStore::seal(std::size_t item) {
    if (item == 0) {
        if (::fcntl(files_[0].get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
            return os_error("store.seal");
        return {};
    }
    files_[item].reset(); // nobody else has it open for writing, and its mode lets nobody
    return {};
}

void MemoryStore::drop(std::size_t item) {
    empty_file(files_[item].get());
}

void MemoryStore::wipe() {
    files_.clear();
    if (std::exchange(mounted_, false))
        ::umount2(folder_, MNT_DETACH); // a run that is being killed may still hold it
}

} // namespace cvmin::agent
