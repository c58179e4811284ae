// The client's side of bench/upload.sh. Prints the seconds from the first byte sent to the last answer.
//   cvmin-bench-upload raw SOCKET PORT FILE                  bytes as they are, over the vsock device at SOCKET
//   cvmin-bench-upload tls SOCKET PORT FILE MANIFEST KEY ITEM  as `cvmin upload` sends them; nothing is appraised
// SOCKET ending in "/PORT": the other end itself, with no vsock device before it.
#include "host-tools/base/os.hpp"
#include "host-tools/computation/manifest_file.hpp"
#include "host-tools/session/send_input.hpp"
#include "host-tools/signing/key_file.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

using namespace cvmin;

namespace {

constexpr unsigned limit_s = 300;
constexpr std::size_t piece_size = 64 * 1024;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
Deadline soon() {
    return std::chrono::steady_clock::now() + std::chrono::seconds{limit_s};
}
[[noreturn]] void give_up(const std::string &text) {
    std::fprintf(stderr, "cvmin-bench-upload: %s\n", text.c_str());
    std::exit(1);
}
template <class T> T must(Result<T> result, const char *what) {
    if (!result)
        give_up(std::string{what} + ": " + to_string(result.error()));
    if constexpr (!std::is_void_v<T>)
        return std::move(*result);
}
template <class T> T must(Explained<T> result) {
    if (!result)
        give_up(result.error().text);
    if constexpr (!std::is_void_v<T>)
        return std::move(*result);
}

UniqueFd connect_to(const std::string &path, std::uint32_t port) {
    if (!path.ends_with("/" + std::to_string(port)))
        return must(connect_agent(UnixVsock{path}, port, soon()), "connect");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        give_up("the path is too long");
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (::connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0)
        give_up(path + ": " + std::strerror(errno));
    return fd;
}

double send_raw(int to, int file, std::uint64_t size) {
    ::fcntl(to, F_SETFL, 0); // blocking
    Bytes piece(piece_size);
    ByteArray<8> count{}; // first, as a vsock device cannot half-close
    for (std::size_t i = 0; i < count.size(); ++i)
        count[i] = static_cast<std::byte>(size >> (8 * i));
    const double began = now();
    if (::send(to, count.data(), count.size(), MSG_NOSIGNAL) != 8)
        give_up(std::string{"send: "} + std::strerror(errno));
    for (ssize_t got; (got = ::read(file, piece.data(), piece.size())) > 0;)
        for (ssize_t done = 0; done < got;) {
            const ssize_t sent = ::send(to, piece.data() + done, static_cast<std::size_t>(got - done), MSG_NOSIGNAL);
            if (sent <= 0)
                give_up(std::string{"send: "} + std::strerror(errno));
            done += sent;
        }
    std::byte done{};
    if (::recv(to, &done, 1, 0) != 1)
        give_up("no answer");
    return now() - began;
}

template <class Answer> Answer ask(Session &session, const Request &request) {
    Response response = must(session.request(request, soon()), "request");
    if (auto *answer = std::get_if<Answer>(&response))
        return std::move(*answer);
    const auto *failure = std::get_if<response::Failure>(&response);
    give_up(failure != nullptr ? "the agent answered " + failure->text : "another answer");
}

double send_tls(UniqueFd to, int file, std::uint64_t size, char **names) {
    const ManifestFile manifest = must(load_manifest(names[0]));
    const Bytes text = must(read_file(names[1], 1u << 16), names[1]);
    P384PrivateKey key;
    must(read_private_key(key, text), names[1]);
    Session session = must(Session::open(std::move(to), soon(), {.party_key = &key}), "handshake");
    ask<response::Evidence>(session, request::Attest{.nonce = Bytes(32), .pcrs = std::nullopt});
    ask<response::Stored>(session, request::Manifest{manifest.encoded});
    const double began = now();
    must(send_input(session, {.item = names[2], .file = file, .offset = 0, .size = size}, limit_s, [](auto, auto) {}));
    ask<response::Stored>(session, request::PutEnd{.item = names[2], .size = size});
    return now() - began;
}

} // namespace

int main(int argc, char **argv) {
    const std::string_view kind = argc > 1 ? argv[1] : "";
    if (!(kind == "raw" && argc == 5) && !(kind == "tls" && argc == 8))
        return 2;
    const UniqueFd file{::open(argv[4], O_RDONLY | O_CLOEXEC)};
    struct stat found{};
    if (!file || ::fstat(file.get(), &found) != 0)
        give_up(argv[4]);
    const auto size = static_cast<std::uint64_t>(found.st_size);
    UniqueFd to = connect_to(argv[2], static_cast<std::uint32_t>(std::strtoul(argv[3], nullptr, 10)));
    std::printf("%.6f\n", kind == "raw" ? send_raw(to.get(), file.get(), size)
                                        : send_tls(std::move(to), file.get(), size, argv + 5));
    return 0;
}
