// Credential protection: what tpm2_makecredential made is made again from its seed, KDFa and KDFe against published
// numbers, and keys that are no EK. tests/cli/credential.sh has a TPM open what make_credential() makes.
#include "host-tools/tpm/credential.hpp"
#include "host-tools/tpm/openssl.hpp"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "cmocka.hpp"

namespace cvmin {

namespace {

Bytes own(const std::string &name) {
    return test::data("tpm/" + name);
}
Bytes ak_name() {
    return parse_hex(as_text(own("credential.name")), "name").value();
}

// The file of tpm2_makecredential: magic, version, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET.
ProtectedCredential blob(const std::string &name) {
    const Bytes file = own(name);
    Reader in(file);
    const bool head = in.be(4) == 0xbadcc0de && in.be(4) == 1;
    const ByteView id = in.take(in.be(2));
    const ByteView secret = in.take(in.be(2));
    if (!head || !in.finish("blob"))
        abort();
    return {to_bytes(id), to_bytes(secret)};
}

openssl::Key private_key(const std::string &name) {
    const Bytes pem = own(name);
    const openssl::Owner<BIO, BIO_free> in{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
    return openssl::Key{PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr)};
}
Bytes number(const openssl::Key &key, const char *name, int size) {
    BIGNUM *value = nullptr;
    EVP_PKEY_get_bn_param(key.get(), name, &value);
    Bytes out(static_cast<std::size_t>(size));
    BN_bn2binpad(value, u8(MutableBytes{out}), size);
    BN_free(value);
    return out;
}

// The other side of rsa_seed() and ecc_seed(), with libcrypto's older interface.
Secret unwrap_rsa(const openssl::Key &key, ByteView encrypted) {
    const openssl::KeyContext context{EVP_PKEY_CTX_new(key.get(), nullptr)};
    Bytes seed(512);
    std::size_t size = seed.size();
    EVP_PKEY_decrypt_init(context.get());
    EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING);
    EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), EVP_sha256());
    auto *label = static_cast<char *>(OPENSSL_strdup("IDENTITY"));
    EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), label, 9);
    if (EVP_PKEY_decrypt(context.get(), u8(MutableBytes{seed}), &size, u8(encrypted), encrypted.size()) != 1)
        abort();
    seed.resize(size);
    return Secret{std::move(seed)};
}
Secret unwrap_ecc(const openssl::Key &key, ByteView encrypted, std::size_t size) {
    Reader in(encrypted);
    const ByteView x = in.take(in.be(2));
    const ByteView y = in.take(in.be(2));
    Bytes point{std::byte{4}};
    point.insert(point.end(), x.begin(), x.end());
    point.insert(point.end(), y.begin(), y.end());
    const openssl::Key peer{EVP_PKEY_new()};
    EVP_PKEY_copy_parameters(peer.get(), key.get());
    if (!in.finish("point") || EVP_PKEY_set1_encoded_public_key(peer.get(), u8(ByteView{point}), point.size()) != 1)
        abort();
    const openssl::KeyContext context{EVP_PKEY_CTX_new(key.get(), nullptr)};
    Bytes z(size);
    std::size_t written = z.size();
    EVP_PKEY_derive_init(context.get());
    EVP_PKEY_derive_set_peer(context.get(), peer.get());
    if (EVP_PKEY_derive(context.get(), u8(MutableBytes{z}), &written) != 1)
        abort();
    const int bytes = static_cast<int>(size);
    return tpm_kdfe(TpmAlg::sha256, z, "IDENTITY", x, number(key, OSSL_PKEY_PARAM_EC_PUB_X, bytes), 256).value();
}

TpmtPublic software_ek(TpmAlgId type) { // as tpm2_makecredential takes a PEM key to be
    return TpmtPublic{.type = type,
                      .name_alg = TpmAlg::sha256,
                      .attributes = 0x300b2,
                      .auth_policy = {},
                      .symmetric = TpmAlgId::aes,
                      .symmetric_bits = 128,
                      .symmetric_mode = TpmAlgId::cfb,
                      .rsa_modulus = {},
                      .x = {},
                      .y = {}};
}

