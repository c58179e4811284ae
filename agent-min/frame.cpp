#include "agent-min/frame.hpp"

#include <mbedtls/platform_util.h>

namespace cvmin::agent {

MutableBytes FrameReader::room() {
    if (used_ < frame_header_size)
        return MutableBytes{header_}.subspan(used_);
    return MutableBytes{body_}.subspan(used_ - frame_header_size);
}

Result<bool> FrameReader::filled(std::size_t count) {
    used_ += count;
    if (used_ < frame_header_size)
        return false;
    if (used_ == frame_header_size && body_.empty()) {
        const std::uint64_t size = load_be(header_);
        if (size == 0 || size > limit_)
            return fail(Errc::out_of_range, "frame.length", size);
        body_.resize(size); // at once: growing would leave copies of a secret behind
    }
    return used_ == frame_header_size + body_.size();
}

void FrameReader::reset() {
    mbedtls_platform_zeroize(body_.data(), body_.size());
    Bytes{}.swap(body_);
    used_ = 0;
}

} // namespace cvmin::agent
