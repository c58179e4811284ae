// Making, storing and checking the emulated AMD-SP's certificates and keys.
#include "qemu/emulated_keys.hpp"

#include "common/hash.hpp"
#include "common/vek_cert.hpp"
#include "host-tools/base/mbed.hpp"
#include "host-tools/base/os.hpp"

#include <ctime>

#include <fcntl.h>
#include <mbedtls/rsa.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cvmin {

Tcb emulated_platform::tcb() {
    Tcb tcb;
    tcb[TcbComponent::boot_loader] = boot_loader_spl;
    tcb[TcbComponent::tee] = tee_spl;
    tcb[TcbComponent::snp] = snp_spl;
    tcb[TcbComponent::microcode] = microcode_spl;
    return tcb;
}

namespace {

// ---- DER, written front to back (mbedTLS's certificate writer cannot sign with RSA-PSS) --------------------------

enum Tag : std::uint8_t {
    boolean = 0x01,
    integer = 0x02,
    bit_string = 0x03,
    octet_string = 0x04,
    null = 0x05,
    oid = 0x06,
    utf8_string = 0x0c,
    printable_string = 0x13,
    ia5_string = 0x16,
    utc_time = 0x17,
    generalized_time = 0x18,
    sequence = 0x30,
    set = 0x31,
    context_0 = 0xa0,
    context_1 = 0xa1,
    context_2 = 0xa2,
    context_3 = 0xa3,
};

Bytes join(std::initializer_list<ByteView> parts) {
    Bytes out;
    for (ByteView part : parts)
        out.insert(out.end(), part.begin(), part.end());
    return out;
}

Bytes der(Tag tag, ByteView content) {
    Bytes out{static_cast<std::byte>(tag)};
    const std::size_t size = content.size();
    if (size < 0x80) {
        out.push_back(static_cast<std::byte>(size));
    } else {
        std::size_t count = 1;
        while (size >> (8 * count) != 0)
            ++count;
        out.push_back(static_cast<std::byte>(0x80 | count));
        out.resize(out.size() + count);
        store_be(MutableBytes{out}.last(count), size);
    }
    out.insert(out.end(), content.begin(), content.end());
    return out;
}
Bytes der(Tag tag, std::initializer_list<ByteView> parts) {
    return der(tag, join(parts));
}
Bytes der(Tag tag, std::string_view text) {
    return der(tag, as_bytes(text));
}
// Unsigned: a leading zero byte keeps the sign bit clear, as 57230's "02 02 00 xx".
Bytes der_unsigned(ByteView big_endian) {
    while (big_endian.size() > 1 && big_endian.front() == std::byte{0})
        big_endian = big_endian.subspan(1);
    static constexpr ByteArray<1> zero{};
    if ((big_endian.front() & std::byte{0x80}) != std::byte{0})
        return der(integer, {zero, big_endian});
    return der(integer, big_endian);
}
Bytes der_unsigned(std::uint8_t value) {
    return der_unsigned(ByteArray<1>{static_cast<std::byte>(value)});
}
Bytes der_bits(ByteView whole_bytes) {
    static constexpr ByteArray<1> none_unused{};
    return der(bit_string, {none_unused, whole_bytes});
}
Bytes der_time(std::time_t time) {
    std::tm utc{};
    ::gmtime_r(&time, &utc);
    char text[32];
    // RFC 5280: UTCTime up to 2049, GeneralizedTime from then on
    const bool short_form = utc.tm_year + 1900 < 2050;
    const std::size_t size = std::strftime(text, sizeof text, short_form ? "%y%m%d%H%M%SZ" : "%Y%m%d%H%M%SZ", &utc);
    return der(short_form ? utc_time : generalized_time, std::string_view{text, size});
}

// Object identifiers, already encoded.
constexpr std::string_view oid_rsassa_pss{"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", 9};
constexpr std::string_view oid_mgf1{"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08", 9};
constexpr std::string_view oid_sha384{"\x60\x86\x48\x01\x65\x03\x04\x02\x02", 9};
constexpr std::string_view oid_ou{"\x55\x04\x0b", 3};
constexpr std::string_view oid_country{"\x55\x04\x06", 3};
constexpr std::string_view oid_organization{"\x55\x04\x0a", 3};
constexpr std::string_view oid_common_name{"\x55\x04\x03", 3};
constexpr std::string_view oid_subject_key_id{"\x55\x1d\x0e", 3};
constexpr std::string_view oid_key_usage{"\x55\x1d\x0f", 3};
constexpr std::string_view oid_basic_constraints{"\x55\x1d\x13", 3};
constexpr std::string_view oid_authority_key_id{"\x55\x1d\x23", 3};
constexpr std::string_view oid_amd{"\x2b\x06\x01\x04\x01\x9c\x78\x01", 8}; // 1.3.6.1.4.1.3704.1

constexpr std::string_view ark_name = "ARK-cvmin-EMULATED";
constexpr std::string_view ask_name = "SEV-cvmin-EMULATED";
constexpr std::string_view vcek_name = "SEV-VCEK-EMULATED";

constexpr std::size_t pss_salt_size = 48;
constexpr unsigned rsa_bits = 4096;
constexpr std::size_t max_private_key_der = 512; // SEC1 of P-384 with its public key: 167 bytes
constexpr std::size_t max_public_key_der = 800;  // RSA-4096 SubjectPublicKeyInfo: 550 bytes
constexpr std::size_t max_key_file = 16u << 10;  // every file of the set is under 3 KiB
constexpr int ca_years = 20, vcek_years = 7;     // AMD: 25 and 7

// RSASSA-PSS with SHA-384, MGF1 with SHA-384, salt 48: as in AMD's certificates.
Bytes pss_algorithm() {
    const Bytes hash = der(sequence, {der(oid, oid_sha384), der(null, ByteView{})});
    const Bytes mask = der(sequence, {der(oid, oid_mgf1), hash});
    const Bytes parameters = der(sequence, {der(context_0, hash), der(context_1, mask),
                                            der(context_2, der_unsigned(std::uint8_t{pss_salt_size}))});
    return der(sequence, {der(oid, oid_rsassa_pss), parameters});
}

// In the order of AMD's names; the organisation says that it is not AMD.
Bytes distinguished_name(std::string_view common_name) {
    auto part = [](std::string_view type, Tag tag, std::string_view value) {
        return der(set, der(sequence, {der(oid, type), der(tag, value)}));
    };
    return der(sequence, {part(oid_ou, utf8_string, "EMULATED AMD-SP"), part(oid_country, printable_string, "US"),
                          part(oid_organization, utf8_string, "cvmin, not AMD"),
                          part(oid_common_name, utf8_string, common_name)});
}

Bytes extension(std::string_view type, bool critical, ByteView value) {
    static constexpr ByteArray<1> yes{std::byte{0xff}};
    if (critical)
        return der(sequence, {der(oid, type), der(boolean, yes), der(octet_string, value)});
    return der(sequence, {der(oid, type), der(octet_string, value)});
}
Bytes amd_extension(std::string_view suffix, ByteView value) {
    std::string type{oid_amd};
    type += suffix;
    return extension(type, false, value);
}

// Extensions below 1.3.6.1.4.1.3704.1, in the order in which a real Genoa VCEK has them; HWID as raw bytes, as there.
Bytes vcek_extensions(const ByteArray<chip_id_size> &chip_id) {
    namespace p = emulated_platform;
    using namespace std::string_view_literals;
    Bytes all;
    auto add = [&](const Bytes &one) { all.insert(all.end(), one.begin(), one.end()); };
    add(amd_extension("\x01"sv, der_unsigned(std::uint8_t{1}))); // structure version
    add(amd_extension("\x02"sv, der(ia5_string, p::product_name)));
    add(amd_extension("\x03\x01"sv, der_unsigned(p::boot_loader_spl)));
    add(amd_extension("\x03\x02"sv, der_unsigned(p::tee_spl)));
    for (std::string_view spare : {"\x03\x04"sv, "\x03\x05"sv, "\x03\x06"sv, "\x03\x07"sv})
        add(amd_extension(spare, der_unsigned(std::uint8_t{0})));
    add(amd_extension("\x03\x03"sv, der_unsigned(p::snp_spl)));
    add(amd_extension("\x03\x08"sv, der_unsigned(p::microcode_spl)));
    add(amd_extension("\x04"sv, chip_id));
    return der(sequence, all);
}

// ---- keys --------------------------------------------------------------------------------------------------------

Result<void> make_rsa_key(MbedPk &key) {
    CVMIN_MBED("emulated_sp.key", mbedtls_pk_setup(key.get(), mbedtls_pk_info_from_type(MBEDTLS_PK_RSA)));
    CVMIN_MBED("emulated_sp.key",
               mbedtls_rsa_gen_key(mbedtls_pk_rsa(*key.get()), system_random, nullptr, rsa_bits, 65537));
    return {};
}
Result<void> make_p384_key(MbedPk &key) {
    CVMIN_MBED("emulated_sp.key", mbedtls_pk_setup(key.get(), mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)));
    CVMIN_MBED("emulated_sp.key",
               mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP384R1, mbedtls_pk_ec(*key.get()), system_random, nullptr));
    return {};
}
Result<void> read_key(MbedPk &key, ByteView encoded, std::string_view where) {
    if (mbedtls_pk_parse_key(key.get(), u8(encoded), encoded.size(), nullptr, 0, system_random, nullptr) != 0)
        return fail(Errc::malformed, where);
    return {};
}
// Both mbedTLS writers fill the buffer from its end.
Result<Secret> private_der(const MbedPk &key) {
    Bytes buffer(max_private_key_der);
    const int size = mbedtls_pk_write_key_der(key.get(), u8(MutableBytes{buffer}), buffer.size());
    if (size < 0)
        return fail(Errc::crypto, "emulated_sp.key", static_cast<std::uint64_t>(-size));
    Secret out{to_bytes(ByteView{buffer}.last(static_cast<std::size_t>(size)))};
    mbedtls_platform_zeroize(buffer.data(), buffer.size());
    return out;
}
Result<Bytes> public_der(const MbedPk &key) {
    Bytes buffer(max_public_key_der);
    const int size = mbedtls_pk_write_pubkey_der(key.get(), u8(MutableBytes{buffer}), buffer.size());
    if (size < 0)
        return fail(Errc::crypto, "emulated_sp.key", static_cast<std::uint64_t>(-size));
    return to_bytes(ByteView{buffer}.last(static_cast<std::size_t>(size)));
}
// RFC 5280 names SHA-1 of the key; any digest of that length serves as an identifier.
Bytes key_identifier(ByteView public_key) {
    const auto digest = sha256(public_key);
    return to_bytes(ByteView{digest}.first(20));
}

