#include "host-tools/session/send_input.hpp"

#include <mbedtls/platform_util.h>

#include <algorithm>
#include <cerrno>

#include <unistd.h>

namespace cvmin {

namespace {

// Pieces under way before their answers are read. Their answers, of some 20 bytes each, fit every socket buffer, so
// neither side waits for the other; and 1 MiB covers the delay of a link of 100 MB/s and 10 ms.
constexpr unsigned pieces_under_way = 16;

Deadline after(unsigned timeout_s) {
    return std::chrono::steady_clock::now() + std::chrono::seconds{timeout_s};
}

Explained<void> read_at(int file, std::uint64_t offset, MutableBytes out) {
    for (std::size_t done = 0; done < out.size();) {
        const ssize_t got = ::pread(file, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return explain({Errc::system, "input", static_cast<std::uint64_t>(errno)}, "reading");
        if (got == 0)
            return explain(Errc::truncated, "the file became shorter while it was sent");
        done += static_cast<std::size_t>(got);
    }
    return {};
}

// One answer to a piece that was sent.
Explained<void> take_answer(Session &session, unsigned timeout_s) {
    const auto answer = session.receive(after(timeout_s));
    if (!answer)
        return explain(answer.error(), "the agent");
    if (const auto *refusal = std::get_if<response::Failure>(&*answer))
        return explain(Errc::refused, "the agent answered " + std::string{name(refusal->code)} + ": " + refusal->text);
    if (!std::holds_alternative<response::PutOk>(*answer))
        return explain(Errc::malformed, "the agent gave another answer than was asked for");
    return {};
}

struct Wiped { // at the end
    MutableBytes bytes;
    explicit Wiped(MutableBytes what) : bytes(what) {}
    Wiped(const Wiped &) = delete;
    Wiped &operator=(const Wiped &) = delete;
    ~Wiped() { mbedtls_platform_zeroize(bytes.data(), bytes.size()); }
};

} // namespace

Explained<void> send_input(Session &session, const InputPiece &piece, unsigned timeout_s, const MovedBytes &moved) {
    Bytes buffer(max_put_size);
    const Wiped wiped{buffer};
    unsigned under_way = 0;
    for (std::uint64_t offset = piece.offset;;) {
        while (under_way == pieces_under_way || (offset == piece.size && under_way != 0)) {
            CVMIN_CHECK(take_answer(session, timeout_s));
            --under_way;
        }
        if (offset == piece.size)
            return {};
        const std::size_t size = std::min<std::uint64_t>(piece.size - offset, max_put_size);
        const MutableBytes data = MutableBytes{buffer}.first(size);
        CVMIN_CHECK(read_at(piece.file, offset, data));
        const auto sent =
            session.send(request::Put{.item = piece.item, .offset = offset, .data = data}, after(timeout_s));
        if (!sent)
            return explain(sent.error(), "the agent");
        ++under_way;
        offset += size;
        moved(offset, piece.size);
    }
}

} // namespace cvmin
