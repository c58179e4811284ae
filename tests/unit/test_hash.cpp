// SHA-2 against published vectors (FIPS 180-4 examples, NIST) and every length around several blocks. Built twice: with
// the host's implementation and with the guest's, which must not differ.
#include "tests/unit/cmocka.hpp"

#include "common/hash.hpp"

using namespace cvmin;

namespace {

struct Vector {
    std::string message;
    std::string_view sha256, sha384, sha512;
};

const Vector vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
     "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b",
     "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
     "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
     "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
     "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712fcc7c71a557e2db966c3e9fa91746039",
     "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
     "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909"},
    {std::string(1000000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
     "9d0e1809716474cb086e834e310a4a1ced149e9c00f248527972cec5704c2a5b07b8b3dc38ecc4ebae97ddd87f3d8985",
     "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
     "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b"},
};

constexpr std::size_t longest = 1000;
Bytes pattern(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>(i * 7 + 3);
    return bytes;
}

// The digest of the digests of pattern(0), pattern(1), ... pattern(longest).
template <class Hash> std::string of_every_length(Hash hash) {
    Bytes digests;
    for (std::size_t size = 0; size <= longest; ++size) {
        const auto digest = hash(pattern(size));
        digests.insert(digests.end(), digest.begin(), digest.end());
    }
    return hex(hash(digests));
}

Sha256Digest streamed(ByteView bytes, std::size_t piece) {
    Sha256Stream stream;
    for (; !bytes.empty(); bytes = bytes.subspan(std::min(piece, bytes.size()))) {
        stream.update(bytes.first(std::min(piece, bytes.size())));
        stream.update({}); // an empty piece changes nothing
    }
    return stream.finish();
}

} // namespace

static void sha2_gives_the_published_digests(void **) {
    for (const Vector &vector : vectors) {
        const ByteView message = as_bytes(vector.message);
        assert_true(hex(sha256(message)) == vector.sha256);
        assert_true(hex(sha384(message)) == vector.sha384);
        assert_true(hex(sha512(message)) == vector.sha512);
    }
    assert_true(hex(sha384(ByteView{})) == vectors[0].sha384); // no address at all
}

// Expected values by Python's hashlib.
static void sha2_is_right_at_every_length(void **) {
    assert_true(of_every_length([](ByteView b) { return sha256(b); }) ==
                "cda434928e5df689ee9ffa39182b1cf3e75b1160fdfb2f96aeb2df864ed3c88b");
    assert_true(of_every_length([](ByteView b) { return sha384(b); }) ==
                "36c8d03b9e0afec3b5ecc2ff67235ca4f4083c8445c9addb59dc216f4cadac28cd608e6fe99830b58acec1bd46d3c932");
    assert_true(of_every_length([](ByteView b) { return sha512(b); }) ==
                "b0b246c3942cdd73ee8adb1eecc8fc4dcb60218ccc912ef7805e550a424ee4d0"
                "42f65ba9563309d526f1ba8b45d695a62f11859bfb47879df1d615535e645c4c");
}

static void a_stream_gives_the_same_digest_whatever_the_pieces(void **) {
    const Bytes bytes = pattern(longest);
    const Sha256Digest whole = sha256(bytes);
    for (std::size_t piece : {1u, 3u, 63u, 64u, 65u, 128u, 999u, 1000u, 2000u})
        assert_true(streamed(bytes, piece) == whole);
    assert_true(streamed({}, 1) == sha256({}));
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(sha2_gives_the_published_digests),
        cmocka_unit_test(sha2_is_right_at_every_length),
        cmocka_unit_test(a_stream_gives_the_same_digest_whatever_the_pieces),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