// ---- certificates ------------------------------------------------------------------------------------------------

struct CertificateContents {
    ByteArray<8> serial{};
    std::string_view issuer, subject;
    std::time_t not_before = 0;
    int years = 0;
    Bytes public_key; // SubjectPublicKeyInfo
    Bytes extensions; // SEQUENCE OF Extension
};

Result<Bytes> sign_certificate(const CertificateContents &contents, MbedPk &issuer_key) {
    const std::time_t not_after = contents.not_before + static_cast<std::time_t>(contents.years) * 365 * 86400;
    const Bytes tbs =
        der(sequence,
            {der(context_0, der_unsigned(std::uint8_t{2})), der_unsigned(contents.serial), pss_algorithm(),
             distinguished_name(contents.issuer), der(sequence, {der_time(contents.not_before), der_time(not_after)}),
             distinguished_name(contents.subject), contents.public_key, der(context_3, contents.extensions)});
    mbedtls_rsa_context *rsa = mbedtls_pk_rsa(*issuer_key.get());
    CVMIN_MBED("emulated_sp.sign", mbedtls_rsa_set_padding(rsa, MBEDTLS_RSA_PKCS_V21, MBEDTLS_MD_SHA384));
    const Sha384Digest digest = sha384(tbs);
    ByteArray<rsa_bits / 8> signature;
    CVMIN_MBED("emulated_sp.sign",
               mbedtls_rsa_rsassa_pss_sign_ext(rsa, system_random, nullptr, MBEDTLS_MD_SHA384, digest.size(),
                                               u8(ByteView{digest}), pss_salt_size, u8(MutableBytes{signature})));
    return der(sequence, {tbs, pss_algorithm(), der_bits(signature)});
}

