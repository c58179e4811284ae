#include "agent-min/tls.hpp"

#include "agent-min/random.hpp"

#include <psa/crypto.h>

namespace cvmin::agent {

namespace {

constexpr char subject[] = "CN=cvmin-agent";
// The guest's clock is the host's: validity says nothing, so it is always.
constexpr char not_before[] = "20000101000000";
constexpr char not_after[] = "99991231235959";
constexpr std::size_t serial_size = 16;
constexpr std::size_t max_certificate_size = 1024; // P-384, one name, no extensions: about 500

std::unexpected<Error> tls_error(std::string_view where, int code) {
    return fail(Errc::crypto, where, mbedtls_detail(code));
}

class CertificateWriter {
  public:
    CertificateWriter() { mbedtls_x509write_crt_init(&writer_); }
    CertificateWriter(const CertificateWriter &) = delete;
    CertificateWriter &operator=(const CertificateWriter &) = delete;
    ~CertificateWriter() { mbedtls_x509write_crt_free(&writer_); }
    mbedtls_x509write_cert *get() { return &writer_; }

  private:
    mbedtls_x509write_cert writer_;
};

int send(void *transport, const unsigned char *data, std::size_t size) {
    const Progress sent = static_cast<Transport *>(transport)->send(std::as_bytes(std::span{data, size}));
    if (sent.io == Io::done)
        return static_cast<int>(sent.bytes);
    return sent.io == Io::closed ? MBEDTLS_ERR_SSL_CONN_EOF : MBEDTLS_ERR_SSL_WANT_WRITE;
}

int receive(void *transport, unsigned char *out, std::size_t size) {
    const Progress got = static_cast<Transport *>(transport)->receive(std::as_writable_bytes(std::span{out, size}));
    if (got.io == Io::done)
        return static_cast<int>(got.bytes);
    return got.io == Io::closed ? MBEDTLS_ERR_SSL_CONN_EOF : MBEDTLS_ERR_SSL_WANT_READ;
}

Progress progress(int result) {
    if (result > 0)
        return {Io::done, static_cast<std::size_t>(result)};
    if (result == MBEDTLS_ERR_SSL_WANT_READ)
        return {Io::want_read};
    if (result == MBEDTLS_ERR_SSL_WANT_WRITE)
        return {Io::want_write};
    return {Io::closed}; // end of stream or any failure: the connection cannot go on
}

} // namespace

// ---- identity -------------------------------------------------------------------------------------------------

TlsIdentity::TlsIdentity() {
    mbedtls_x509_crt_init(&certificate_);
    mbedtls_ssl_config_init(&config_);
}

TlsIdentity::~TlsIdentity() {
    mbedtls_ssl_config_free(&config_);
    mbedtls_x509_crt_free(&certificate_);
}

Result<std::unique_ptr<TlsIdentity>> TlsIdentity::make() {
    if (const psa_status_t status = psa_crypto_init(); status != PSA_SUCCESS)
        return tls_error("tls.psa", status);
    std::unique_ptr<TlsIdentity> identity{new TlsIdentity};
    CVMIN_CHECK(identity->fill());
    return identity;
}

Result<void> TlsIdentity::fill() {
    mbedtls_pk_context &key = key_.context();
    int failed = mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (failed == 0)
        failed = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP384R1, mbedtls_pk_ec(key), mbedtls_random, nullptr);
    if (failed != 0)
        return tls_error("tls.key", failed);
    CVMIN_TRY(public_key, public_key_of(key));
    public_key_ = public_key;

