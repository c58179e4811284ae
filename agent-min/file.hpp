// Whole files, of a bounded size: those of proc, sysfs, configfs and securityfs do not say how long they are.
#pragma once

#include "common/bytes.hpp"

#include <optional>
#include <string>

namespace cvmin::agent {

// system (errno); too_large: more than `limit` bytes. `where` names the file in errors.
Result<Bytes> read_file(const std::string &path, std::size_t limit, std::string_view where);

// One write(2): that is how pseudo file systems take a value. system (errno).
Result<void> write_file(const std::string &path, ByteView bytes, std::string_view where);

// The number behind `key`, and blanks, in a text of "key number" lines.
std::optional<std::uint64_t> number_behind(std::string_view text, std::string_view key);

} // namespace cvmin::agent