Bytes ca_extensions(ByteView own_id, ByteView issuer_id, bool root) {
    static constexpr ByteArray<1> yes{std::byte{0xff}};
    // KeyUsage: 5 keyCertSign, 6 cRLSign; one unused bit after cRLSign, two after keyCertSign
    static constexpr ByteArray<2> sign_and_crl{std::byte{1}, std::byte{0x06}};
    static constexpr ByteArray<2> sign_only{std::byte{2}, std::byte{0x04}};
    const Bytes usage =
        extension(oid_key_usage, true, der(bit_string, root ? ByteView{sign_and_crl} : ByteView{sign_only}));
    const Bytes subject_id = extension(oid_subject_key_id, false, der(octet_string, own_id));
    Bytes authority_id;
    if (!root) {
        Bytes id = der(octet_string, issuer_id);
        id.front() = std::byte{0x80}; // [0] IMPLICIT keyIdentifier
        authority_id = extension(oid_authority_key_id, false, der(sequence, id));
    }
    const Bytes constraints = extension(oid_basic_constraints, true,
                                        root ? der(sequence, der(boolean, yes))
                                             : der(sequence, {der(boolean, yes), der_unsigned(std::uint8_t{0})}));
    return der(sequence, {usage, subject_id, authority_id, constraints});
}

