// The guest's side of bench/upload.sh, compiled as the agent is. Takes bytes and does with them a part of what the
// agent does, by the port on which they come. Their number comes first, 8 bytes little-endian; one byte is the answer
// to all.
//   as PID 1 of a guest   vsock, ports 7000 to 7004
//   cvmin-bench-guest DIR the same code on the host, without emulation: Unix sockets DIR/7000 ...; and at DIR/5000 the
//                         agent itself, server and computation, whose report says nothing
#include "agent-min/mounts.hpp"
#include "agent-min/server.hpp"
#include "agent-min/store.hpp"
#include "agent-min/vsock.hpp"
#include "common/snp_report.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <mbedtls/gcm.h>

#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

using namespace cvmin;
using namespace cvmin::agent;

namespace {

constexpr std::uint32_t first_port = 7000;
enum class Work : std::uint8_t { drop, store, hash, decrypt_128, decrypt_256 };
constexpr Work works[] = {Work::drop, Work::store, Work::hash, Work::decrypt_128, Work::decrypt_256};
constexpr std::size_t record_size = 16384; // of TLS, at most

struct Gcm { // as TLS_AES_256_GCM_SHA384 and TLS_AES_128_GCM_SHA256 have it
    mbedtls_gcm_context context;
    explicit Gcm(unsigned bits) {
        mbedtls_gcm_init(&context);
        const ByteArray<32> key{};
        if (mbedtls_gcm_setkey(&context, MBEDTLS_CIPHER_ID_AES, u8(ByteView{key}), bits) != 0)
            std::abort();
    }
    Gcm(const Gcm &) = delete;
    Gcm &operator=(const Gcm &) = delete;
    ~Gcm() { mbedtls_gcm_free(&context); }
    void open(MutableBytes record) {
        const ByteArray<12> nonce{};
        ByteArray<16> tag{};
        if (mbedtls_gcm_crypt_and_tag(&context, MBEDTLS_GCM_DECRYPT, record.size(), u8(ByteView{nonce}), nonce.size(),
                                      nullptr, 0, u8(record), u8(record), tag.size(), u8(MutableBytes{tag})) != 0)
            std::abort();
    }
};

void take(int fd, Work work) {
    Bytes buffer(max_put_size);
    Fd file{::memfd_create("bench", MFD_CLOEXEC)};
    Sha256Stream stream;
    const bool decrypts = work == Work::decrypt_128 || work == Work::decrypt_256;
    Gcm gcm{work == Work::decrypt_128 ? 128u : 256u};
    ByteArray<8> count{};
    if (::recv(fd, count.data(), count.size(), MSG_WAITALL) != 8)
        return;
    for (std::uint64_t left = load_le(count); left != 0;) {
        // records come whole: what is left of one would be work that TLS does not have
        const int wait_for_all = decrypts ? MSG_WAITALL : 0;
        const std::size_t room = decrypts ? record_size : buffer.size();
        const ssize_t got = ::recv(fd, buffer.data(), std::min<std::uint64_t>(room, left), wait_for_all);
        if (got <= 0)
            return;
        left -= static_cast<std::uint64_t>(got);
        const MutableBytes piece = MutableBytes{buffer}.first(static_cast<std::size_t>(got));
        if ((work == Work::store || work == Work::hash) && ::write(file.get(), piece.data(), piece.size()) != got)
            std::abort();
        if (work == Work::hash)
            stream.update(piece);
        if (decrypts)
            gcm.open(piece);
    }
    [[maybe_unused]] const ssize_t sent = ::send(fd, "!", 1, MSG_NOSIGNAL);
}

Result<Fd> listen_unix(const std::string &path) {
    Fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return fail(Errc::too_large, "path", path.size());
    std::copy(path.begin(), path.end(), address.sun_path);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 ||
        ::listen(fd.get(), 4) != 0)
        return os_error("listen");
    return fd;
}

