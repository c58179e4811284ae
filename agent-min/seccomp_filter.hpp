// The classic BPF program made of seccomp_list.hpp. Installing it is sandbox.cpp's business.
//
// Another architecture than x86-64 (i386's calls by int 0x80, x32's numbers) ends the process; a number that is not
// listed is answered as by a kernel that does not have it.
#pragma once

#include "agent-min/seccomp_list.hpp"

#include <span>

#include <linux/filter.h>

namespace cvmin::agent {

std::span<const sock_filter> algorithm_filter();

} // namespace cvmin::agent
