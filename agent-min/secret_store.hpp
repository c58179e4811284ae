// Secrets that relying parties put: in locked memory, never written elsewhere, wiped when dropped. There is no way to
// read one back; only whoever put it may ask for its digest, and putting the same again is no error.
#pragma once

#include "common/protocol.hpp"
#include "common/secret.hpp"

#include <bitset>
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

// Who puts what is there already learns whether it is the same. After so many wrong puts of a name, by whomever, nobody
// is told any more: a short secret must not be found by trying. Honest ones are retries, or a few mix-ups.
inline constexpr unsigned max_wrong_puts = 16;

class SecretStore {
  public:
    explicit SecretStore(PageSource &pages) : pages_(pages) {}
    SecretStore(const SecretStore &) = delete;
    SecretStore &operator=(const SecretStore &) = delete;
    ~SecretStore() { wipe(); }

    using Holdings = std::bitset<max_secrets>; // which of the secrets somebody has put

    // The digest of what is now stored, which joins `holdings`. The same bytes again are stored already: an answer may
    // have been lost. exists: other bytes of this name, or too many wrong ones before; full; internal: no locked
    // memory.
    std::expected<Sha256Digest, PeerErrc> put(std::string_view name, const Secret &value, Holdings &holdings);
    // Computed anew from the stored bytes. unknown_name: none of that name, or not among `holdings`.
    std::expected<Sha256Digest, PeerErrc> digest(std::string_view name, const Holdings &holdings) const;
    std::size_t size() const { return count_; }
    void wipe();

  private:
    struct Entry {
        std::string name;
        std::byte *pages = nullptr;
        std::size_t size = 0;
        unsigned wrong_puts = 0;
        ByteView view() const { return {pages, size}; }
    };
    std::size_t find(std::string_view name) const; // count_: none

    PageSource &pages_;
    std::array<Entry, max_secrets> entries_{};
    std::size_t count_ = 0;
};

} // namespace cvmin::agent