ByteArray<8> random_serial() {
    ByteArray<8> serial;
    system_random(nullptr, u8(MutableBytes{serial}), serial.size());
    serial[0] = (serial[0] & std::byte{0x7f}) | std::byte{0x01}; // positive, and of full length
    return serial;
}

struct FileName {
    const char *name;
    std::string_view where; // in errors
};
constexpr FileName ark_der_file{"ark.der", "emulated_sp: ark.der"}, ask_der_file{"ask.der", "emulated_sp: ask.der"},
    vcek_der_file{"vcek.der", "emulated_sp: vcek.der"}, vcek_key_file{"vcek.key", "emulated_sp: vcek.key"};

// Makes the whole set in `directory`, which is fresh and private. The keys of ARK and ASK are forgotten once they have
// signed: nothing here needs them again, and nobody can put another chip under this ARK.
Result<void> make_set(const std::filesystem::path &directory) {
    MbedPk ark_key, ask_key, vcek_key;
    CVMIN_CHECK(make_rsa_key(ark_key));
    CVMIN_CHECK(make_rsa_key(ask_key));
    CVMIN_CHECK(make_p384_key(vcek_key));
    CVMIN_TRY(ark_public, public_der(ark_key));
    CVMIN_TRY(ask_public, public_der(ask_key));
    CVMIN_TRY(vcek_public, public_der(vcek_key));
    const Bytes ark_id = key_identifier(ark_public);
    const Bytes ask_id = key_identifier(ask_public);
    ByteArray<chip_id_size> chip_id;
    system_random(nullptr, u8(MutableBytes{chip_id}), chip_id.size());
    // a day back: relying parties' clocks may be behind ours
    const std::time_t from = std::time(nullptr) - 86400;

    CVMIN_TRY(ark, sign_certificate({.serial = random_serial(),
                                     .issuer = ark_name,
                                     .subject = ark_name,
                                     .not_before = from,
                                     .years = ca_years,
                                     .public_key = ark_public,
                                     .extensions = ca_extensions(ark_id, ark_id, true)},
                                    ark_key));
    CVMIN_TRY(ask, sign_certificate({.serial = random_serial(),
                                     .issuer = ark_name,
                                     .subject = ask_name,
                                     .not_before = from,
                                     .years = ca_years,
                                     .public_key = ask_public,
                                     .extensions = ca_extensions(ask_id, ark_id, false)},
                                    ark_key));
    // serial 0, as AMD's VCEKs have
    CVMIN_TRY(vcek, sign_certificate({.serial = {},
                                      .issuer = ask_name,
                                      .subject = vcek_name,
                                      .not_before = from,
                                      .years = vcek_years,
                                      .public_key = vcek_public,
                                      .extensions = vcek_extensions(chip_id)},
                                     ask_key));
    CVMIN_TRY(vcek_private, private_der(vcek_key));

    constexpr mode_t owner_only = 0600;
    CVMIN_CHECK(write_file(directory / ark_der_file.name, ark, owner_only));
    CVMIN_CHECK(write_file(directory / ask_der_file.name, ask, owner_only));
    CVMIN_CHECK(write_file(directory / vcek_der_file.name, vcek, owner_only));
    CVMIN_CHECK(write_file(directory / vcek_key_file.name, vcek_private.view(), owner_only));
    return {};
}

