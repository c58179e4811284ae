// Answers of a KDS kept on disk, by what was asked. Nothing here is believed: whoever reads an entry checks it as if it
// had come from the network.
#pragma once

#include "common/bytes.hpp"
#include "host-tools/base/explained.hpp"

#include <ctime>
#include <filesystem>
#include <optional>

namespace cvmin {

class KdsCache {
  public:
    // Entries of different services do not mix. The directory is made at the first write.
    KdsCache(std::filesystem::path directory, std::string_view service);

    struct Entry {
        Bytes bytes;
        std::time_t stored; // when the file was written, as the file system says
    };
    // Nothing: there is none, or it cannot be read, or has more than `limit` bytes.
    std::optional<Entry> read(std::string_view path, std::size_t limit) const;
    Result<void> write(std::string_view path, ByteView bytes) const; // whole or not at all
    void remove(std::string_view path) const;

    std::filesystem::path file_of(std::string_view path) const; // of a path of kds.hpp

  private:
    std::filesystem::path directory_;
    std::string prefix_;
};

} // namespace cvmin
