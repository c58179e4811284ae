// The hash algorithms that a TPM names its PCR banks by (TCG Algorithm Registry, TPM_ALG_ID), and their digest sizes.
// Hashes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace cvmin {

enum class TpmAlg : std::uint16_t { sha1 = 0x0004, sha256 = 0x000b, sha384 = 0x000c, sha512 = 0x000d };

// nullopt: an algorithm that is none of these.
constexpr std::optional<TpmAlg> tpm_hash_alg(std::uint64_t id) {
    switch (id) {
    case 0x0004:
        return TpmAlg::sha1;
    case 0x000b:
        return TpmAlg::sha256;
    case 0x000c:
        return TpmAlg::sha384;
    case 0x000d:
        return TpmAlg::sha512;
    default:
        return std::nullopt;
    }
}

constexpr std::size_t digest_size(TpmAlg alg) {
    switch (alg) {
    case TpmAlg::sha1:
        return 20;
    case TpmAlg::sha256:
        return 32;
    case TpmAlg::sha384:
        return 48;
    case TpmAlg::sha512:
        return 64;
    }
    return 0;
}

constexpr std::string_view name(TpmAlg alg) {
    switch (alg) {
    case TpmAlg::sha1:
        return "sha1";
    case TpmAlg::sha256:
        return "sha256";
    case TpmAlg::sha384:
        return "sha384";
    case TpmAlg::sha512:
        return "sha512";
    }
    return "unknown";
}

} // namespace cvmin
