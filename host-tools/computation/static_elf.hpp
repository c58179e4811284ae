// Whether a file is a program that a CVM can run: a static x86-64 executable. The CVM has no other files, so a program
// that wants an interpreter or libraries would end before its first instruction.
#pragma once

#include "common/bytes.hpp"

#include <optional>

namespace cvmin {

// ELF-64 (System V gABI, chapters 4 and 5) and the x86-64 psABI. Why it is not one, for people; nothing: it is one,
// with or without a fixed address.
std::optional<std::string> why_not_static_elf(ByteView file);

} // namespace cvmin
