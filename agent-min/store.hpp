// Where inputs of a computation are kept: the program in sealed memory, datasets as files that only its run sees. Knows
// nothing of parties, digests or sizes that a manifest allows.
#pragma once

#include "agent-min/fd.hpp"
#include "common/bytes.hpp"
#include "common/manifest.hpp"

#include <vector>

namespace cvmin::agent {

class Store {
  public:
    // Bytes of memory that inputs and a run may take together.
    virtual std::uint64_t capacity() const = 0;
    // Room for these inputs and no more; once. system.
    virtual Result<void> open(const Manifest &manifest) = 0;
    // By the places in items(manifest): 0 is the program. Each is empty at first.
    virtual Result<void> append(std::size_t item, ByteView piece) = 0; // system: no room; nothing or a part is there
    virtual Result<void> seal(std::size_t item) = 0;                   // nobody can change it any more. system
    virtual void drop(std::size_t item) = 0;                           // empty again
    virtual void wipe() = 0;                                           // everything; nothing can be put any more
    virtual int program() const = 0;                                   // once it is sealed
    virtual const char *inputs() const = 0;                            // folder of the datasets, by their names

  protected:
    Store() = default;
    Store(const Store &) = default;
    Store &operator=(const Store &) = default;
    ~Store() = default;
};

// What peers can make the agent and its kernel take at any time after the start: 64 connections of 256 KiB that wait in
// the socket, and 128 KiB for a frame, an answer that nobody reads, and TLS; less than 17 MiB of it were measured
// (vm_memory has them all taken while inputs and run take the rest).
inline constexpr std::uint64_t memory_for_peers = std::uint64_t{24} << 20;
// The kernel's index of a file in memory: 576 bytes for 64 pages.
inline constexpr std::uint64_t index_share = 256;

// A memfd, and a tmpfs at `folder` with files of mode 0444.
class MemoryStore final : public Store {
  public:
    explicit MemoryStore(const char *folder) : folder_(folder) {}
    MemoryStore(const MemoryStore &) = delete;
    MemoryStore &operator=(const MemoryStore &) = delete;
    ~MemoryStore() { wipe(); }

    // Before anybody is let in: what the kernel says is available then, its own reserves and the agent left out.
    // Those grow with the machine (15 MiB of 96, 50 MiB of 4 GiB), so no constant would do. Without it capacity() is 0.
    void look_at_memory();
    std::uint64_t capacity() const override;
    Result<void> open(const Manifest &manifest) override;
    Result<void> append(std::size_t item, ByteView piece) override;
    Result<void> seal(std::size_t item) override;
    void drop(std::size_t item) override;
    void wipe() override;
    int program() const override { return files_.empty() ? -1 : files_[0].get(); }
    const char *inputs() const override { return folder_; }

  private:
    const char *folder_;
    std::uint64_t available_ = 0;
    bool mounted_ = false;
    std::vector<Fd> files_; // by item; closed: the dataset is sealed
};

} // namespace cvmin::agent
