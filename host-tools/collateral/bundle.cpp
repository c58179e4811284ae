#include "host-tools/collateral/bundle.hpp"

#include "common/cbor_stream.hpp"
#include "common/cose.hpp"
#include "host-tools/appraise/chain.hpp"
#include "host-tools/appraise/verdict.hpp"
#include "host-tools/base/json.hpp"
#include "host-tools/collateral/collateral.hpp"

namespace cvmin {

namespace {

// In the order of canonical CBOR: shorter keys first, then by bytes.
constexpr std::array<Product, 3> products_in_order{Product::genoa, Product::milan, Product::turin};
constexpr std::array<TcbKind, tcb_kind_count> kinds_in_order{TcbKind::launch, TcbKind::current, TcbKind::reported,
                                                             TcbKind::committed};

std::string_view name_of(TcbKind kind) {
    return tcb_kind_names[static_cast<std::size_t>(kind)];
}

auto &minimum_of(auto &minimum, Product product, TcbKind kind) {
    return minimum[static_cast<std::size_t>(product)][static_cast<std::size_t>(kind)];
}

template <class List> std::uint64_t count_of(const List &list) {
    return static_cast<std::uint64_t>(std::ranges::count_if(list, [](const auto &entry) { return entry.has_value(); }));
}

void put_list(cbor::Writer &out, std::string_view key, const std::vector<Bytes> &list) {
    out.text(key);
    out.array(list.size());
    for (const Bytes &entry : list)
        out.bytes(entry);
}

void expect_key(cbor::Cursor &in, std::string_view key, std::string_view where) {
    in.at("collateral");
    if (in.text(1, 32) != key)
        in.refuse(Errc::malformed);
    in.at(where);
}

std::vector<Bytes> take_list(cbor::Cursor &in, std::size_t max, std::size_t max_entry) {
    std::vector<Bytes> list;
    const std::size_t count = in.array(0, max);
    for (std::size_t i = 0; i < count && in.ok(); ++i) {
        Bytes entry = to_bytes(in.bytes(1, max_entry));
        if (std::ranges::contains(list, entry))
            in.refuse(Errc::malformed);
        list.push_back(std::move(entry));
    }
    return list;
}

MinimumTcb take_minimum_tcb(cbor::Cursor &in) {
    MinimumTcb minimum;
    std::size_t next_product = 0;
    for (std::size_t products = in.map(all_products.size()); products > 0 && in.ok(); --products) {
        const std::string_view product_name = in.text(1, 16);
        while (next_product < products_in_order.size() && name(products_in_order[next_product]) != product_name)
            ++next_product;
        if (next_product == products_in_order.size()) {
            in.refuse(Errc::unsupported);
            break;
        }
        const Product product = products_in_order[next_product++];
        std::size_t next_kind = 0;
        for (std::size_t kinds = in.map(tcb_kind_count); kinds > 0 && in.ok(); --kinds) {
            const std::string_view kind_name = in.text(1, 16);
            while (next_kind < kinds_in_order.size() && name_of(kinds_in_order[next_kind]) != kind_name)
                ++next_kind;
            if (next_kind == kinds_in_order.size()) {
                in.refuse(Errc::unsupported);
                break;
            }
            const TcbKind kind = kinds_in_order[next_kind++];
            const std::uint64_t value = in.unsigned_integer();
            if (unknown_tcb_bits(product, value) != 0)
                in.refuse(Errc::unsupported);
            minimum_of(minimum, product, kind) = decode_tcb(product, value);
        }
    }
    return minimum;
}

} // namespace

Bytes encode_bundle(const Bundle &bundle) {
    cbor::Writer out;
    out.map(7);
    put_list(out, "crls", bundle.crls);
    out.text("type");
    out.text(bundle_type);
    put_list(out, "veks", bundle.veks);
    out.text("created");
    out.unsigned_integer(bundle.created);
    out.text("expires");
    out.unsigned_integer(bundle.expires);
    out.text("minimum-tcb");
    out.map(static_cast<std::uint64_t>(
        std::ranges::count_if(bundle.minimum_tcb, [](const auto &kinds) { return count_of(kinds) != 0; })));
    for (const Product product : products_in_order) {
        const auto &kinds = bundle.minimum_tcb[static_cast<std::size_t>(product)];
        if (count_of(kinds) == 0)
            continue;
        out.text(name(product));
        out.map(count_of(kinds));
        for (const TcbKind kind : kinds_in_order)
            if (const auto &tcb = minimum_of(bundle.minimum_tcb, product, kind)) {
                out.text(name_of(kind));
                out.unsigned_integer(encode_tcb(product, *tcb));
            }
    }
    put_list(out, "intermediates", bundle.intermediates);
    return out.finish();
}

Result<Bundle> parse_bundle(ByteView payload) {
    cbor::Cursor in(payload, max_bundle_size, "collateral", cbor::Form::deterministic);
    Bundle bundle;
    if (in.map(7) != 7)
        in.refuse(Errc::malformed);
    expect_key(in, "crls", "collateral.crls");
    bundle.crls = take_list(in, max_bundle_crls, max_crl_size);
    expect_key(in, "type", "collateral.type");
    if (in.text(1, 64) != bundle_type)
        in.refuse(Errc::unsupported);
    expect_key(in, "veks", "collateral.veks");
    bundle.veks = take_list(in, max_bundle_veks, max_certificate_size);
    expect_key(in, "created", "collateral.created");
    bundle.created = in.unsigned_integer(max_bundle_time);
    expect_key(in, "expires", "collateral.expires");
    bundle.expires = in.unsigned_integer(max_bundle_time);
    if (bundle.expires <= bundle.created)
        in.refuse(Errc::out_of_range);
    expect_key(in, "minimum-tcb", "collateral.minimum-tcb");
    bundle.minimum_tcb = take_minimum_tcb(in);
    expect_key(in, "intermediates", "collateral.intermediates");
    bundle.intermediates = take_list(in, max_bundle_intermediates, max_certificate_size);
    CVMIN_CHECK(in.finish());
    CVMIN_CHECK(endorsements_of(bundle, {})); // each entry is what its place says
    return bundle;
}

Result<Endorsements> endorsements_of(const Bundle &bundle, std::string source) {
    Endorsements out;
    out.source = std::move(source);
    out.minimum_tcb = bundle.minimum_tcb;
    for (const Bytes &der : bundle.veks) {
        CVMIN_TRY(certificate, X509Certificate::parse(der, "collateral.veks"));
        out.veks.push_back(std::make_shared<const X509Certificate>(std::move(certificate)));
    }
    for (const Bytes &der : bundle.intermediates) {
        CVMIN_TRY(certificate, X509Certificate::parse(der, "collateral.intermediates"));
        out.intermediates.push_back(std::make_shared<const X509Certificate>(std::move(certificate)));
    }
    for (const Bytes &der : bundle.crls) {
        CVMIN_TRY(list, RevocationList::parse(der, "collateral.crls"));
        if (!equal(list.der(), der)) // PEM has no place here
            return fail(Errc::malformed, "collateral.crls");
        out.crls.push_back(std::make_shared<const RevocationList>(std::move(list)));
    }
    return out;
}

// ---- the signed file
// --------------------------------------------------------------------------------------------------

static Bytes protected_header() {
    cbor::Writer out;
    out.map(2);
    out.integer(cose::label::alg);
    out.integer(cose::es384);
    out.integer(cose::label::content_type);
    out.text(bundle_content_type);
    return out.finish();
}

Result<Bytes> sign_bundle(const Bundle &bundle, const P384PrivateKey &key, RandomSource random, void *context) {
    const Bytes payload = encode_bundle(bundle);
    if (payload.size() > max_bundle_size)
        return fail(Errc::too_large, "collateral", payload.size());
    CVMIN_CHECK(parse_bundle(payload)); // nothing is signed that would be refused
    return cose::make_sign1(protected_header(), payload, key, random, context);
}

static Result<cose::Sign1> read_sign1(ByteView file) {
    // what stands around the payload is under 300 bytes
    CVMIN_TRY(message, cose::parse_sign1(file, max_bundle_size + 1024));
    // our header is one encoding, and nothing may stand beside it that nobody signed
    if (!equal(message.protected_header, protected_header()) || message.unprotected.size() != 1)
        return fail(Errc::unsupported, "collateral.header");
    return message;
}

Result<Bundle> read_bundle(ByteView file) {
    CVMIN_TRY(message, read_sign1(file));
    return parse_bundle(message.payload);
}

Explained<Bundle> open_bundle(ByteView file, const std::optional<PublicKey> &key, std::time_t now) {
    const auto message = read_sign1(file);
    if (!message)
        return explain(message.error(), "collateral.format");
    // before anything of it is read: who may choose what counts as collateral
    if (key)
        if (const auto signature = cose::verify_sign1(*message, *key); !signature)
            return explain(signature.error().code == Errc::crypto ? Errc::crypto : Errc::mismatch,
                           "collateral.signature: the file is not signed by the key given, or was changed");
    auto bundle = parse_bundle(message->payload);
    if (!bundle)
        return explain(bundle.error(), "collateral.format");
    // revocations and minimum TCBs that were withdrawn since must not count for ever
    if (now < 0 || static_cast<std::uint64_t>(now) >= bundle->expires)
        return explain(Errc::mismatch, "collateral.expiry: the file ended at " +
                                           format_time(static_cast<std::time_t>(bundle->expires)) +
                                           "; wanted one that is good at " + format_time(now));
    return std::move(*bundle);
}

// ---- minimum TCBs of people -----------------------------------------------------------------------------------------

static std::string member_of(std::string path, std::string_view member) {
    path += '.';
    path += member;
    return path;
}

Explained<MinimumTcb> parse_minimum_tcb(ByteView text) {
    const auto json = parse_json(text, "minimum_tcb");
    if (!json)
        return explain(json.error(), "minimum TCB");
    const auto wrong = [](const std::string &path, std::string_view why) {
        return explain(Errc::malformed, "minimum TCB: " + path + ' ' + std::string{why});
    };
    MinimumTcb minimum;
    if (!json->is_object() || json->empty())
        return wrong("the file", "is no object with a product in it");
    for (const auto &[product_name, kinds] : json->items()) {
        if (product_name == "comment" && kinds.is_string())
            continue;
        const auto product = product_by_name(product_name);
        if (!product)
            return wrong(product_name, "is no known product");
        if (!kinds.is_object())
            return wrong(product_name, "is no object");
        for (const auto &[kind_name, levels] : kinds.items()) {
            const std::string path = member_of(product_name, kind_name);
            if (kind_name == "comment" && levels.is_string())
                continue;
            const auto kind = std::ranges::find(tcb_kind_names, kind_name);
            if (kind == tcb_kind_names.end())
                return wrong(path, "is none of reported, committed, launch and current");
            if (levels == "skip")
                continue;
            if (!levels.is_object())
                return wrong(path, "is neither an object nor \"skip\"");
            Tcb tcb;
            std::size_t used = 0;
            for (const TcbComponent component : all_tcb_components) {
                if (!tcb_byte(*product, component))
                    continue;
                const std::string member{name(component)};
                if (!levels.contains(member))
                    return wrong(member_of(path, member), "is missing");
                const Json &level = levels.at(member);
                if (!level.is_number_unsigned() || level.get<std::uint64_t>() > 0xff)
                    return wrong(member_of(path, member), "is no number from 0 to 255");
                tcb[component] = static_cast<std::uint8_t>(level.get<std::uint64_t>());
                ++used;
            }
            if (levels.size() != used + (levels.contains("comment") ? 1 : 0))
                return wrong(path, "has a member that " + product_name + " does not have");
            minimum[static_cast<std::size_t>(*product)][static_cast<std::size_t>(kind - tcb_kind_names.begin())] = tcb;
        }
    }
    return minimum;
}

// ---- making one -----------------------------------------------------------------------------------------------------

static constexpr std::size_t max_pem_blocks = 64; // in one file: a chain, or a rack's certificates one after the other

BundleMaker::BundleMaker(std::time_t now, std::optional<Bytes> emulated_ark)
    : now_(now), emulated_ark_(std::move(emulated_ark)) {}

static std::unexpected<Failure> problem_of(std::string_view file, const ChainProblem &problem) {
    return explain(Errc::mismatch, std::string{file} + ": found " + problem.found + "; wanted " + problem.wanted);
}

Explained<void> BundleMaker::add(ByteView bytes, std::string_view file) {
    const auto blocks = split_pem(bytes, max_pem_blocks, "collateral");
    if (!blocks)
        return explain(blocks.error(), file);
    for (const PemBlock &block : *blocks) {
        const bool certificate = block.label == "CERTIFICATE" ||
                                 (block.label.empty() && X509Certificate::parse(block.der, "collateral").has_value());
        const bool list = block.label == "X509 CRL" || (block.label.empty() && !certificate);
        if (!certificate && !list)
            return explain(Errc::unsupported,
                           std::string{file} + ": has a " + block.label + ", which is no certificate and no list");
        CVMIN_CHECK(certificate ? add_certificate(block.der, file) : add_list(block.der, file));
    }
    return {};
}

Explained<void> BundleMaker::add_certificate(Bytes der, std::string_view file) {
    auto parsed = X509Certificate::parse(der, "certificate");
    if (!parsed)
        return explain(parsed.error(), file);
    const auto certificate = std::make_shared<const X509Certificate>(std::move(*parsed));
    if (mbedtls_x509_crt_get_ca_istrue(&certificate->get()) != 1) {
        if (!std::ranges::any_of(veks_, [&](const Vek &vek) { return equal(vek.certificate->der(), der); }))
            veks_.push_back({certificate, std::string{file}});
        return {};
    }
    // A root needs no room in a bundle: the pinned ones are in the program. One that is not pinned is a mistake.
    if (equal(certificate->subject(), certificate->issuer())) {
        const bool known =
            emulated_ark_ ? equal(der, *emulated_ark_)
                          : std::ranges::any_of(amd_certificates(), [&](const AmdCertificate &amd) {
                                return amd.role == "ARK" && spki_digest(*amd.certificate) == spki_digest(*certificate);
                            });
        if (!known)
            return problem_of(file, {"the root " + certificate->subject_name() + " (SPKI SHA-256 " +
                                         hex(spki_digest(*certificate)) + ")",
                                     emulated_ark_ ? "the emulated ARK that was named" : "a pinned ARK of AMD's"});
        return {};
    }
    std::optional<ChainProblem> problem;
    for (const Product product : all_products) {
        const auto chain = verify_intermediate(certificate, product, emulated_ark_, now_);
        if (chain) {
            if (!std::ranges::any_of(intermediates_, [&](const auto &own) { return equal(own->der(), der); }))
                intermediates_.push_back(certificate);
            return {};
        }
        // of the product whose name it has, the problem says most
        if (!problem || problem->found.contains("no name of AMD's"))
            problem = chain.error();
    }
    return problem_of(file, *problem);
}

Explained<void> BundleMaker::add_list(ByteView der, std::string_view file) {
    auto parsed = RevocationList::parse(der, "crl");
    if (!parsed)
        return explain(Errc::malformed, std::string{file} + ": is neither a certificate nor a revocation list");
    const auto list = std::make_shared<const RevocationList>(std::move(*parsed));
    std::shared_ptr<const X509Certificate> issuer;
    if (emulated_ark_) {
        auto ark = X509Certificate::parse(*emulated_ark_, "emulated_ark");
        if (!ark)
            return explain(ark.error(), "emulated ARK");
        issuer = std::make_shared<const X509Certificate>(std::move(*ark));
    }
    for (const AmdCertificate &amd : amd_certificates())
        if (!emulated_ark_ && amd.role == "ARK" && equal(amd.certificate->subject(), list->issuer()))
            issuer = amd.certificate;
    if (!issuer)
        return problem_of(file, {"a list of " + list->issuer_name(), "a list of a pinned ARK of AMD's"});
    if (const auto good = check_crl(*list, *issuer, now_); !good)
        return problem_of(file, good.error());
    crls_.push_back(list);
    return {};
}

Explained<Bundle> BundleMaker::finish(std::uint64_t expires, const MinimumTcb &minimum_tcb,
                                      const std::function<void(std::string_view)> &note) {
    Bundle bundle{.created = static_cast<std::uint64_t>(now_),
                  .expires = expires,
                  .veks = {},
                  .intermediates = {},
                  .crls = {},
                  .minimum_tcb = minimum_tcb};
    if (veks_.empty() && intermediates_.empty() && crls_.empty())
        return explain(Errc::missing, "there is no certificate and no list to bundle");
    if (veks_.size() > max_bundle_veks)
        return explain(Errc::too_large, "a bundle has room for " + std::to_string(max_bundle_veks) +
                                            " certificates of signing keys, here are " + std::to_string(veks_.size()));
    for (const Vek &vek : veks_) {
        const auto chain = verify_chain(*vek.certificate, {}, emulated_ark_, now_, Revocation::skip, intermediates_);
        if (!chain)
            return problem_of(vek.file, chain.error());
        if (const auto parsed = parse_vek_cert(*vek.certificate); !parsed)
            return explain(parsed.error(), vek.file);
        for (const auto &list : crls_)
            if (equal(list->issuer(), chain->ark->subject()))
                if (const auto good = check_revocation(*list, *chain, now_); !good)
                    return problem_of(vek.file, good.error());
        bundle.veks.push_back(to_bytes(vek.certificate->der()));
    }
    for (const auto &certificate : intermediates_)
        bundle.intermediates.push_back(to_bytes(certificate->der()));
    for (const auto &list : crls_) {
        const auto newer = [&](const auto &other) { // of two of one second, the one that lists more
            return equal(other->issuer(), list->issuer()) &&
                   std::pair{other->this_update(), other->entries()} > std::pair{list->this_update(), list->entries()};
        };
        const Bytes der = to_bytes(list->der());
        if (std::ranges::any_of(crls_, newer) || std::ranges::contains(bundle.crls, der))
            continue;
        bundle.crls.push_back(der);
        if (const auto end = list->next_update(); end && static_cast<std::uint64_t>(*end) < expires)
            note("the list of " + list->issuer_name() + " is current until " + format_time(*end) +
                 " only, before the bundle's end");
    }
    return bundle;
}

} // namespace cvmin
