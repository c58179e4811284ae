// Collects one frame (4-byte big-endian length, message) from a stream that comes in any pieces.
#pragma once

#include "common/bytes.hpp"
#include "common/protocol.hpp"

namespace cvmin::agent {

class FrameReader {
  public:
    explicit FrameReader(std::size_t limit) : limit_(limit) {}
    FrameReader(const FrameReader &) = delete;
    FrameReader &operator=(const FrameReader &) = delete;
    ~FrameReader() { reset(); }

    // Where the next bytes go: never more than is missing, so nothing of the next frame is taken.
    MutableBytes room();
    // `count` bytes of room() were filled. True: the frame is whole. out_of_range: a length of 0 or above the limit,
    // known before anything of the message is stored.
    Result<bool> filled(std::size_t count);
    ByteView message() const { return ByteView{body_}.first(size_); }
    bool started() const { return used_ != 0; }
    // For the next frame; wiped: it may have held a secret. Its memory is kept: to take it anew for each piece of an
    // input costs more than to decrypt one.
    void reset();

  private:
    std::size_t limit_;
    ByteArray<frame_header_size> header_{};
    Bytes body_;           // as large as the largest so far
    std::size_t size_ = 0; // of this message
    std::size_t used_ = 0; // of header and body together
};

} // namespace cvmin::agent
