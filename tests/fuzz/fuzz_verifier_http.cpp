// Any request to the verifier service: what it answers is well-formed, and never affirms. The first byte chooses the
// method, the second what stands in the place of a session's token; then path and query, media type and Accept, each
// ended by a newline; the rest is the body.
#include "host-tools/base/base64url.hpp"
#include "host-tools/base/mbed.hpp"
#include "host-tools/verifier/service.hpp"
#include "tests/fuzz/data_file.hpp"

using namespace cvmin;

namespace {

constexpr std::time_t judged_at = 1'780'000'000; // 2026

struct World {
    Appraiser appraiser{[](std::time_t) -> Explained<ReferenceSnapshot> {
        ReferenceSnapshot snapshot;
        snapshot.wanted.policy = parse_policy(fuzz::data_file("../../policies/emulated.json")).value();
        snapshot.wanted.emulated_ark = fuzz::data_file("negative/certificates/ark.der");
        snapshot.wanted.measurements.emplace_back();
        snapshot.wanted.measurements.back().fill(std::byte{0xaa});
        return snapshot;
    }};
    SessionKeys keys() const {
        SessionKeys out;
        if (!out.add(Secret{Bytes(32, std::byte{7})}))
            std::abort();
        return out;
    }
    VerifierService service{{.page = true}, keys(), result_keys(), appraiser, [](const Json &) {}, [] { return 0; }};

    static ResultKeys result_keys() {
        ResultKeys out;
        out.signing.push_back(std::make_unique<P384PrivateKey>());
        if (!out.signing.front()->parse(fuzz::data_file("cose/key.der"), system_random, nullptr, "key"))
            std::abort();
        out.published.push_back(out.signing.front()->public_key().value());
        return out;
    }
    World() {
        if (!service.reload(judged_at))
            std::abort();
    }
};

std::string_view line(std::string_view &rest) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view out = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return out;
}

void check_result(std::string_view jwt) {
    const std::size_t first = jwt.find('.'), last = jwt.rfind('.');
    if (first >= last)
        std::abort();
    const auto payload = parse_base64url(jwt.substr(first + 1, last - first - 1), "jwt");
    const auto claims = payload ? parse_json(*payload, "jwt") : std::unexpected(payload.error());
    if (!claims || claims->at("submods").at("sev-snp").at("ear_status") != "contraindicated")
        std::abort();
}

void check(const HttpReply &reply) {
    const bool known = std::ranges::contains(counted_statuses, reply.status);
    if (!known || reply.status == 500)
        std::abort();
    for (const auto &[key, value] : reply.headers)
        for (const char c : key + value)
            if (c < ' ' || c > '~') // nothing of a request may begin a header of ours
                std::abort();
    if (reply.status >= 400 && !parse_json(as_bytes(reply.body), "problem"))
        std::abort();
    // under an emulated root no result affirms anything
    const auto session = reply.status == 200 ? parse_json(as_bytes(reply.body), "session") : Result<Json>{};
    if (session && session->is_object() && session->contains("result"))
        check_result((*session)["result"].get<std::string>());
    if (reply.status == 200 && std::ranges::contains(reply.headers, std::pair<std::string, std::string>(
                                                                        "Content-Type", "application/eat+jwt")))
        check_result(reply.body);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static World world;
    if (size < 2)
        return 0;
    constexpr std::string_view methods[] = {"POST", "GET", "DELETE", "HEAD", "PUT", ""};
    std::string_view rest = as_text(std::as_bytes(std::span{data, size}).subspan(2));
    HttpMessage message;
    message.method = methods[data[0] % std::size(methods)];
    const std::string_view target = line(rest);
    const std::size_t query = std::min(target.find('?'), target.size());
    message.path = target.substr(0, query);
    message.query = target.substr(std::min(query + 1, target.size()));
    if (data[1] % 2 == 1) // a token of ours: without the key nobody comes further
        message.path = "/challenge-response/v1/session/" +
                       world.keys().make({.expires = judged_at + 60, .nonce = Bytes(32, std::byte{0x5a})});
    if (data[1] % 4 >= 2)
        message.path = "/challenge-response/v1/session/" + message.path;
    message.headers.emplace_back("content-type", line(rest));
    message.headers.emplace_back("accept", line(rest));
    message.body = as_bytes(rest);
    message.peer = "192.0.2.1";
    if (const auto early = world.service.refuse_early(message, judged_at))
        check(*early);
    check(world.service.handle(message, judged_at));
    (void)world.keys().read(target, judged_at);
    return 0;
}
