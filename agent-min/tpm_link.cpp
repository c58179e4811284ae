#include "agent-min/tpm_link.hpp"

#include <sys/epoll.h>

namespace cvmin::agent {

namespace {

constexpr std::size_t header_size = 10; // tag, size, code
using Tag = Field<0, 2>;
using Size = Field<2, 4>;
using Code = Field<6, 4>;

} // namespace

Result<void> check_tpm_answer(ByteView answer, std::uint16_t command_tag) {
    if (answer.size() < header_size)
        return fail(Errc::truncated, "tpm.answer", answer.size());
    const std::uint64_t size = load_be(Size::view(answer));
    if (size > answer.size())
        return fail(Errc::truncated, "tpm.answer", answer.size());
    if (size < answer.size())
        return fail(Errc::trailing, "tpm.answer", size);
    const std::uint64_t tag = load_be(Tag::view(answer));
    const bool success = load_be(Code::view(answer)) == 0;
    if (tag != (success ? command_tag : TPM2_ST_NO_SESSIONS))
        return fail(Errc::unsupported, "tpm.answer.tag", tag);
    if (!success && size != header_size)
        return fail(Errc::trailing, "tpm.answer", size);
    return {};
}

// ---- descriptor -----------------------------------------------------------------------------------------------

Result<FdTpmDevice> FdTpmDevice::open(Fd fd, Clock &clock) {
    Fd epoll{::epoll_create1(EPOLL_CLOEXEC)};
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = 0}};
    if (!epoll || ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0)
        return os_error("tpm.epoll");
    return FdTpmDevice{std::move(fd), std::move(epoll), clock};
}

Result<void> FdTpmDevice::send(ByteView command) {
    // The kernel takes a command in one write. EBUSY: one is under way, which we would have waited for.
    const ssize_t sent = ::write(fd_.get(), command.data(), command.size());
    if (sent < 0)
        return os_error("tpm.send");
    if (static_cast<std::size_t>(sent) != command.size())
        return fail(Errc::truncated, "tpm.send", static_cast<std::uint64_t>(sent));
    return {};
}

Result<std::size_t> FdTpmDevice::receive(MutableBytes out, std::uint64_t deadline_ms) {
    for (;;) {
        const std::uint64_t now = clock_.now_ms();
        epoll_event event{};
        const int ready =
            now < deadline_ms ? ::epoll_wait(epoll_.get(), &event, 1, static_cast<int>(deadline_ms - now)) : 0;
        if (ready < 0 && errno != EINTR)
            return os_error("tpm.receive");
        if (ready == 0)
            return fail(Errc::timed_out, "tpm.receive");
        if (ready < 0)
            continue;
        const ssize_t got = ::read(fd_.get(), out.data(), out.size());
        if (got > 0)
            return static_cast<std::size_t>(got);
        if (got == 0)
            return fail(Errc::unreachable, "tpm.receive");
        if (errno != EAGAIN && errno != EINTR)
            return os_error("tpm.receive");
    }
}

// ---- TCTI -----------------------------------------------------------------------------------------------------

TpmLink::TpmLink(TpmDevice &device, Clock &clock) : device_(device), clock_(clock) {
    context_.common.v1.magic = 0x63766d696e74706d; // any number that is not 0: "cvmintpm"
    context_.common.v1.version = 2;
    context_.common.v1.transmit = &TpmLink::transmit;
    context_.common.v1.receive = &TpmLink::receive;
    // finalize, cancel, getPollHandles, setLocality and makeSticky stay null: ESYS asks for none of them by itself
    context_.link = this;
}

TSS2_RC TpmLink::transmit(TSS2_TCTI_CONTEXT *context, std::size_t size, const std::uint8_t *command) {
    TpmLink &link = from(context);
    const auto sent = link.send(std::as_bytes(std::span{command, size}));
    if (sent)
        return TSS2_RC_SUCCESS;
    link.fault(sent.error());
    return TSS2_TCTI_RC_IO_ERROR;
}

Result<void> TpmLink::send(ByteView command) {
    if (fault_)
        return std::unexpected(*fault_);
    if (command.size() < header_size || command.size() > max_tpm_message_size || waiting_)
        return fail(Errc::out_of_range, "tpm.command", command.size());
    const std::uint64_t now = clock_.now_ms();
    if (now >= operation_deadline_ms_)
        return fail(Errc::timed_out, "tpm.command");
    command_tag_ = static_cast<std::uint16_t>(load_be(Tag::view(command)));
    command_deadline_ms_ = std::min(now + tpm_command_timeout_ms, operation_deadline_ms_);
    answer_size_ = 0;
    CVMIN_CHECK(device_.send(command));
    waiting_ = true;
    return {};
}

Result<void> TpmLink::take_answer() {
    if (fault_)
        return std::unexpected(*fault_);
    if (!waiting_)
        return fail(Errc::missing, "tpm.command");
    std::size_t have = 0;
    for (;;) {
        CVMIN_TRY(got, device_.receive(MutableBytes{answer_}.subspan(have), command_deadline_ms_));
        have += got;
        const ByteView answer = ByteView{answer_}.first(have);
        if (have < header_size || (have < answer_.size() && have < load_be(Size::view(answer))))
            continue; // a socket may give it in pieces; a device that does so for ever runs into the deadline
        CVMIN_CHECK(check_tpm_answer(answer, command_tag_));
        answer_size_ = have;
        waiting_ = false;
        return {};
    }
}

// ESYS asks how much room it has to make, and then for the answer. It trusts the sizes inside of an answer as far as
// its buffer goes and not only to the answer's end; so the rest of the buffer is filled, and what reads on finds sizes
// that cannot be and nothing of earlier messages.
TSS2_RC TpmLink::receive(TSS2_TCTI_CONTEXT *context, std::size_t *size, std::uint8_t *response, std::int32_t) {
    TpmLink &link = from(context);
    if (link.answer_size_ == 0) {
        if (const auto taken = link.take_answer(); !taken) {
            link.fault(taken.error());
            return TSS2_TCTI_RC_IO_ERROR;
        }
    }
    if (response == nullptr) {
        *size = max_tpm_message_size;
        return TSS2_RC_SUCCESS;
    }
    if (*size < max_tpm_message_size)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    *size = std::exchange(link.answer_size_, 0);
    const MutableBytes out = std::as_writable_bytes(std::span{response, max_tpm_message_size});
    std::ranges::copy(ByteView{link.answer_}.first(*size), out.begin());
    // Behind an error there still is the command, which ESYS sends once more when the TPM asks for it.
    if (load_be(Code::view(ByteView{out})) == 0)
        std::ranges::fill(out.subspan(*size), std::byte{0xff});
    return TSS2_RC_SUCCESS;
}

} // namespace cvmin::agent
