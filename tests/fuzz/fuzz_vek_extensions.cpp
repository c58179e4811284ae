// Any bytes as the extensions of a VEK's certificate, in a certificate that is whole otherwise, so that they reach the
// reader of AMD's extensions: what is taken has the sizes of its product, and a chain holds for the real ones only.
#include "host-tools/appraise/chain.hpp"
#include "tests/fuzz/data_file.hpp"

using namespace cvmin;

static void append(Bytes &out, ByteView part) {
    out.insert(out.end(), part.begin(), part.end());
}

static Bytes tagged(unsigned tag, ByteView contents) { // DER, lengths below 64 KiB
    Bytes out{static_cast<std::byte>(tag)};
    const std::size_t size = contents.size();
    if (size >= 256)
        append(out, Bytes{std::byte{0x82}, static_cast<std::byte>(size >> 8), static_cast<std::byte>(size & 0xff)});
    else if (size >= 128)
        append(out, Bytes{std::byte{0x81}, static_cast<std::byte>(size)});
    else
        out.push_back(static_cast<std::byte>(size));
    append(out, contents);
    return out;
}

// What stands before the extensions and behind them, of a certificate of our own.
struct Template {
    Bytes whole, extensions, before, after;
    Template() {
        whole = fuzz::data_file("negative/certificates/vcek-genoa.der");
        const X509Certificate parsed = X509Certificate::parse(whole, "fuzz").value();
        const mbedtls_x509_crt &crt = parsed.get();
        const ByteView der = parsed.der();
        const auto tbs_end = static_cast<std::size_t>(crt.tbs.p + crt.tbs.len - crt.raw.p);
        const auto start = static_cast<std::size_t>(crt.version >= 3 ? crt.v3_ext.p - crt.raw.p : 0);
        extensions = to_bytes(der.subspan(start, tbs_end - start));
        // the header of the explicit tag [3] is of 4 bytes: the extensions are more than 255
        const auto tbs = static_cast<std::size_t>(crt.tbs.p - crt.raw.p);
        before = to_bytes(der.subspan(tbs + 4, start - 4 - (tbs + 4)));
        after = to_bytes(der.subspan(tbs_end));
        if (make(extensions) != whole)
            std::abort();
    }
    Bytes make(ByteView sequence) const {
        Bytes tbs = before;
        append(tbs, tagged(0xa3, sequence));
        Bytes certificate = tagged(0x30, tbs);
        append(certificate, after);
        return tagged(0x30, certificate);
    }
};

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    static const Template around;
    static const Bytes ask = fuzz::data_file("negative/certificates/ask.der");
    static const Bytes ark = fuzz::data_file("negative/certificates/ark.der");
    if (size > max_certificate_size / 2)
        return 0;
    const Bytes made = around.make(std::as_bytes(std::span{data, size}));
    const auto certificate = X509Certificate::parse(made, "fuzz");
    if (!certificate)
        return 0;
    if (const auto vek = parse_vek_cert(*certificate)) {
        const bool vcek = vek->kind == VekKind::vcek;
        if (vcek == vek->hwid.empty() || vcek != vek->csp_id.empty() || vek->csp_id.size() > max_csp_id_size ||
            vek->product_name.size() > max_product_name_size || vek->structure_version > 1)
            std::abort();
        if (vcek && vek->hwid.size() != (vek->product == Product::turin ? 8 : max_hwid_size))
            std::abort();
        if (vek->product != Product::turin && vek->tcb[TcbComponent::fmc] != 0)
            std::abort();
    }
    const CertTable table{.vcek = made, .vlek = {}, .ask = ask, .ark = {}, .crl = {}};
    if (verify_chain(*certificate, table, ark, 1'780'000'000) && made != around.whole)
        std::abort();
    return 0;
}