void makes_what_tpm2_makecredential_makes_of_the_seed(void **) {
    const ProtectedCredential rsa = blob("credential_rsa.blob");
    const ProtectedCredential ecc = blob("credential_ecc.blob");
    const Secret rsa_seed = unwrap_rsa(private_key("credential_rsa.key"), rsa.encrypted_secret);
    const Secret ecc_seed = unwrap_ecc(private_key("credential_ecc.key"), ecc.encrypted_secret, 32);
    const auto from_rsa = protect_credential(software_ek(TpmAlgId::rsa), rsa_seed, ak_name(), own("credential.secret"));
    const auto from_ecc = protect_credential(software_ek(TpmAlgId::ecc), ecc_seed, ak_name(), own("credential.secret"));
    const bool same = from_rsa == rsa.id_object && from_ecc == ecc.id_object;
    assert_true(same);
}

// The numbers were computed by a reference in Go of another project, and by Python's hmac and hashlib for this test.
void derives_the_published_keys(void **) {
    const auto filled = [](std::size_t size, int value) { return Bytes(size, static_cast<std::byte>(value)); };
    const auto is = [](const Result<Secret> &found, std::string_view wanted) {
        return found && hex(found->view()) == wanted;
    };
    const bool kdfa = is(tpm_kdfa(TpmAlg::sha256, filled(32, 0x0b), "ATH", filled(16, 1), filled(16, 2), 256),
                         "63591fea5c8a26cee98e509a3cd1ba3b4e3c079f7014fc56e5805175d15e292b") &&
                      is(tpm_kdfa(TpmAlg::sha256, filled(32, 0x0b), "CFB", filled(16, 1), filled(16, 2), 128),
                         "102d8c3954fd6f1e1decad8fa4cc2180");
    const bool kdfe = is(tpm_kdfe(TpmAlg::sha256, filled(32, 0x0c), "SECRET", filled(32, 3), filled(32, 4), 256),
                         "792abfa6b8f56534e5cb0baf2492e49c11afe9ce3a2e72968e9db967a01b9d05");
    const bool longer =
        is(tpm_kdfa(TpmAlg::sha384, filled(48, 0x0b), "STORAGE", filled(16, 1), {}, 512),
           "e61a5581e4a0586c7d6d15287317414b73fcde7d983b786aa4cf435c71dd8019"
           "51a59ca3211ecde8755e53fb78a7fd89802b4172e75119c72b521343d19fd475") &&
        is(tpm_kdfe(TpmAlg::sha384, filled(48, 0x0c), "IDENTITY", filled(48, 3), filled(48, 4), 384),
           "80150e6423406c707937e0078f167476357dc1672d44dca0e569d77e6c2766ad6f39272088b1999f4d9bb2a79bde73b3");
    const bool refused = !tpm_kdfa(TpmAlg::sha1, {}, "", {}, {}, 128) && !tpm_kdfe(TpmAlg::sha1, {}, "", {}, {}, 128);
    assert_true(kdfa && kdfe && longer && refused);
}

void makes_every_kind_of_ek_another_seed_each_time(void **) {
    for (const char *name : {"swtpm_rsa.tpmt", "swtpm_ecc.tpmt", "swtpm_ecc256.tpmt", "google_rsa_enc.tpmt"}) {
        const Bytes ek = own(name);
        const Bytes secret = own("credential.secret");
        const auto one = make_credential(ek, ak_name(), secret);
        const auto two = make_credential(ek, ak_name(), secret);
        const bool ok =
            one && two && one->id_object != two->id_object && one->encrypted_secret != two->encrypted_secret;
        // TPM2B integrityHMAC, encIdentity of TPM2B and 32 bytes
        const std::size_t digest = std::string_view{name}.contains("_ecc.") ? 48 : 32;
        const std::size_t point = std::string_view{name}.contains("_ecc.") ? 2 * 50 : 2 * 34;
        const bool sizes = ok && one->id_object.size() == 2 + digest + 2 + 32 &&
                           one->encrypted_secret.size() == (std::string_view{name}.contains("rsa") ? 256 : point);
        if (!ok || !sizes)
            print_error("%s\n", name);
        assert_true(ok && sizes);
    }
}

