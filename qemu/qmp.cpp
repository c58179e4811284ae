// QMP over a Unix socket: lines of JSON, with a bound on the line and a deadline on every wait.
#include "qemu/qmp.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <thread>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace cvmin {

std::string to_string(const QemuVersion &version) {
    return std::to_string(version.major) + "." + std::to_string(version.minor) + "." + std::to_string(version.micro);
}

Result<QemuVersion> parse_qemu_version(std::string_view text) {
    constexpr std::string_view start = "QEMU emulator version ";
    if (!text.starts_with(start))
        return fail(Errc::malformed, "qemu version");
    text.remove_prefix(start.size());
    QemuVersion version;
    for (unsigned *part : {&version.major, &version.minor, &version.micro}) {
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *part);
        if (error != std::errc{})
            return part == &version.micro ? Result<QemuVersion>{version} : fail(Errc::malformed, "qemu version");
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
        if (!text.starts_with('.'))
            return part == &version.major ? fail(Errc::malformed, "qemu version") : Result<QemuVersion>{version};
        text.remove_prefix(1);
    }
    return version;
}

Result<QmpMessage> parse_qmp_line(std::string_view line) {
    if (line.size() > max_qmp_line)
        return fail(Errc::too_large, "qmp.line", line.size());
    CVMIN_TRY(json, parse_json(as_bytes(line), "qmp.line"));
    if (!json.is_object())
        return fail(Errc::malformed, "qmp.line");
    QmpMessage message;
    if (json.contains("QMP")) {
        message.kind = QmpMessage::Kind::greeting;
        CVMIN_TRY(greeting, json_object(json, "QMP", "qmp.greeting"));
        CVMIN_TRY(version, json_object(greeting, "version", "qmp.greeting"));
        CVMIN_TRY(qemu, json_object(version, "qemu", "qmp.greeting"));
        message.body = std::move(qemu);
        return message;
    }
    if (json.contains("event")) {
        CVMIN_TRY(event, json_string(json, "event", "qmp.event"));
        message.text = std::move(event);
        return message;
    }
    if (json.contains("error")) {
        message.kind = QmpMessage::Kind::failure;
        CVMIN_TRY(error, json_object(json, "error", "qmp.error"));
        CVMIN_TRY(text, json_string(error, "desc", "qmp.error"));
        message.text = std::move(text);
    } else if (json.contains("return")) {
        message.kind = QmpMessage::Kind::success;
        message.body = json["return"];
    } else {
        return fail(Errc::malformed, "qmp.line");
    }
    // an error about a line that QEMU could not read has no id
    if (json.contains("id")) {
        CVMIN_TRY(id, json_unsigned(json, "id", "qmp.id"));
        message.id = id;
    }
    return message;
}

static std::unexpected<Error> system_error(std::string_view where) {
    return fail(Errc::system, where, static_cast<std::uint64_t>(errno));
}

Result<void> Qmp::fill(Deadline deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd waiting{.fd = fd_.get(), .events = POLLIN, .revents = 0};
        const int ready = ::poll(&waiting, 1, static_cast<int>(std::clamp<long long>(left.count(), 0, 60'000)));
        if (ready < 0 && errno != EINTR)
            return system_error("qmp.poll");
        if (ready <= 0) {
            if (std::chrono::steady_clock::now() >= deadline)
                return fail(Errc::timed_out, "qmp");
            continue;
        }
        char chunk[4096];
        const ssize_t got = ::read(fd_.get(), chunk, sizeof chunk);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return fail(Errc::unreachable, "qmp");
        buffer_.append(chunk, static_cast<std::size_t>(got));
        return {};
    }
}

Result<std::optional<QmpMessage>> Qmp::buffered() {
    const std::size_t end = buffer_.find('\n');
    if (end == std::string::npos) {
        if (buffer_.size() > max_qmp_line)
            return fail(Errc::too_large, "qmp.line", buffer_.size());
        return std::nullopt;
    }
    const std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    CVMIN_TRY(message, parse_qmp_line(line));
    if (message.kind == QmpMessage::Kind::event && message.text == "STOP")
        stopped_ = true;
    if (message.kind == QmpMessage::Kind::event && message.text == "RESUME")
        stopped_ = false;
    return message;
}

Result<QmpMessage> Qmp::next(Deadline deadline) {
    for (;;) {
        CVMIN_TRY(message, buffered());
        if (message)
            return std::move(*message);
        CVMIN_CHECK(fill(deadline));
    }
}

Result<Qmp> Qmp::connect(const std::filesystem::path &socket, Deadline deadline) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket.native().size() >= sizeof address.sun_path)
        return fail(Errc::out_of_range, "qmp.socket", socket.native().size());
    std::memcpy(address.sun_path, socket.c_str(), socket.native().size());
    Qmp qmp;
    for (;;) {
        qmp.fd_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!qmp.fd_)
            return system_error("qmp.socket");
        if (::connect(qmp.fd_.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0)
            break;
        if (errno != ENOENT && errno != ECONNREFUSED && errno != EINTR)
            return system_error("qmp.socket");
        if (std::chrono::steady_clock::now() >= deadline)
            return fail(Errc::timed_out, "qmp.socket");
        std::this_thread::sleep_for(std::chrono::milliseconds{2}); // QEMU makes its socket within some 20 ms
    }
    CVMIN_TRY(greeting, qmp.next(deadline));
    if (greeting.kind != QmpMessage::Kind::greeting)
        return fail(Errc::malformed, "qmp.greeting");
    CVMIN_TRY(major, json_unsigned(greeting.body, "major", "qmp.greeting"));
    CVMIN_TRY(minor, json_unsigned(greeting.body, "minor", "qmp.greeting"));
    CVMIN_TRY(micro, json_unsigned(greeting.body, "micro", "qmp.greeting"));
    qmp.version_ = {static_cast<unsigned>(major), static_cast<unsigned>(minor), static_cast<unsigned>(micro)};
    CVMIN_CHECK(qmp.execute("qmp_capabilities", Json::object(), deadline));
    return qmp;
}

Result<Json> Qmp::execute(std::string_view command, const Json &arguments, Deadline deadline) {
    const std::uint64_t id = ++last_id_;
    const std::string line = Json{{"execute", command}, {"arguments", arguments}, {"id", id}}.dump(
                                 -1, ' ', false, Json::error_handler_t::replace) +
                             "\n";
    std::string_view rest = line;
    while (!rest.empty()) {
        const ssize_t put = ::send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(Errc::unreachable, "qmp", static_cast<std::uint64_t>(errno));
        rest.remove_prefix(static_cast<std::size_t>(put));
    }
    for (;;) {
        CVMIN_TRY(message, next(deadline));
        if (message.kind == QmpMessage::Kind::event)
            continue;
        if (message.kind == QmpMessage::Kind::greeting || message.id != id)
            return fail(Errc::malformed, "qmp.answer");
        if (message.kind == QmpMessage::Kind::failure) {
            failure_ = std::move(message.text);
            return fail(Errc::refused, "qmp.command");
        }
        return std::move(message.body);
    }
}

Result<void> Qmp::take_events() {
    char chunk[4096];
    for (;;) {
        const ssize_t got = ::recv(fd_.get(), chunk, sizeof chunk, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return {};
        if (got <= 0)
            return fail(Errc::unreachable, "qmp");
        buffer_.append(chunk, static_cast<std::size_t>(got));
        for (;;) {
            CVMIN_TRY(message, buffered());
            if (!message)
                break;
        }
    }
}

} // namespace cvmin