Result<Bytes> read_set_file(const std::filesystem::path &directory, const FileName &file) {
    auto bytes = read_file(directory / file.name, max_key_file);
    if (!bytes)
        return fail(bytes.error().code, file.where, bytes.error().detail);
    return bytes;
}
// `issuer` signed `certificate`, which is valid now. (mbedTLS's chain check does not look at the signature of a root
// that it is told to trust, so each signature is checked here.)
Result<void> check_issued(const X509Certificate &certificate, const X509Certificate &issuer, std::string_view where) {
    const mbedtls_x509_crt &crt = certificate.get();
    const ByteView der = certificate.der();
    constexpr std::size_t signature_size = rsa_bits / 8;
    if (!equal(certificate.issuer(), issuer.subject()) || der.size() < signature_size ||
        mbedtls_pk_get_type(&issuer.get().pk) != MBEDTLS_PK_RSA)
        return fail(Errc::mismatch, where);
    if (mbedtls_x509_time_is_past(&crt.valid_to) != 0 || mbedtls_x509_time_is_future(&crt.valid_from) != 0)
        return fail(Errc::out_of_range, where);
    const Sha384Digest digest = sha384(std::as_bytes(std::span{crt.tbs.p, crt.tbs.len}));
    const ByteView signature = der.last(signature_size); // a certificate ends with its signature
    Mbed<mbedtls_rsa_context, mbedtls_rsa_init, mbedtls_rsa_free> key;
    CVMIN_MBED(where, mbedtls_rsa_copy(key.get(), mbedtls_pk_rsa(issuer.get().pk)));
    CVMIN_MBED(where, mbedtls_rsa_set_padding(key.get(), MBEDTLS_RSA_PKCS_V21, MBEDTLS_MD_SHA384));
    if (mbedtls_rsa_get_len(key.get()) != signature_size ||
        mbedtls_rsa_rsassa_pss_verify_ext(key.get(), MBEDTLS_MD_SHA384, digest.size(), u8(ByteView{digest}),
                                          MBEDTLS_MD_SHA384, pss_salt_size, u8(signature)) != 0)
        return fail(Errc::mismatch, where);
    return {};
}

} // namespace

std::filesystem::path EmulatedKeys::directory() {
    return state_directory() / "emulated-sp";
}

