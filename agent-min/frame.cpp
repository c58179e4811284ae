#include "agent-min/frame.hpp"

#include <mbedtls/platform_util.h>

namespace cvmin::agent {

MutableBytes FrameReader::room() {
    if (used_ < frame_header_size)
        return MutableBytes{header_}.subspan(used_);
    return MutableBytes{body_}.first(size_).subspan(used_ - frame_header_size);
}

Result<bool> FrameReader::filled(std::size_t count) {
    used_ += count;
    if (used_ < frame_header_size)
        return false;
    if (used_ == frame_header_size && size_ == 0) {
        const std::uint64_t size = load_be(header_);
        if (size == 0 || size > limit_)
            return fail(Errc::out_of_range, "frame.length", size);
        size_ = size;
        if (body_.size() < size) {
            Bytes{}.swap(body_);
            body_ = Bytes(size); // at once: growing would leave copies of a secret behind
        }
    }
    return used_ == frame_header_size + size_;
}

void FrameReader::reset() {
    mbedtls_platform_zeroize(body_.data(), size_);
    size_ = used_ = 0;
}

} // namespace cvmin::agent
