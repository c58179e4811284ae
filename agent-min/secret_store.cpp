#include "agent-min/secret_store.hpp"

#include <mbedtls/platform_util.h>

#include <sys/mman.h>

namespace cvmin::agent {

std::byte *LockedPages::take(std::size_t size) {
    void *pages = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return nullptr;
    if (::mlock(pages, size) != 0 || ::madvise(pages, size, MADV_DONTDUMP) != 0 ||
        ::madvise(pages, size, MADV_DONTFORK) != 0) {
        ::munmap(pages, size);
        return nullptr;
    }
    return static_cast<std::byte *>(pages);
}

void LockedPages::give_back(std::byte *pages, std::size_t size) {
    ::munmap(pages, size);
}

const SecretStore::Entry *SecretStore::find(std::string_view name) const {
    const auto used = std::span{entries_}.first(count_);
    const auto found = std::ranges::find(used, name, &Entry::name);
    return found == used.end() ? nullptr : &*found;
}

std::expected<Sha256Digest, PeerErrc> SecretStore::put(std::string_view name, const Secret &value,
                                                       std::uint64_t owner) {
    if (find(name) != nullptr)
        return std::unexpected(PeerErrc::exists);
    if (count_ == entries_.size())
        return std::unexpected(PeerErrc::full);
    const ByteView bytes = value.view();
    std::byte *pages = pages_.take(bytes.size());
    if (pages == nullptr)
        return std::unexpected(PeerErrc::internal);
    std::ranges::copy(bytes, pages);
    entries_[count_] = Entry{std::string{name}, owner, pages, bytes.size()};
    return sha256(entries_[count_++].view());
}

std::expected<Sha256Digest, PeerErrc> SecretStore::digest(std::string_view name, std::uint64_t owner) const {
    const Entry *entry = find(name);
    if (entry == nullptr || entry->owner != owner)
        return std::unexpected(PeerErrc::unknown_name);
    return sha256(entry->view());
}

void SecretStore::wipe() {
    for (Entry &entry : std::span{entries_}.first(count_)) {
        mbedtls_platform_zeroize(entry.pages, entry.size);
        pages_.give_back(entry.pages, entry.size);
        entry = Entry{};
    }
    count_ = 0;
}

} // namespace cvmin::agent
