// Drives the agent's TPM code against a swtpm, for tests/agent/swtpm.sh: one command a line on standard input, one
// answer a line on standard output ("ok", or the error).
//   quote BANK MASK QUALIFYING_HEX PREFIX    writes PREFIX.{attest,sig,ak,ek,cert,pcrs}
//   activate ID_OBJECT SECRET OUT            files
//   extend SHA256_HEX SHA384_HEX
//   ak                                       answers the digest
// With a second argument every answer of the TPM is written there: command code, size, both 4 bytes big-endian, answer.
// That is how tests/data/swtpm/*.bin were made, which tests/unit/test_esys_tpm.cpp plays back.
#include "agent-min/esys_tpm.hpp"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

using namespace cvmin;
using namespace cvmin::agent;

namespace {

class RecordingDevice final : public TpmDevice {
  public:
    RecordingDevice(TpmDevice &device, const char *path) : device_(device), out_(path, std::ios::binary) {}
    Result<void> send(ByteView command) override {
        flush();
        code_ = to_bytes(command.subspan(6, 4));
        return device_.send(command);
    }
    Result<std::size_t> receive(MutableBytes room, std::uint64_t deadline_ms) override {
        auto got = device_.receive(room, deadline_ms);
        if (got)
            answer_.insert(answer_.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(*got));
        return got;
    }
    void flush() {
        if (answer_.empty())
            return;
        ByteArray<4> size{};
        store_be(size, answer_.size());
        out_ << as_text(code_) << as_text(size) << as_text(answer_) << std::flush;
        answer_.clear();
    }

  private:
    TpmDevice &device_;
    std::ofstream out_;
    Bytes code_;
    Bytes answer_;
};

void write_bytes(const std::string &path, ByteView bytes) {
    std::ofstream{path, std::ios::binary} << as_text(bytes);
}
Bytes read_bytes(const std::string &path) {
    std::ifstream in{path, std::ios::binary};
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    return to_bytes(as_bytes(text));
}

std::string answer_to(EsysTpm &tpm, std::istringstream &line) {
    std::string what;
    line >> what;
    if (what == "ak") {
        const auto ak = tpm.ak();
        return ak ? hex(*ak) : "none";
    }
    if (what == "extend") {
        std::string a;
        std::string b;
        line >> a >> b;
        const auto done = tpm.extend(*parse_hex_exactly<32>(a, "sha256"), *parse_hex_exactly<48>(b, "sha384"));
        return done ? "ok" : to_string(done.error());
    }
    if (what == "quote") {
        unsigned bank = 0;
        std::uint32_t mask = 0;
        std::string qualifying;
        std::string prefix;
        line >> std::hex >> bank >> mask >> qualifying >> prefix;
        const auto quote = tpm.quote({.bank = static_cast<TpmAlg>(bank), .mask = mask},
                                     *parse_hex_exactly<32>(qualifying, "qualifying"));
        if (!quote)
            return to_string(quote.error());
        write_bytes(prefix + ".attest", quote->attest);
        write_bytes(prefix + ".sig", quote->signature);
        write_bytes(prefix + ".ak", quote->ak_public);
        write_bytes(prefix + ".ek", quote->ek_public);
        write_bytes(prefix + ".cert", quote->ek_certificate);
        Bytes values;
        for (const PcrValue &value : quote->pcr_values.values)
            values.insert(values.end(), value.digest.begin(), value.digest.end());
        write_bytes(prefix + ".pcrs", values);
        return "ok";
    }
    if (what == "activate") {
        std::string id_object;
        std::string secret;
        std::string out;
        line >> id_object >> secret >> out;
        const auto credential = tpm.activate(read_bytes(id_object), read_bytes(secret));
        if (!credential)
            return to_string(credential.error());
        write_bytes(out, *credential);
        return "ok";
    }
    return "unknown";
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) {
        std::cerr << "usage: cvmin-test-tpm SOCKET [RECORD]\n";
        return 2;
    }
    Fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 ||
        ::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) {
        std::perror(argv[1]);
        return 4;
    }
    std::signal(SIGPIPE, SIG_IGN); // as the agent does
    BootClock clock;
    auto watched = FdTpmDevice::open(std::move(fd), clock);
    if (!watched)
        return 4;
    FdTpmDevice &device = *watched;
    RecordingDevice recording{device, argc == 3 ? argv[2] : "/dev/null"};
    auto tpm = EsysTpm::open(argc == 3 ? static_cast<TpmDevice &>(recording) : device, clock);
    std::cout << (tpm ? "ok" : to_string(tpm.error())) << std::endl;
    if (!tpm)
        return 1;
    std::string text;
    while (std::getline(std::cin, text)) {
        std::istringstream line{text};
        const std::uint64_t started = clock.now_us();
        const std::string answer = answer_to(**tpm, line);
        std::cerr << text.substr(0, text.find(' ')) << ": " << clock.now_us() - started << " us\n";
        std::cout << answer << std::endl;
    }
    tpm->reset(); // says goodbye
    recording.flush();
}
