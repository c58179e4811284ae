// The bytes of an open file, sent to an agent as an input of its computation. Whether the agent may have them was
// decided before.
#pragma once

#include "host-tools/base/explained.hpp"
#include "host-tools/session/session.hpp"

#include <functional>

namespace cvmin {

// Called now and then with what has been moved of what there is.
using MovedBytes = std::function<void(std::uint64_t moved, std::uint64_t total)>;

struct InputPiece {
    std::string item;
    int file = -1;            // open for reading
    std::uint64_t offset = 0; // of the first byte that is sent
    std::uint64_t size = 0;   // of the whole file
};

// Many pieces are under way before their answers are read. refused: the agent's own words; malformed: another kind of
// answer; truncated: the file became shorter; system; the errors of Session::send and receive.
Explained<void> send_input(Session &session, const InputPiece &piece, unsigned timeout_s, const MovedBytes &moved);

} // namespace cvmin
