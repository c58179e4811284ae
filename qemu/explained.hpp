// Failures with a sentence, under the name that qemu/ uses.
#pragma once

#include "host-tools/base/explained.hpp"
