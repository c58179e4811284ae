#include "agent-min/file.hpp"

#include "agent-min/fd.hpp"

#include <algorithm>
#include <charconv>

#include <fcntl.h>

namespace cvmin::agent {

Result<Bytes> read_file(const std::string &path, std::size_t limit, std::string_view where) {
    const Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd)
        return os_error(where);
    Bytes bytes;
    for (;;) {
        constexpr std::size_t step = 4096;
        const std::size_t used = bytes.size();
        bytes.resize(used + step);
        const ssize_t got = ::read(fd.get(), bytes.data() + used, step);
        if (got < 0)
            return os_error(where);
        bytes.resize(used + static_cast<std::size_t>(got));
        if (bytes.size() > limit)
            return fail(Errc::too_large, where, bytes.size());
        if (got == 0)
            return bytes;
    }
}

Result<void> write_file(const std::string &path, ByteView bytes, std::string_view where) {
    const Fd fd{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!fd)
        return os_error(where);
    if (::write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
        return os_error(where);
    return {};
}

std::optional<std::uint64_t> number_behind(std::string_view text, std::string_view key) {
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        std::uint64_t value = 0;
        if (!line.starts_with(key))
            continue;
        line.remove_prefix(key.size());
        line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
        if (std::from_chars(line.data(), line.data() + line.size(), value).ec == std::errc{})
            return value;
    }
    return std::nullopt;
}

} // namespace cvmin::agent
