// Drives the agent's TPM code against a swtpm, for tests/agent/swtpm.sh: one command a line on standard input, one
// answer a line on standard output ("ok", or the error).
//   quote BANK MASK QUALIFYING_HEX PREFIX    writes PREFIX.{attest,sig,ak,ek,cert,pcrs}
//   activate ID_OBJECT SECRET OUT            files
//   extend SHA256_HEX SHA384_HEX
//   ak                                       answers the digest
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

void write_file(const std::string &path, ByteView bytes) {
    std::ofstream{path, std::ios::binary} << as_text(bytes);
}
Bytes read_file(const std::string &path) {
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
        write_file(prefix + ".attest", quote->attest);
        write_file(prefix + ".sig", quote->signature);
        write_file(prefix + ".ak", quote->ak_public);
        write_file(prefix + ".ek", quote->ek_public);
        write_file(prefix + ".cert", quote->ek_certificate);
        Bytes values;
        for (const PcrValue &value : quote->pcr_values.values)
            values.insert(values.end(), value.digest.begin(), value.digest.end());
        write_file(prefix + ".pcrs", values);
        return "ok";
    }
    if (what == "activate") {
        std::string id_object;
        std::string secret;
        std::string out;
        line >> id_object >> secret >> out;
        const auto credential = tpm.activate(read_file(id_object), read_file(secret));
        if (!credential)
            return to_string(credential.error());
        write_file(out, *credential);
        return "ok";
    }
    return "unknown";
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: cvmin-test-tpm SOCKET\n";
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
    FdTpmDevice device{std::move(fd), clock};
    auto tpm = EsysTpm::open(device, clock);
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
}
