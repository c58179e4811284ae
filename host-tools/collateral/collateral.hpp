// What a relying party fetches from AMD before it verifies: the VCEK of a report, the chain above it, the list of
// revoked intermediates. Whatever the service or the cache says is checked up to a pinned ARK before it is given back.
#pragma once

#include "host-tools/appraise/chain.hpp"
#include "host-tools/collateral/cache.hpp"
#include "host-tools/collateral/kds.hpp"
#include "host-tools/collateral/retry.hpp"

namespace cvmin {

inline constexpr std::size_t max_cert_chain_size = 32u << 10; // two certificates in PEM: under 5 KB
// AMD publishes a list for a year; one that was fetched a day ago is asked for again.
inline constexpr std::time_t crl_cache_age = 24 * 60 * 60;

struct CollateralRequest {
    VekKind kind = VekKind::vcek; // whose chain and list
    Product product = Product::milan;
    std::optional<VcekId> vcek; // nothing: chain and list only, since AMD publishes no VLEKs
    Bytes report;               // raw; its signature must be the VCEK's. Empty: none
    bool crl = true;
    std::optional<Bytes> emulated_ark; // for tests: the root instead of AMD's
    std::time_t now = 0;
};

struct CollateralAccess {
    std::string address; // of the KDS: parse_service_address()
    HttpClient &http;
    Pacing &pacing;
    KdsCache &cache;
    std::function<void(std::string_view)> note; // progress, a line each
    std::chrono::steady_clock::time_point deadline;
    unsigned retries = default_retries;
    bool offline = false; // the cache only
    bool refresh = false; // not the cache
};

struct Collateral {
    TrustedChain chain;
    std::shared_ptr<const X509Certificate> vek; // null: none was asked for
    std::shared_ptr<const X509Certificate> intermediate, ark;
    std::shared_ptr<const RevocationList> crl; // null: none was asked for
    struct Item {
        std::string what; // "VCEK", "chain", "CRL"
        std::string url;
        bool cached;
        bool kept = true; // it is in the cache now
    };
    std::vector<Item> items;
};

// The errors of fetch(); unreachable also: not in the cache, and `offline`. malformed: an answer that is no certificate
// or list; mismatch: one that is not the wanted, or that does not verify (the text says what was found and wanted).
Explained<Collateral> fetch_collateral(const CollateralRequest &request, CollateralAccess &access);

// PEM blocks of a text, as DER with their labels ("CERTIFICATE"); or the bytes themselves under "" when they are no
// PEM. malformed; too_large: more than `limit` blocks.
struct PemBlock {
    std::string label;
    Bytes der;
};
Result<std::vector<PemBlock>> split_pem(ByteView bytes, std::size_t limit, std::string_view where);

} // namespace cvmin