// NAME with the byte at `at` replaced: why it is refused
std::string why(const char *name, std::size_t at, int value) {
    Bytes ek = own(name);
    ek.at(at) = static_cast<std::byte>(value);
    const auto made = make_credential(ek, ak_name(), own("credential.secret"));
    return made ? "made" : std::string{made.error().where};
}

void refuses_keys_that_are_no_ek(void **) {
    // attributes 000300b2: not fixed to its TPM, not restricted, not for decryption, for signing too
    assert_true(why("swtpm_rsa.tpmt", 7, 0xb0) == "ek.attributes");
    assert_true(why("swtpm_rsa.tpmt", 7, 0xa2) == "ek.attributes");
    assert_true(why("swtpm_rsa.tpmt", 7, 0x92) == "ek.attributes");
    assert_true(why("swtpm_rsa.tpmt", 5, 0x02) == "ek.attributes");
    assert_true(why("swtpm_rsa.tpmt", 5, 0x01) == "ek.attributes");
    assert_true(why("swtpm_rsa.tpmt", 5, 0x07) == "ek.attributes");
    assert_true(why("swtpm_rsa.tpmt", 3, 0x04) != "made"); // nameAlg SHA-1
    assert_true(why("swtpm_rsa.tpmt", 45, 0x40) == "ek.symmetric_bits");
    assert_true(why("swtpm_rsa.tpmt", 47, 0x44) != "made");    // ECB
    assert_true(why("swtpm_rsa.tpmt", 313, 0) == "ek.rsa");    // an even modulus
    assert_true(why("swtpm_ecc256.tpmt", 121, 0) == "ek.ecc"); // beside the curve
    assert_true(why("swtpm_ecc256.tpmt", 51, 5) != "made");    // P-521
}

void refuses_keys_that_are_too_small(void **) {
    Bytes ek = own("swtpm_rsa.tpmt");
    ek.resize(58 + 128);
    store_be(MutableBytes{ek}.subspan(50, 2), 1024);
    store_be(MutableBytes{ek}.subspan(56, 2), 128);
    const auto made = make_credential(ek, ak_name(), own("credential.secret"));
    const bool refused = !made && made.error() == Error{Errc::unsupported, "ek.rsa_bits", 1024};
    assert_true(refused);
}

void refuses_names_and_credentials_of_other_sizes(void **) {
    const Bytes ek = own("swtpm_rsa.tpmt");
    const Bytes secret = own("credential.secret");
    const auto code = [&](std::size_t name, std::size_t credential) {
        const auto made = make_credential(ek, Bytes(name), Bytes(credential));
        return made ? std::string{"made"} : std::string{made.error().where};
    };
    assert_true(code(34, 32) == "made" && code(66, 1) == "made");
    assert_true(code(34, 0) == "credential" && code(34, 33) == "credential");
    assert_true(code(1, 32) == "ak_name" && code(67, 32) == "ak_name");
}

} // namespace

} // namespace cvmin

int main() {
    using namespace cvmin;
    const CMUnitTest tests[] = {
        cmocka_unit_test(makes_what_tpm2_makecredential_makes_of_the_seed),
        cmocka_unit_test(derives_the_published_keys),
        cmocka_unit_test(makes_every_kind_of_ek_another_seed_each_time),
        cmocka_unit_test(refuses_keys_that_are_no_ek),
        cmocka_unit_test(refuses_keys_that_are_too_small),
        cmocka_unit_test(refuses_names_and_credentials_of_other_sizes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
