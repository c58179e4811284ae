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

std::size_t SecretStore::find(std::string_view name) const {
    const auto used = std::span{entries_}.first(count_);
    return static_cast<std::size_t>(std::ranges::find(used, name, &Entry::name) - used.begin());
}

std::expected<Sha256Digest, PeerErrc> SecretStore::put(std::string_view name, const Secret &value, Holdings &holdings) {
    const std::size_t index = find(name);
    if (index != count_) {
        Entry &entry = entries_[index];
        if (entry.wrong_puts == max_wrong_puts)
            return std::unexpected(PeerErrc::exists);
        if (!same_secret(entry.view(), value.view())) {
            ++entry.wrong_puts;
            return std::unexpected(PeerErrc::exists);
        }
        holdings.set(index);
        return sha256(entry.view());
    }
    if (count_ == entries_.size())
        return std::unexpected(PeerErrc::full);
    const ByteView bytes = value.view();
    std::byte *pages = pages_.take(bytes.size());
    if (pages == nullptr)
        return std::unexpected(PeerErrc::internal);
    std::ranges::copy(bytes, pages);
    entries_[index] = Entry{.name = std::string{name}, .pages = pages, .size = bytes.size(), .wrong_puts = 0};
    ++count_;
    holdings.set(index);
    return sha256(entries_[index].view());
}

std::expected<Sha256Digest, PeerErrc> SecretStore::digest(std::string_view name, const Holdings &holdings) const {
    const std::size_t index = find(name);
    if (index == count_ || !holdings[index])
        return std::unexpected(PeerErrc::unknown_name);
    return sha256(entries_[index].view());
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
