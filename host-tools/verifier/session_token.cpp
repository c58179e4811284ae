#include "host-tools/verifier/session_token.hpp"

#include "host-tools/base/base64url.hpp"
#include "host-tools/base/mbed.hpp"

#include <mbedtls/md.h>

namespace cvmin {

namespace {

constexpr std::string_view domain{"cvmin verifier session\0", 23}; // with its NUL: a key used elsewhere as well MACs
                                                                   // nothing there that is a token here
constexpr std::size_t mac_size = sizeof(Sha256Digest);
constexpr std::size_t head_size = 2 + sizeof(std::uint64_t);

Sha256Digest mac_of(const Secret &key, ByteView message) {
    Sha256Digest mac;
    Bytes covered = to_bytes(as_bytes(domain));
    covered.insert(covered.end(), message.begin(), message.end());
    const mbedtls_md_info_t *const hash = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    if (hash == nullptr || mbedtls_md_hmac(hash, u8(key.view()), key.view().size(), u8(ByteView{covered}),
                                           covered.size(), u8(MutableBytes{mac})) != 0)
        std::abort(); // a hash that does not work: nothing that is signed here may be believed
    return mac;
}

} // namespace

std::string_view name(NonceOrigin origin) {
    return origin == NonceOrigin::service ? "service" : "client";
}

std::string_view name(TokenProblem problem) {
    switch (problem) {
    case TokenProblem::malformed:
        return "malformed";
    case TokenProblem::forged:
        return "forged";
    case TokenProblem::expired:
        return "expired";
    }
    return {};
}

Result<void> SessionKeys::add(Secret key) {
    if (key.view().size() < min_session_key || key.view().size() > max_session_key)
        return fail(Errc::out_of_range, "session key", key.view().size());
    if (keys_.size() == max_session_keys)
        return fail(Errc::out_of_range, "session keys", keys_.size());
    keys_.push_back(std::move(key));
    return {};
}

void SessionKeys::add_random() {
    Bytes bytes(max_session_key);
    system_random(nullptr, u8(MutableBytes{bytes}), bytes.size());
    keys_.emplace_back(std::move(bytes));
}

std::string SessionKeys::make(const VerifierSession &session) const {
    if (keys_.empty() || session.nonce.size() < min_session_nonce || session.nonce.size() > max_session_nonce)
        std::abort();
    const std::size_t covered = head_size + session.nonce.size();
    Bytes token(covered + mac_size);
    token[0] = std::byte{session_token_version};
    token[1] = static_cast<std::byte>(session.origin);
    store_be(MutableBytes{token}.subspan(2, sizeof(std::uint64_t)), static_cast<std::uint64_t>(session.expires));
    std::ranges::copy(session.nonce, token.begin() + head_size);
    std::ranges::copy(mac_of(keys_.front(), ByteView{token}.first(covered)),
                      token.begin() + static_cast<std::ptrdiff_t>(covered));
    return base64url(token);
}

std::expected<VerifierSession, TokenProblem> SessionKeys::read(std::string_view text, std::time_t now) const {
    if (text.size() > max_session_token || text.contains('='))
        return std::unexpected(TokenProblem::malformed);
    const auto token = parse_base64url(text, "token");
    if (!token || token->size() < head_size + min_session_nonce + mac_size ||
        token->size() > head_size + max_session_nonce + mac_size || token->front() != std::byte{session_token_version})
        return std::unexpected(TokenProblem::malformed);
    const ByteView covered = ByteView{*token}.first(token->size() - mac_size);
    const ByteView mac = ByteView{*token}.last(mac_size);
    bool ours = false;
    for (const Secret &key : keys_) // all of them: how long it takes says nothing about which one it was
        ours = same_secret(mac_of(key, covered), mac) || ours;
    if (!ours)
        return std::unexpected(TokenProblem::forged);
    VerifierSession session{.expires = static_cast<std::time_t>(load_be(covered.subspan(2, sizeof(std::uint64_t)))),
                            .origin = covered[1] == std::byte{0} ? NonceOrigin::service : NonceOrigin::client,
                            .nonce = to_bytes(covered.subspan(head_size))};
    if (now >= session.expires)
        return std::unexpected(TokenProblem::expired);
    return session;
}

} // namespace cvmin