template <class T> T must(Result<T> result, const char *what) {
    if (!result) {
        std::printf("%s: %s\n", what, to_string(result.error()).c_str());
        std::fflush(stdout);
        if (::getpid() == 1)
            ::reboot(RB_POWER_OFF);
        ::_exit(1);
    }
    return std::move(*result);
}

[[noreturn]] void serve(std::array<Fd, std::size(works)> listeners) {
    for (;;) {
        std::array<pollfd, std::size(works)> waiting{};
        for (std::size_t i = 0; i < waiting.size(); ++i)
            waiting[i] = {listeners[i].get(), POLLIN, 0};
        ::poll(waiting.data(), waiting.size(), -1);
        for (std::size_t i = 0; i < waiting.size(); ++i)
            if (const Fd peer{waiting[i].revents != 0 ? ::accept(listeners[i].get(), nullptr, nullptr) : -1})
                take(peer.get(), works[i]);
    }
}

// ---- the agent, without a CVM -----------------------------------------------------------------------------------

class EmptySource final : public ReportSource {
  public:
    std::string_view name() const override { return "bench"; }
    Result<PlatformReport> report(const ByteArray<64> &report_data) override {
        Bytes report(snp_report_size);
        report_field::version::put_le(report, 2);
        report_field::signature_algo::put_le(report, signature_algo_ecdsa_p384_sha384);
        report_field::report_data::put(report, report_data);
        return PlatformReport{std::move(report), {}};
    }
};

class NoSandbox final : public Sandbox { // nothing is run
  public:
    Result<void> start(const SandboxJob &) override { return fail(Errc::unsupported, "bench"); }
    int exit_fd() const override { return -1; }
    int log_fd() const override { return -1; }
    std::optional<std::uint64_t> deadline_ms() const override { return std::nullopt; }
    Result<std::optional<SandboxExit>> tick() override { return std::nullopt; }
    ByteView log() const override { return {}; }
    bool log_truncated() const override { return false; }
    Result<std::vector<OutputFile>> outputs() override { return fail(Errc::unsupported, "bench"); }
    Result<void> read_output(const std::string &, std::uint64_t, std::span<std::byte>) override {
        return fail(Errc::unsupported, "bench");
    }
    void kill() override {}
    Result<void> clean() override { return {}; }
};

[[noreturn]] void serve_agent(const std::string &folder) {
    BootClock clock;
    EmptySource source;
    NoSandbox sandbox;
    agent::RuntimeLog log{clock, nullptr};
    LockedPages pages;
    SecretStore secrets{pages};
    const std::string data = folder + "/data";
    MemoryStore store{data.c_str()};
    const auto identity = must(TlsIdentity::make(), "identity");
    Computation computation{{.source = source,
                             .log = log,
                             .store = store,
                             .sandbox = &sandbox,
                             .key = identity->public_key(),
                             .signer = identity->key()}};
    Service service{{.source = source, .secrets = secrets, .log = log, .logs = nullptr, .computation = &computation},
                    identity->public_key(),
                    {}};
    const auto server = must(
        Server::open(must(listen_unix(folder + "/5000"), "listen"), *identity, service, clock, &computation), "server");
    for (;;)
        must(server->turn(60'000), "turn");
}

} // namespace

int main(int argc, char **argv) {
    std::signal(SIGPIPE, SIG_IGN);
    const bool guest = ::getpid() == 1;
    if (guest) {
        if (!mount_all(mounts))
            return 1;
    } else if (argc != 2) {
        return 2;
    } else if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        return 4; // what the store mounts must go with us
    }
    std::array<Fd, std::size(works)> listeners;
    for (std::uint32_t i = 0; i < listeners.size(); ++i)
        listeners[i] = must(guest ? listen_vsock(first_port + i)
                                  : listen_unix(std::string{argv[1]} + "/" + std::to_string(first_port + i)),
                            "listen");
    if (guest)
        serve(std::move(listeners));
    if (::fork() == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(std::move(listeners));
    }
    serve_agent(argv[1]);
}
