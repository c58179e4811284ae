// EK certificates: swtpm's and Google's are accepted under their roots, and each thing that may be wrong is named.
// tests/data/tpm/make.sh made the certificates with OpenSSL.
#include "common/evidence.hpp"
#include "host-tools/tpm/ek_certificate.hpp"
#include "host-tools/tpm/openssl.hpp"

#include <openssl/pem.h>

#include "cmocka.hpp"

namespace cvmin {

namespace {

constexpr std::time_t in_2030 = 1893456000; // 2030-01-01T00:00:00Z

Bytes own(const std::string &name) {
    return test::data("tpm/" + name);
}
Bytes google(const std::string &name) {
    const Bytes pem = test::data("go-tpm-tools/certificates/" + name);
    const openssl::Owner<BIO, BIO_free> in{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
    const openssl::Certificate parsed{PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)};
    unsigned char *der = nullptr;
    const int size = i2d_X509(parsed.get(), &der);
    const auto *bytes = reinterpret_cast<std::byte *>(der);
    Bytes out(bytes, bytes + size);
    OPENSSL_free(der);
    return out;
}

EkAuthorities authorities(std::initializer_list<std::string> names) {
    EkAuthorities out;
    for (const std::string &name : names)
        if (!out.add(test::data(name)))
            print_error("cannot add %s\n", name.c_str());
    return out;
}
EkAuthorities usual() {
    return authorities({"tpm/root.pem", "tpm/intermediate.pem"});
}
EkAuthorities of_google() {
    const std::string folder = "go-tpm-tools/certificates/";
    return authorities({folder + "tpm_ek_root_1.cer", folder + "tpm_ek_intermediate_3.crt"});
}

// "GOOG|test model|id:20260101|path", or "found / wanted".
std::string judged(ByteView certificate, ByteView ek, const EkAuthorities &roots, std::time_t now = in_2030) {
    const auto result = check_ek_certificate(certificate, ek, roots, now);
    if (!result)
        return result.error().found + " / " + result.error().wanted;
    return result->manufacturer + "|" + result->model + "|" + result->version + "|" + result->path;
}
bool is(const std::string &found, const std::string &wanted) {
    if (found != wanted)
        print_error("found: %s\nwanted: %s\n", found.c_str(), wanted.c_str());
    return found == wanted;
}
bool says(const std::string &found, const std::string &wanted) {
    if (!found.contains(" / ") || !found.contains(wanted))
        print_error("found: %s\nwanted in it: %s\n", found.c_str(), wanted.c_str());
    return found.contains(" / ") && found.contains(wanted);
}
std::string of(const std::string &name) { // of the certificate ek_NAME.crt
    return judged(own("ek_" + name + ".crt"), own("swtpm_rsa.tpmt"), usual());
}

void accepts_what_swtpm_is_manufactured_with(void **) {
    const std::string rsa = judged(own("swtpm_rsa.crt"), own("swtpm_rsa.tpmt"),
                                   authorities({"tpm/swtpm_root.pem", "tpm/swtpm_intermediate.pem"}));
    const std::string ecc = judged(own("swtpm_ecc.crt"), own("swtpm_ecc.tpmt"),
                                   authorities({"tpm/swtpm_intermediate.pem", "tpm/swtpm_root.pem"}));
    assert_true(is(rsa, "id:00001014|swtpm|id:20191023|EK <- swtpm-localca <- swtpm-localca-rootca"));
    assert_true(is(ecc, "id:00001014|swtpm|id:20191023|EK <- swtpm-localca <- swtpm-localca-rootca"));
}

void accepts_googles_endorsement_keys(void **) {
    const std::string rsa = judged(google("uca_tpm_rsa_enc_cert.pem"), own("google_rsa_enc.tpmt"), of_google());
    const std::string ecc = judged(google("uca_tpm_ecc_enc_cert.pem"), own("google_ecc_enc.tpmt"), of_google());
    assert_true(rsa.starts_with("GOOG|vTPM|id:20160511|EK <- tpm_ek_v1_cloud_host-signer-0-2021-10-12"));
    assert_true(rsa.contains(" <- tpm_ek_v1_cloud_host_root-signer-0-2018-04-06"));
    assert_true(ecc.starts_with("GOOG|vTPM|id:20160511|EK <- tpm_ek_v1_cloud_host-signer-0-2021-10-12"));
}

void refuses_googles_certificates_of_other_keys(void **) {
    // signing keys of the same TPM have certificates that differ in the key usage only
    assert_true(says(judged(google("uca_tpm_rsa_sign_cert.pem"), own("google_rsa_sign.tpmt"), of_google()),
                     "key usage keyEncipherment"));
    assert_true(says(judged(google("uca_tpm_ecc_sign_cert.pem"), own("google_ecc_sign.tpmt"), of_google()),
                     "key usage keyAgreement"));
    // and the newer ones name an instance, and no TPM
    assert_true(says(judged(google("pca_tpm_rsa_enc_cert.pem"), own("google_pca_rsa.tpmt"),
                            authorities({"go-tpm-tools/certificates/gcp_ek_ak_ca_root.crt",
                                         "go-tpm-tools/certificates/gcp_ek_ak_ca_intermediate_v3.crt"})),
                     "no extended key usage 2.23.133.8.1"));
}

void accepts_what_differs_where_it_may(void **) {
    const std::string with_intermediate = "GOOG|test model|id:20260101|EK <- cvmin test intermediate <- "
                                          "cvmin test root";
    assert_true(is(of("good"), with_intermediate));
    assert_true(is(of("no_subject"), with_intermediate));
    assert_true(is(of("by_root"), "GOOG|test model|id:20260101|EK <- cvmin test root"));
    assert_true(is(judged(own("ek_ecc.crt"), own("swtpm_ecc.tpmt"), usual()), with_intermediate));
}

void names_what_is_wrong_with_the_certificate(void **) {
    assert_true(says(of("no_extended_usage"), "no extended key usage 2.23.133.8.1"));
    assert_true(says(of("other_extended_usage"), "no extended key usage 2.23.133.8.1"));
    assert_true(says(of("no_key_usage"), "no key usage / key usage keyEncipherment"));
    assert_true(says(of("signing"), "key usage keyEncipherment"));
    assert_true(says(of("authority"), "a certificate authority"));
    assert_true(says(of("no_names"), "no subject alternative name with a directory name"));
    assert_true(says(of("dns_name"), "no subject alternative name with a directory name"));
    assert_true(says(of("no_manufacturer"), "without the TPM's manufacturer"));
    assert_true(says(of("no_model"), "without the TPM's model"));
    assert_true(says(of("no_version"), "without the TPM's version"));
    assert_true(says(of("no_subject_not_critical"), "critical where the subject is empty"));
    assert_true(says(of("other_key"), "another key than the evidence's EK"));
    assert_true(says(of("ecc"), "a certificate of an ECC key, and an RSA EK"));
    assert_true(
        says(judged(own("ek_good.crt"), own("swtpm_ecc.tpmt"), usual()), "a certificate of an RSA key, and an ECC EK"));
    assert_true(
        says(judged(own("ek_ecc.crt"), own("swtpm_ecc256.tpmt"), usual()), "another key than the evidence's EK"));
    assert_true(says(judged(own("ek_ecc_encipherment.crt"), own("swtpm_ecc.tpmt"), usual()), "keyAgreement"));
}

void names_what_is_wrong_with_the_chain(void **) {
    assert_true(says(of("expired"), "(valid from 2025-01-01T00:00:00Z to 2025-06-01T00:00:00Z) / valid at "
                                    "2030-01-01T00:00:00Z"));
    assert_true(says(of("early"), "(valid from 2044-01-01T00:00:00Z to 2045-01-01T00:00:00Z)"));
    assert_true(says(of("sha1"), "112 bits of security"));
    assert_true(says(of("critical_unknown"), "unhandled critical extension"));
    const auto under = [](const std::string &issuer) {
        return judged(own("ek_by_" + issuer + ".crt"), own("swtpm_rsa.tpmt"),
                      authorities({"tpm/root.pem", "tpm/" + issuer + ".pem"}));
    };
    assert_true(says(under("not_ca"), "cvmin test not_ca"));
    assert_true(says(under("no_cert_sign"), "cvmin test no_cert_sign"));
    assert_true(says(under("old_intermediate"), "cvmin test old_intermediate: certificate has expired"));
    assert_true(says(under("weak_intermediate"), "112 bits of security"));
    const Bytes good = own("ek_good.crt");
    const Bytes ek = own("swtpm_rsa.tpmt");
    const std::string no_roots = judged(good, ek, EkAuthorities{});
    const std::string no_root = judged(good, ek, authorities({"tpm/intermediate.pem"}));
    const std::string other_root = judged(good, ek, authorities({"tpm/other_root.pem", "tpm/intermediate.pem"}));
    const std::string no_intermediate = judged(good, ek, authorities({"tpm/root.pem"}));
    const std::string then = judged(good, ek, usual(), 1735689599); // 2024-12-31T23:59:59Z
    assert_true(says(no_roots, "no root to believe in"));
    assert_true(says(no_root, "no root to believe in"));
    assert_true(says(other_root, "cvmin test intermediate: unable to get local issuer certificate (cvmin test root)"));
    assert_true(says(no_intermediate, "unable to get local issuer certificate (cvmin test intermediate)"));
    assert_true(says(then, "not yet valid"));
}

void refuses_what_is_no_certificate(void **) {
    const Bytes ek = own("swtpm_rsa.tpmt");
    Bytes longer = own("ek_good.crt");
    longer.push_back(std::byte{0});
    Bytes cut = own("ek_good.crt");
    cut.pop_back();
    const Bytes large(max_ek_certificate_size + 1, std::byte{0x30});
    const std::string found[] = {judged({}, ek, usual()), judged(longer, ek, usual()), judged(cut, ek, usual()),
                                 judged(large, ek, usual()), judged(own("ek_good.crt"), {}, usual())};
    assert_true(says(found[0], "no EK certificate"));
    assert_true(says(found[1], "1 bytes behind the certificate"));
    assert_true(says(found[2], "cannot be read"));
    assert_true(says(found[3], "a certificate of 4097 bytes"));
    assert_true(says(found[4], "an EK that cannot be read"));
}

void refuses_every_changed_byte(void **) {
    const Bytes good = own("ek_good.crt");
    const Bytes ek = own("swtpm_rsa.tpmt");
    const EkAuthorities roots = usual();
    std::size_t accepted = 0;
    for (std::size_t i = 0; i < good.size(); ++i)
        for (const auto flip : {std::byte{0x01}, std::byte{0x80}}) {
            Bytes changed = good;
            changed[i] ^= flip;
            accepted += check_ek_certificate(changed, ek, roots, in_2030).has_value();
        }
    assert_int_equal(accepted, 0);
}

// Infineon marked its RSA keys as for RSAES-OAEP only, of which libcrypto checks no chain. No tool writes such a
// certificate: OpenSSL's functions do.
void names_keys_marked_for_oaep(void **) {
    const Bytes good = own("ek_good.crt");
    const openssl::Owner<BIO, BIO_free> in{BIO_new_mem_buf(good.data(), static_cast<int>(good.size()))};
    const openssl::Certificate from{d2i_X509_bio(in.get(), nullptr)};
    const openssl::Key issuer{EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")};
    X509_PUBKEY *subject = X509_get_X509_PUBKEY(from.get());
    const unsigned char *key = nullptr;
    int size = 0;
    X509_PUBKEY_get0_param(nullptr, &key, &size, nullptr, subject);
    auto *copy = static_cast<unsigned char *>(OPENSSL_memdup(key, static_cast<std::size_t>(size)));
    X509_PUBKEY_set0_param(subject, OBJ_nid2obj(NID_rsaesOaep), V_ASN1_UNDEF, nullptr, copy, size);
    X509_sign(from.get(), issuer.get(), EVP_sha256());
    unsigned char *der = nullptr;
    const int length = i2d_X509(from.get(), &der);
    const auto *bytes = reinterpret_cast<std::byte *>(der);
    const Bytes marked(bytes, bytes + length);
    OPENSSL_free(der);
    assert_true(says(judged(marked, own("swtpm_rsa.tpmt"), usual()), "id-RSAES-OAEP"));
}

// ---- the caller's files
// -------------------------------------------------------------------------------------------------

Errc adding(ByteView bytes) {
    EkAuthorities to;
    const auto added = to.add(bytes);
    return added ? Errc{} : added.error().code;
}

void reads_authorities_in_der_and_pem(void **) {
    Bytes both = own("root.pem");
    const Bytes second = own("intermediate.pem");
    both.insert(both.end(), second.begin(), second.end());
    EkAuthorities from_pem, from_der;
    const bool pem = from_pem.add(both).has_value();
    const bool der = from_der.add(test::data("go-tpm-tools/certificates/tpm_ek_root_1.cer")).has_value();
    const bool kept = is(judged(own("ek_good.crt"), own("swtpm_rsa.tpmt"), from_pem), of("good"));
    assert_true(pem && der && kept);
    assert_true(from_pem.has_root() && from_der.has_root());
    assert_int_equal(from_pem.size(), 2);
}

void refuses_files_that_hold_no_authorities(void **) {
    const Bytes root = own("root.pem");
    const std::string text{as_text(root)};
    const std::string key = std::string{as_text(own("credential_rsa.key"))};
    const Bytes der = test::data("go-tpm-tools/certificates/tpm_ek_root_1.cer");
    Bytes longer = der;
    longer.push_back(std::byte{0});
    Bytes cut = der;
    cut.pop_back();
    std::string many;
    for (std::size_t i = 0; i <= max_ek_authorities; ++i)
        many += text;
    EkAuthorities twice;
    const bool added = twice.add(root).has_value();
    const bool failed = !twice.add(as_bytes("nothing")).has_value();
    const bool unchanged = twice.size() == 1;
    assert_int_equal(adding({}), Errc::malformed);
    assert_int_equal(adding(as_bytes("no certificate")), Errc::malformed);
    assert_int_equal(adding(as_bytes(key)), Errc::malformed);
    assert_int_equal(adding(as_bytes(text + key)), Errc::malformed);
    assert_int_equal(adding(as_bytes(text.substr(0, text.size() - 40))), Errc::malformed);
    assert_int_equal(adding(as_bytes(text + text.substr(0, 100))), Errc::malformed);
    assert_int_equal(adding(longer), Errc::trailing);
    assert_int_equal(adding(cut), Errc::malformed);
    assert_int_equal(adding(as_bytes(many)), Errc::too_large);
    assert_int_equal(adding(Bytes(max_ek_root_file_size + 1)), Errc::too_large);
    assert_true(added && failed && unchanged);
}

void describes_a_certificate_that_nobody_judged(void **) {
    const auto google_says = describe_ek_certificate(google("uca_tpm_rsa_enc_cert.pem"));
    const bool said = google_says && google_says->manufacturer == "GOOG" && google_says->model == "vTPM" &&
                      google_says->version == "id:20160511";
    const auto newer = describe_ek_certificate(google("pca_tpm_rsa_enc_cert.pem"));
    const bool says_nothing =
        newer && newer->manufacturer.empty() && newer->path == "218557372616137117 <- EK/AK CA Intermediate";
    const bool refused = !describe_ek_certificate(as_bytes("x"));
    assert_true(said);
    assert_true(says_nothing);
    assert_true(refused);
}

} // namespace

} // namespace cvmin

int main() {
    using namespace cvmin;
    const CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_swtpm_is_manufactured_with),
        cmocka_unit_test(accepts_googles_endorsement_keys),
        cmocka_unit_test(refuses_googles_certificates_of_other_keys),
        cmocka_unit_test(accepts_what_differs_where_it_may),
        cmocka_unit_test(names_what_is_wrong_with_the_certificate),
        cmocka_unit_test(names_what_is_wrong_with_the_chain),
        cmocka_unit_test(refuses_what_is_no_certificate),
        cmocka_unit_test(refuses_every_changed_byte),
        cmocka_unit_test(names_keys_marked_for_oaep),
        cmocka_unit_test(reads_authorities_in_der_and_pem),
        cmocka_unit_test(refuses_files_that_hold_no_authorities),
        cmocka_unit_test(describes_a_certificate_that_nobody_judged),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
