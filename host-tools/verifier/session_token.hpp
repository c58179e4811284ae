// Sessions of the verifier service that no replica has to remember: the token in a session's URL carries nonce and end,
// and a MAC by a key that all replicas share. Knows no HTTP; keys come from the caller.
//   token = base64url(version (1) || whose nonce (1) || expiry, seconds since 1970 (8, big-endian) || nonce (8..64) ||
//                     MAC (32))
//   MAC   = HMAC-SHA-256(key, "cvmin verifier session\0" || all before the MAC)
#pragma once

#include "common/hash.hpp"
#include "common/secret.hpp"

#include <ctime>
#include <expected>
#include <string>
#include <vector>

namespace cvmin {

// RFC 9711, 4.1: a nonce has 8 to 64 bytes. Evidence of our agents wants 32 at least.
inline constexpr std::size_t min_session_nonce = 8;
inline constexpr std::size_t max_session_nonce = 64;
inline constexpr std::size_t default_session_nonce = 32;
// As long as the hash, or as its block: HMAC hashes longer keys first, and shorter ones are weaker than the MAC.
inline constexpr std::size_t min_session_key = 32;
inline constexpr std::size_t max_session_key = 64;
inline constexpr std::size_t max_session_keys = 8; // the one that signs, and older ones until their sessions have ended

inline constexpr std::uint8_t session_token_version = 1;
inline constexpr std::size_t max_session_token = 142; // base64url of 106 bytes

// Who chose a session's nonce: what only its sender calls fresh may be evidence of any day.
enum class NonceOrigin : std::uint8_t { service = 0, client = 1 };
std::string_view name(NonceOrigin origin); // "service", "client"

struct VerifierSession {
    std::time_t expires = 0;
    NonceOrigin origin = NonceOrigin::service;
    Bytes nonce; // min_session_nonce..max_session_nonce
};

enum class TokenProblem : std::uint8_t {
    malformed, // not a token of this version
    forged,    // by none of our keys
    expired,   // by one of them; `now` is not before its end
};
std::string_view name(TokenProblem problem);

class SessionKeys {
  public:
    // The first one makes new tokens; all are tried on those that come. out_of_range: its length, or too many keys.
    Result<void> add(Secret key);
    // From the kernel's generator, for a single replica.
    void add_random();
    std::size_t size() const { return keys_.size(); }

    // There is a key, and the nonce has its size.
    std::string make(const VerifierSession &session) const;
    std::expected<VerifierSession, TokenProblem> read(std::string_view token, std::time_t now) const;

  private:
    std::vector<Secret> keys_;
};

} // namespace cvmin
