// TLS 1.3 server by mbedTLS: the agent's boot-time key and certificate, and one connection's stream.
#pragma once

#include "agent-min/transport.hpp"
#include "common/p384.hpp"
#include "common/tls_key.hpp"

#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include <memory>
#include <optional>

namespace cvmin::agent {

// The key is made here and never leaves; the certificate only carries it: evidence is what vouches for it.
class TlsIdentity {
  public:
    // crypto (detail: mbedTLS code).
    static Result<std::unique_ptr<TlsIdentity>> make();
    TlsIdentity(const TlsIdentity &) = delete;
    TlsIdentity &operator=(const TlsIdentity &) = delete;
    ~TlsIdentity();

    const PublicKey &public_key() const { return public_key_; }
    const P384PrivateKey &key() const { return key_; } // for receipts
    const mbedtls_ssl_config &config() const { return config_; }

  private:
    TlsIdentity();
    Result<void> fill();

    P384PrivateKey key_;
    mbedtls_x509_crt certificate_;
    mbedtls_ssl_config config_;
    PublicKey public_key_{};
};

class TlsStream {
  public:
    // crypto. `transport` outlives the stream.
    static Result<std::unique_ptr<TlsStream>> accept(const TlsIdentity &identity, Transport &transport);
    TlsStream(const TlsStream &) = delete;
    TlsStream &operator=(const TlsStream &) = delete;
    ~TlsStream();

    Progress handshake();
    Progress read(MutableBytes out);
    Progress write(ByteView bytes); // after want_write: call again with the same bytes
    void close_notify();            // best effort
    bool pending() const;           // decrypted bytes wait, so the socket may stay silent
    // After the handshake: the P-384 key that the client has proved to hold, if it has presented a certificate. What
    // else stands in the certificate, and who signed it, says nothing and is not looked at.
    std::optional<PublicKey> peer_key() const;
    Result<ByteArray<exporter_size>> exporter(ByteView nonce) { return tls_exporter(ssl_, nonce); }

  private:
    TlsStream();
    mbedtls_ssl_context ssl_;
};

} // namespace cvmin::agent
