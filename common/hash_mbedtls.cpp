// SHA-2 by mbedTLS, for the guest, which has it for TLS anyway. What it hashes much of is the inputs of a computation,
// with SHA-256: there the whole blocks are hashed by the processor's instructions, where it has them (mbedTLS 3.6 uses
// those of Arm only). Three times as fast.
#define MBEDTLS_ALLOW_PRIVATE_ACCESS // to the state, for whole blocks
#include "common/hash.hpp"

#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include <cpuid.h>
#include <immintrin.h>

namespace cvmin {

static void must(int result) {
    if (result != 0)
        std::abort();
}

// ---- SHA-256 by the processor -----------------------------------------------------------------------------------

namespace {

constexpr std::size_t block_size = 64;

// FIPS 180-4, 4.2.2
alignas(16) constexpr std::uint32_t round_constants[] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// AMD 24594, CPUID: function 1, ECX bits 9 (SSSE3) and 19 (SSE4.1); function 7, EBX bit 29 (SHA).
bool processor_has_sha() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned wanted = 1u << 9 | 1u << 19;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & wanted) != wanted)
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & 1u << 29) != 0;
}

#define CVMIN_SHA __attribute__((target("sha,ssse3,sse4.1")))

CVMIN_SHA __m128i load(const void *at) {
    return _mm_loadu_si128(static_cast<const __m128i *>(at));
}

// AMD 24592, SHA256RNDS2, SHA256MSG1 and SHA256MSG2. The state a..h is kept as the instructions have it: {a,b,e,f} and
// {c,d,g,h}, the first of each in the highest word.
CVMIN_SHA void hash_blocks(std::uint32_t *state, const std::byte *data, std::size_t blocks) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const __m128i badc = _mm_shuffle_epi32(load(state), 0xb1); // from the highest word: c d a b
    const __m128i hgfe = _mm_shuffle_epi32(load(state + 4), 0x1b);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
    for (; blocks != 0; --blocks, data += block_size) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i words[4]; // the last sixteen of the message schedule
#pragma GCC unroll 16
        for (unsigned i = 0; i < 16; ++i) {
            __m128i &now = words[i % 4];
            if (i < 4) {
                now = _mm_shuffle_epi8(load(data + std::size_t{16} * i), big_endian);
            } else {
                const __m128i next = words[(i + 1) % 4], last = words[(i + 3) % 4];
                const __m128i seven_back = _mm_alignr_epi8(last, words[(i + 2) % 4], 4);
                now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(now, next), seven_back), last);
            }
            const __m128i keyed = _mm_add_epi32(now, load(round_constants + std::size_t{4} * i));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128(reinterpret_cast<__m128i *>(state), _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(reinterpret_cast<__m128i *>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

} // namespace

// ---- by mbedTLS -------------------------------------------------------------------------------------------------

Sha256Digest sha256(ByteView bytes) {
    Sha256Digest out;
    must(mbedtls_sha256(u8(bytes), bytes.size(), u8(MutableBytes{out}), 0));
    return out;
}

Sha384Digest sha384(ByteView bytes) {
    Sha384Digest out;
    must(mbedtls_sha512(u8(bytes), bytes.size(), u8(MutableBytes{out}), 1));
    return out;
}

Sha512Digest sha512(ByteView bytes) {
    Sha512Digest out;
    must(mbedtls_sha512(u8(bytes), bytes.size(), u8(MutableBytes{out}), 0));
    return out;
}

static mbedtls_sha256_context *context(MutableBytes state) {
    return reinterpret_cast<mbedtls_sha256_context *>(state.data());
}

Sha256Stream::Sha256Stream() {
    static_assert(sizeof(mbedtls_sha256_context) <= state_size);
    static_assert(alignof(mbedtls_sha256_context) <= alignof(std::uint64_t));
    mbedtls_sha256_init(std::construct_at(context(state_)));
    must(mbedtls_sha256_starts(context(state_), 0));
}
Sha256Stream::~Sha256Stream() {
    mbedtls_sha256_free(context(state_));
}
void Sha256Stream::update(ByteView bytes) {
    static const bool by_processor = processor_has_sha();
    mbedtls_sha256_context &state = *context(state_);
    const std::size_t pending = state.total[0] % block_size;
    if (by_processor && pending + bytes.size() >= block_size) {
        const ByteView first = bytes.first(pending == 0 ? 0 : block_size - pending);
        if (!first.empty()) // which makes the block whole
            must(mbedtls_sha256_update(&state, u8(first), first.size()));
        bytes = bytes.subspan(first.size());
        const std::size_t whole = bytes.size() / block_size * block_size;
        hash_blocks(state.state, bytes.data(), whole / block_size);
        const std::uint64_t total = (std::uint64_t{state.total[1]} << 32 | state.total[0]) + whole;
        state.total[0] = static_cast<std::uint32_t>(total);
        state.total[1] = static_cast<std::uint32_t>(total >> 32);
        bytes = bytes.subspan(whole);
    }
    must(mbedtls_sha256_update(context(state_), u8(bytes), bytes.size()));
}
Sha256Digest Sha256Stream::finish() {
    Sha256Digest out;
    must(mbedtls_sha256_finish(context(state_), u8(MutableBytes{out})));
    return out;
}

} // namespace cvmin