    CertificateWriter writer;
    ByteArray<serial_size> serial{};
    CVMIN_CHECK(fill_random(serial));
    serial[0] = (serial[0] & std::byte{0x7f}) | std::byte{0x40}; // positive and of full length (RFC 5280, 4.1.2.2)
    mbedtls_x509write_crt_set_version(writer.get(), MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(writer.get(), MBEDTLS_MD_SHA384);
    mbedtls_x509write_crt_set_subject_key(writer.get(), &key);
    mbedtls_x509write_crt_set_issuer_key(writer.get(), &key);
    failed = mbedtls_x509write_crt_set_serial_raw(writer.get(), u8(MutableBytes{serial}), serial.size());
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_subject_name(writer.get(), subject);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_issuer_name(writer.get(), subject);
    if (failed == 0)
        failed = mbedtls_x509write_crt_set_validity(writer.get(), not_before, not_after);
    ByteArray<max_certificate_size> der{};
    unsigned char *start = u8(MutableBytes{der});
    if (failed == 0)
        failed = mbedtls_x509write_crt_der(writer.get(), start, der.size(), mbedtls_random, nullptr);
    if (failed > 0) { // its size: it was written at the end of the buffer
        const auto size = static_cast<std::size_t>(failed);
        failed = mbedtls_x509_crt_parse_der(&certificate_, start + der.size() - size, size);
    }
    if (failed != 0)
        return tls_error("tls.certificate", failed);

    failed = mbedtls_ssl_config_defaults(&config_, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                         MBEDTLS_SSL_PRESET_DEFAULT);
    if (failed == 0)
        failed = mbedtls_ssl_conf_own_cert(&config_, &certificate_, &key);
    if (failed != 0)
        return tls_error("tls.config", failed);
    mbedtls_ssl_conf_min_tls_version(&config_, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_max_tls_version(&config_, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_rng(&config_, mbedtls_random, nullptr);
    // A client may present a certificate and need not. There is nobody who could vouch for one: only its key counts,
    // which TLS proves to be the client's (CertificateVerify is checked whatever the mode). Of no other kind than the
    // manifest's keys: what does not fit ends the handshake, as RFC 8446, 4.4.3 has it.
    static constexpr std::uint16_t signatures[] = {MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384, MBEDTLS_TLS1_3_SIG_NONE};
    mbedtls_ssl_conf_authmode(&config_, MBEDTLS_SSL_VERIFY_OPTIONAL);
    mbedtls_ssl_conf_sig_algs(&config_, signatures);
    return {};
}

// ---- stream ---------------------------------------------------------------------------------------------------

TlsStream::TlsStream() {
    mbedtls_ssl_init(&ssl_);
}

TlsStream::~TlsStream() {
    mbedtls_ssl_free(&ssl_); // wipes its buffers
}

Result<std::unique_ptr<TlsStream>> TlsStream::accept(const TlsIdentity &identity, Transport &transport) {
    std::unique_ptr<TlsStream> stream{new TlsStream};
    if (const int failed = mbedtls_ssl_setup(&stream->ssl_, &identity.config()); failed != 0)
        return tls_error("tls.setup", failed);
    mbedtls_ssl_set_bio(&stream->ssl_, &transport, send, receive, nullptr);
    return stream;
}

Progress TlsStream::handshake() {
    const int result = mbedtls_ssl_handshake(&ssl_);
    return result == 0 ? Progress{Io::done} : progress(result);
}

Progress TlsStream::read(MutableBytes out) {
    return progress(mbedtls_ssl_read(&ssl_, u8(out), out.size()));
}

Progress TlsStream::write(ByteView bytes) {
    return progress(mbedtls_ssl_write(&ssl_, u8(bytes), bytes.size()));
}

void TlsStream::close_notify() {
    mbedtls_ssl_close_notify(&ssl_);
}

std::optional<PublicKey> TlsStream::peer_key() const {
    const mbedtls_x509_crt *certificate = mbedtls_ssl_get_peer_cert(&ssl_);
    if (certificate == nullptr)
        return std::nullopt;
    const auto key = public_key_of(certificate->pk);
    return key ? std::optional{*key} : std::nullopt;
}

bool TlsStream::pending() const {
    return mbedtls_ssl_check_pending(&ssl_) != 0;
}

} // namespace cvmin::agent
