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

// What the agent itself, its connections (64 of 0.6 MiB at most) and the kernel need besides.
inline constexpr std::uint64_t memory_reserve = std::uint64_t{40} << 20;

// A memfd, and a tmpfs at `folder` with files of mode 0444.
class MemoryStore final : public Store {
  public:
    explicit MemoryStore(const char *folder) : folder_(folder) {}
    MemoryStore(const MemoryStore &) = delete;
    MemoryStore &operator=(const MemoryStore &) = delete;
    ~MemoryStore() { wipe(); }

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
    bool mounted_ = false;
    std::vector<Fd> files_; // by item; closed: the dataset is sealed
};

} // namespace cvmin::agent
