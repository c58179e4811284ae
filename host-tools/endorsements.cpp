#include "host-tools/endorsements.hpp"

#include "host-tools/base/os.hpp"
#include "host-tools/collateral/bundle.hpp"

namespace cvmin {

static constexpr std::size_t max_key_file_size = 16u << 10; // a key in PEM has under 400 bytes

void add_endorsement_options(CLI::App &app, EndorsementArgs &args, CollateralKey key_is) {
    auto *collateral = app.add_option("--collateral", args.collateral,
                                      "signed collateral of cvmin certs bundle: certificates, lists, minimum TCBs");
    auto *key = app.add_option("--collateral-key", args.key, "public key (PEM or DER) that must have signed it");
    if (key_is == CollateralKey::required)
        collateral->needs(key);
    key->needs(collateral);
    app.add_option("--crl", args.crl, "revocation list (DER or PEM) to use instead of any other");
}

Explained<PublicKey> read_collateral_key(const std::string &path) {
    const auto text = read_file(path, max_key_file_size);
    if (!text)
        return explain(text.error(), path);
    const auto key = parse_p384_public_key(*text, "public key");
    if (!key)
        return explain(key.error(), path);
    return *key;
}

Explained<std::optional<std::time_t>> add_endorsements(const EndorsementArgs &args, std::time_t now,
                                                       Endorsements &into) {
    std::optional<std::time_t> ends;
    if (args.collateral) {
        std::optional<PublicKey> key;
        if (args.key) {
            CVMIN_TRY(read, read_collateral_key(*args.key));
            key = read;
        }
        const auto file = read_file(*args.collateral, max_bundle_size);
        if (!file)
            return explain(file.error(), *args.collateral);
        const auto bundle = open_bundle(*file, key, now);
        if (!bundle)
            return explain(bundle.error().code, *args.collateral + ": " + bundle.error().text);
        const auto own =
            endorsements_of(*bundle, key ? *args.collateral : *args.collateral + " (signature not checked)");
        if (!own)
            return explain(own.error(), *args.collateral);
        into.veks.insert(into.veks.end(), own->veks.begin(), own->veks.end());
        into.intermediates.insert(into.intermediates.end(), own->intermediates.begin(), own->intermediates.end());
        into.crls.insert(into.crls.end(), own->crls.begin(), own->crls.end());
        into.minimum_tcb = own->minimum_tcb;
        into.source = own->source;
        ends = static_cast<std::time_t>(bundle->expires) - 1; // the last second in which it counts
    }
    if (args.crl) {
        const auto text = read_file(*args.crl, max_crl_size);
        if (!text)
            return explain(text.error(), *args.crl);
        auto list = RevocationList::parse(*text, "crl");
        if (!list)
            return explain(list.error(), *args.crl);
        into.crl = std::make_shared<const RevocationList>(std::move(*list));
    }
    return ends;
}

} // namespace cvmin
