// Secrets that relying parties put: in locked memory, never written elsewhere, wiped when dropped. There is no way to
// read one back; only whoever put it may ask for its digest.
#pragma once

#include "common/protocol.hpp"
#include "common/secret.hpp"

#include <expected>
#include <memory>

namespace cvmin::agent {

// Memory that is not swapped, not dumped and not inherited.
class PageSource {
  public:
    virtual std::byte *take(std::size_t size) = 0; // whole pages, zeroed; nullptr when there is none
    virtual void give_back(std::byte *pages, std::size_t size) = 0;

  protected:
    ~PageSource() = default;
};

class LockedPages final : public PageSource {
  public:
    std::byte *take(std::size_t size) override;
    void give_back(std::byte *pages, std::size_t size) override;
};

class SecretStore {
  public:
    explicit SecretStore(PageSource &pages) : pages_(pages) {}
    SecretStore(const SecretStore &) = delete;
    SecretStore &operator=(const SecretStore &) = delete;
    ~SecretStore() { wipe(); }

    // The digest of what is now stored. exists, full; internal: no locked memory.
    std::expected<Sha256Digest, PeerErrc> put(std::string_view name, const Secret &value, std::uint64_t owner);
    // Computed anew from the stored bytes. unknown_name: none of that name, or put by another owner.
    std::expected<Sha256Digest, PeerErrc> digest(std::string_view name, std::uint64_t owner) const;
    std::size_t size() const { return count_; }
    void wipe();

  private:
    struct Entry {
        std::string name;
        std::uint64_t owner = 0;
        std::byte *pages = nullptr;
        std::size_t size = 0;
        ByteView view() const { return {pages, size}; }
    };
    const Entry *find(std::string_view name) const;

    PageSource &pages_;
    std::array<Entry, max_secrets> entries_{};
    std::size_t count_ = 0;
};

} // namespace cvmin::agent