Result<EmulatedKeys> EmulatedKeys::load(const std::filesystem::path &directory) {
    struct stat info{};
    if (::lstat(directory.c_str(), &info) != 0)
        return fail(errno == ENOENT ? Errc::missing : Errc::system, "emulated_sp", static_cast<std::uint64_t>(errno));
    // keys that others can read or replace are worth nothing
    if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 077) != 0)
        return fail(Errc::refused, "emulated_sp: directory (owner or mode)");

    EmulatedKeys keys;
    CVMIN_TRY(ark, read_set_file(directory, ark_der_file));
    CVMIN_TRY(ask, read_set_file(directory, ask_der_file));
    CVMIN_TRY(vcek, read_set_file(directory, vcek_der_file));
    CVMIN_TRY(vcek_key, read_set_file(directory, vcek_key_file));
    keys.vcek_key_ = Secret{std::move(vcek_key)};

    CVMIN_TRY(ark_certificate, X509Certificate::parse(ark, ark_der_file.where));
    CVMIN_TRY(ask_certificate, X509Certificate::parse(ask, ask_der_file.where));
    CVMIN_TRY(vcek_certificate, X509Certificate::parse(vcek, vcek_der_file.where));
    CVMIN_CHECK(check_issued(ark_certificate, ark_certificate, ark_der_file.where));
    CVMIN_CHECK(check_issued(ask_certificate, ark_certificate, ask_der_file.where));
    CVMIN_CHECK(check_issued(vcek_certificate, ask_certificate, vcek_der_file.where));
    // a set made by another version of cvmin for another emulated platform would make reports that contradict their
    // own certificate
    CVMIN_TRY(contents, parse_vek_cert(vcek_certificate));
    if (contents.kind != VekKind::vcek || contents.product_name != emulated_platform::product_name ||
        contents.tcb != emulated_platform::tcb() || contents.hwid.size() != chip_id_size)
        return fail(Errc::mismatch, "emulated_sp: vcek.der (extensions)");
    keys.chip_id_ = contents.chip_id();
    MbedPk key;
    CVMIN_CHECK(read_key(key, keys.vcek_key_.view(), vcek_key_file.where));
    if (mbedtls_pk_check_pair(&vcek_certificate.get().pk, key.get(), system_random, nullptr) != 0)
        return fail(Errc::mismatch, vcek_key_file.where);

    keys.chain_ = {std::move(ark), std::move(ask), std::move(vcek)};
    return keys;
}

Result<EmulatedKeys> EmulatedKeys::load_or_make(const std::filesystem::path &directory,
                                                const std::function<void()> &making) {
    auto there = [&] {
        struct stat info{};
        return ::lstat(directory.c_str(), &info) == 0;
    };
    if (!there()) {
        CVMIN_CHECK(make_private_directory(directory.parent_path()));
        UniqueFd lock{::open((directory.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
        if (!lock)
            return fail(Errc::system, "emulated_sp: lock", static_cast<std::uint64_t>(errno));
        while (::flock(lock.get(), LOCK_EX) != 0)
            if (errno != EINTR)
                return fail(Errc::system, "emulated_sp: lock", static_cast<std::uint64_t>(errno));
        if (!there()) { // nobody made one while we waited
            making();
            const std::filesystem::path fresh = directory.string() + ".new";
            std::error_code error;
            std::filesystem::remove_all(fresh, error); // of an interrupted run
            CVMIN_CHECK(make_private_directory(fresh));
            if (auto made = make_set(fresh); !made) {
                std::filesystem::remove_all(fresh, error);
                return std::unexpected(made.error());
            }
            if (::rename(fresh.c_str(), directory.c_str()) != 0)
                return fail(Errc::system, "emulated_sp: rename", static_cast<std::uint64_t>(errno));
        }
    }
    return load(directory);
}

Result<P384Signature> EmulatedKeys::sign(ByteView message) const {
    MbedPk key;
    CVMIN_CHECK(read_key(key, vcek_key_.view(), vcek_key_file.where));
    mbedtls_ecp_keypair *pair = mbedtls_pk_ec(*key.get());
    MbedMpi r, s, d;
    MbedGroup group;
    CVMIN_MBED("emulated_sp.sign", mbedtls_ecp_export(pair, group.get(), d.get(), nullptr));
    const Sha384Digest digest = sha384(message);
    CVMIN_MBED("emulated_sp.sign", mbedtls_ecdsa_sign(group.get(), r.get(), s.get(), d.get(), u8(ByteView{digest}),
                                                      digest.size(), system_random, nullptr));
    P384Signature signature;
    const MutableBytes bytes{signature};
    CVMIN_MBED("emulated_sp.sign", mbedtls_mpi_write_binary(r.get(), u8(bytes), p384_scalar_size));
    CVMIN_MBED("emulated_sp.sign",
               mbedtls_mpi_write_binary(s.get(), u8(bytes.subspan(p384_scalar_size)), p384_scalar_size));
    return signature;
}

} // namespace cvmin
