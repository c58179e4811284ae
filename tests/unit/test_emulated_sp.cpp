// The emulated AMD-SP: its chain against a real VCEK and by mbedTLS's own verification, its launches against
// sev-snp-measure's digests, its reports byte by byte, and everything it must refuse.
#include "tests/unit/cmocka.hpp"

#include "common/cert_table.hpp"
#include "common/vek_cert.hpp"
#include "host-tools/base/mbed.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/signing/id_block_file.hpp"
#include "host-tools/signing/key_file.hpp"
#include "qemu/emulated_sp.hpp"

#include <cstdlib>
#include <optional>

#include <mbedtls/rsa.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cvmin;
namespace fs = std::filesystem;

namespace {

// One set of keys for all tests, made once: two RSA-4096 keys take seconds.
fs::path work;
fs::path keys_directory;

EmulatedKeys keys() {
    return EmulatedKeys::load(keys_directory).value();
}
EmulatedSp running_sp(std::uint64_t policy = 0x30000) {
    EmulatedSp sp{keys()};
    if (!sp.launch_start(policy) || !sp.launch_update(PageType::zero, 0, page_size, {}) || !sp.launch_finish({}))
        abort();
    return sp;
}
template <class T> Errc code_of(const Result<T> &result) {
    return result ? Errc{0xff} : result.error().code;
}
std::string where_of(const Result<void> &result) {
    return result ? "" : std::string{result.error().where};
}

int make_keys(void **) {
    char name[] = "/tmp/cvmin-test-sp-XXXXXX";
    work = ::mkdtemp(name);
    keys_directory = work / "state" / "emulated-sp";
    int made = 0;
    // two processes at once: both must end with the same set, made by one of them
    const pid_t child = ::fork();
    const bool ok = EmulatedKeys::load_or_make(keys_directory, [&] { ++made; }).has_value();
    if (child == 0)
        ::_exit(ok ? made : 99);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!ok || !WIFEXITED(status) || WEXITSTATUS(status) + made != 1) {
        print_error("two makers at once: %d and %d sets made\n", made, WEXITSTATUS(status));
        return 1;
    }
    return 0;
}
int remove_keys(void **) {
    std::error_code error;
    fs::remove_all(work, error);
    return 0;
}

// ---- chain ---------------------------------------------------------------------------------------------------------

// An RSA-PSS signature with SHA-384 and a salt of 48 bytes over the certificate's contents, by the key of `issuer`.
bool signed_with_pss(const X509Certificate &certificate, const X509Certificate &issuer) {
    const mbedtls_x509_crt &crt = certificate.get();
    const Sha384Digest digest = sha384(std::as_bytes(std::span{crt.tbs.p, crt.tbs.len}));
    Mbed<mbedtls_rsa_context, mbedtls_rsa_init, mbedtls_rsa_free> rsa;
    mbedtls_rsa_copy(rsa.get(), mbedtls_pk_rsa(issuer.get().pk));
    mbedtls_rsa_set_padding(rsa.get(), MBEDTLS_RSA_PKCS_V21, MBEDTLS_MD_SHA384);
    const auto &signature = crt.MBEDTLS_PRIVATE(sig);
    return mbedtls_rsa_get_len(rsa.get()) == 512 && signature.len == 512 &&
           mbedtls_rsa_rsassa_pss_verify_ext(rsa.get(), MBEDTLS_MD_SHA384, digest.size(), u8(ByteView{digest}),
                                             MBEDTLS_MD_SHA384, 48, signature.p) == 0;
}

void chain_verifies_with_rsa_pss_sha384_salt_48(void **) {
    const EmulatedKeys set = keys();
    const auto ark = X509Certificate::parse(set.chain().ark, "ark").value();
    const auto ask = X509Certificate::parse(set.chain().ask, "ask").value();
    const auto vcek = X509Certificate::parse(set.chain().vcek, "vcek").value();
    assert_true(signed_with_pss(ark, ark));
    assert_true(signed_with_pss(ask, ark));
    assert_true(signed_with_pss(vcek, ask));
    assert_false(signed_with_pss(vcek, ark));
    assert_true(ark.subject_name() == "ARK-cvmin-EMULATED" && ark.issuer_name() == "ARK-cvmin-EMULATED");
    assert_true(ask.subject_name() == "SEV-cvmin-EMULATED" && ask.issuer_name() == "ARK-cvmin-EMULATED");
    assert_true(vcek.subject_name() == "SEV-VCEK-EMULATED" && vcek.issuer_name() == "SEV-cvmin-EMULATED");
}

struct ExtensionShape {
    std::string oid;
    unsigned first_tag; // of the value: INTEGER 2, IA5String 0x16; 0 for the raw HWID
    std::size_t size;   // of the raw HWID, else 0
    friend bool operator==(const ExtensionShape &, const ExtensionShape &) = default;
};
std::vector<ExtensionShape> extension_shapes(ByteView der) {
    const auto certificate = X509Certificate::parse(der, "vcek").value();
    const mbedtls_x509_buf &all = certificate.get().v3_ext;
    unsigned char *p = all.p;
    const unsigned char *const end = all.p + all.len;
    std::vector<ExtensionShape> shapes;
    std::size_t size = 0;
    if (mbedtls_asn1_get_tag(&p, end, &size, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0)
        abort();
    while (p < end) {
        if (mbedtls_asn1_get_tag(&p, end, &size, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0 ||
            mbedtls_asn1_get_tag(&p, end, &size, MBEDTLS_ASN1_OID) != 0)
            abort();
        ExtensionShape shape{hex(std::as_bytes(std::span{p, size})), 0, 0};
        p += size;
        if (mbedtls_asn1_get_tag(&p, end, &size, MBEDTLS_ASN1_OCTET_STRING) != 0)
            abort();
        if (size == 64)
            shape.size = size;
        else
            shape.first_tag = *p;
        p += size;
        shapes.push_back(std::move(shape));
    }
    return shapes;
}

void vcek_has_the_extensions_of_a_real_one_in_form_and_order(void **) {
    const auto real = extension_shapes(test::data("oak/genoa-v5-oc-mitvector/vcek.der"));
    const auto ours = extension_shapes(keys().chain().vcek);
    assert_int_equal(real.size(), 11);
    assert_true(real == ours);
}

void vcek_names_the_emulated_platform(void **) {
    const EmulatedKeys set = keys();
    const auto vek = parse_vek_cert(X509Certificate::parse(set.chain().vcek, "vcek").value()).value();
    assert_true(vek.kind == VekKind::vcek);
    assert_true(vek.product == Product::genoa && vek.product_name == "Genoa-B1");
    // the levels of the real report of a Genoa in the vectors
    assert_int_equal(vek.tcb[TcbComponent::boot_loader], 10);
    assert_int_equal(vek.tcb[TcbComponent::tee], 0);
    assert_int_equal(vek.tcb[TcbComponent::snp], 25);
    assert_int_equal(vek.tcb[TcbComponent::microcode], 84);
    assert_true(equal(vek.hwid, set.chip_id()));
    assert_false(all_zero(vek.hwid));
}

void key_files_are_private(void **) {
    struct stat info{};
    assert_int_equal(::stat(keys_directory.c_str(), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    std::size_t count = 0;
    for (const auto &entry : fs::directory_iterator(keys_directory)) {
        assert_int_equal(::stat(entry.path().c_str(), &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
        ++count;
    }
    assert_int_equal(count, 4); // ark.der, ask.der, vcek.der, vcek.key: the keys of ARK and ASK are not kept
}

fs::path copy_of_keys() {
    const fs::path copy = work / "copy";
    fs::remove_all(copy);
    fs::create_directory(copy);
    fs::permissions(copy, fs::perms::owner_all);
    fs::copy(keys_directory, copy);
    return copy;
}

void loading_refuses_every_missing_or_broken_file(void **) {
    for (const char *name : {"ark.der", "ask.der", "vcek.der", "vcek.key"}) {
        fs::path copy = copy_of_keys();
        assert_true(EmulatedKeys::load(copy).has_value());
        fs::remove(copy / name);
        assert_true(code_of(EmulatedKeys::load(copy)) == Errc::missing);
        const Bytes whole = read_file(keys_directory / name, 1 << 20).value();
        assert_true(write_file(copy / name, ByteView{whole}.first(whole.size() / 2), 0600).has_value());
        assert_true(code_of(EmulatedKeys::load(copy)) == Errc::malformed);
        Bytes flipped = whole; // in a certificate's signature; in the secret number of the key
        flipped[std::string_view{name} == "vcek.key" ? 20 : whole.size() - 100] ^= std::byte{1};
        assert_true(write_file(copy / name, flipped, 0600).has_value());
        assert_false(EmulatedKeys::load(copy).has_value());
        assert_true(write_file(copy / name, {}, 0600).has_value());
        assert_false(EmulatedKeys::load(copy).has_value());
        // a set that is there but broken is left alone, not replaced behind the user's back
        bool made = false;
        assert_false(EmulatedKeys::load_or_make(copy, [&] { made = true; }).has_value());
        assert_false(made);
    }
}

void loading_refuses_a_directory_open_to_others(void **) {
    const fs::path copy = copy_of_keys();
    fs::permissions(copy, fs::perms::group_read, fs::perm_options::add);
    assert_true(code_of(EmulatedKeys::load(copy)) == Errc::refused);
}

// ---- launch --------------------------------------------------------------------------------------------------------

void policy_is_refused_when_the_platform_cannot_keep_it(void **) {
    assert_true(check_guest_policy(0x30000).has_value());
    assert_true(check_guest_policy(0x30000 | 1u << 18 | 1u << 19 | 1u << 20 | 1u << 21 | 1u << 25).has_value());
    assert_true(check_guest_policy(0x30000 | 0x0137).has_value()); // ABI 1.55
    const std::uint64_t refused[] = {0,        0x10000,           0x20000,          0x30000 | 0x0138, 0x30000 | 0x0200,
                                     0x430000, 0x30000 | 1 << 23, 0x30000 | 1 << 24};
    for (std::uint64_t policy : refused) {
        EmulatedSp sp{keys()};
        assert_true(sp.launch_start(policy) ==
                    (fail(Errc::unsupported, check_guest_policy(policy).error().where, policy)));
    }
    for (unsigned bit = 26; bit < 64; ++bit)
        assert_true(code_of(check_guest_policy(0x30000 | 1ull << bit)) == Errc::unsupported);
}

void launch_steps_out_of_order_are_refused(void **) {
    EmulatedSp sp{keys()};
    assert_true(code_of(sp.launch_update(PageType::zero, 0, page_size, {})) == Errc::refused);
    assert_true(code_of(sp.launch_finish({})) == Errc::refused);
    assert_true(sp.guest_request({.sequence = 1}).status == SpStatus::invalid_parameter);
    assert_true(sp.launch_start(0x30000).has_value());
    assert_true(code_of(sp.launch_start(0x30000)) == Errc::refused);
    assert_true(sp.guest_request({.sequence = 1}).status == SpStatus::invalid_parameter);
    assert_true(sp.launch_finish({}).has_value());
    assert_true(code_of(sp.launch_update(PageType::zero, 0, page_size, {})) == Errc::refused);
    assert_true(code_of(sp.launch_finish({})) == Errc::refused);
    assert_true(code_of(sp.launch_start(0x30000)) == Errc::refused);
}

void launch_update_refuses_pages_that_are_not_pages(void **) {
    EmulatedSp sp{keys()};
    assert_true(sp.launch_start(0x30000).has_value());
    const Bytes page(page_size);
    const Sha384Digest before = sp.launch_digest();
    assert_true(code_of(sp.launch_update(PageType::normal, 1, page_size, page)) == Errc::out_of_range);
    assert_true(code_of(sp.launch_update(PageType::normal, 0, page_size - 1, page)) == Errc::out_of_range);
    assert_true(code_of(sp.launch_update(PageType::normal, 0, 2 * page_size, page)) == Errc::out_of_range);
    assert_true(code_of(sp.launch_update(PageType::normal, 0, 0, {})) == Errc::out_of_range);
    assert_true(code_of(sp.launch_update(PageType::zero, 0, page_size, page)) == Errc::out_of_range);
    assert_true(code_of(sp.launch_update(PageType::zero, (1ull << 52) - page_size, 2 * page_size, {})) ==
                Errc::out_of_range);
    assert_true(code_of(sp.launch_update(PageType::vmsa, vmsa_gpa, 2 * page_size, Bytes(2 * page_size))) ==
                Errc::out_of_range);
    assert_true(code_of(sp.launch_update(PageType{7}, 0, page_size, page)) == Errc::unsupported);
    assert_true(sp.launch_digest() == before);
}

// Debian's AmdSev firmware with the vectors' kernel, initrd and command line on two EPYC-Rome vCPUs: what
// sev-snp-measure says (case deb-amdsev-EPYC-Rome-2vcpu-kernel), submitted page range by page range.
void launch_digest_is_sev_snp_measures(void **) {
    const Bytes firmware = read_file("/usr/share/ovmf/OVMF.amdsev.fd", max_firmware_size).value();
    const Ovmf ovmf = parse_ovmf(firmware).value();
    const KernelHashes hashes =
        kernel_hashes(test::data("sev-snp-measure/inputs/kernel.bin"), test::data("sev-snp-measure/inputs/initrd.bin"),
                      "console=ttyS0 root=/dev/vda1 ro panic=-1");
    const auto page = hash_table_page(*ovmf.hash_table, hashes).value();
    EmulatedSp sp{keys()};
    assert_true(sp.launch_start(0x30000).has_value());
    for (const LaunchRegion &region : launch_regions(ovmf, firmware.size(), true)) {
        const ByteView contents = region.type != PageType::normal        ? ByteView{}
                                  : region.gpa + region.size == four_gib ? ByteView{firmware}
                                                                         : ByteView{page};
        assert_true(sp.launch_update(region.type, region.gpa, region.size, contents).has_value());
    }
    const VcpuState state{0x830f10, 1};
    assert_true(sp.launch_update(PageType::vmsa, vmsa_gpa, page_size, vmsa_page(state, bsp_reset_eip)).has_value());
    assert_true(sp.launch_update(PageType::vmsa, vmsa_gpa, page_size, vmsa_page(state, ovmf.reset_eip)).has_value());
    assert_true(sp.launch_finish({}).has_value());
    assert_true(hex(sp.launch_digest()) ==
                "be1fc16cf5b65716945a97606764c2cf68ccbc77295855cbf3f6f2c8244d7851e51a61f402f6af53dc209576ceddf442");
}

// ---- ID block
// --------------------------------------------------------------------------------------------------------

// virtee/sev's block for the launch digest a14d63..., signed by its test keys in test_auth_block.bin.
Bytes sample_id_block() {
    return parse_base64(
               "oU1jg0HlZ0Yo/h4C++3r5eWrT68d1y2JZgaOYVu5nv0T0hSzXCMXFbOOJj3GBZdFAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
               "AAAAAABAAAAAAAAAAAAAwAAAAAA",
               "id block")
        .value();
}

void id_auth_verifies_virtees_sample(void **) {
    const Bytes block = sample_id_block();
    const Bytes auth = test::data("sev/measurement/test_auth_block.bin");
    const IdBlock parsed = parse_id_block(block).value();
    assert_int_equal(parsed.version, 1);
    assert_int_equal(parsed.policy, 0x30000);
    const IdKeys with_author = verify_id_auth(auth, block, true).value();
    assert_true(base64(with_author.id_key_digest) ==
                "WfssaG36T+9J84M5qndckAUcKNVzg93DuvO160sUlt87DbvcuuX+J2d6ZEggdz/i");
    assert_true(base64(*with_author.author_key_digest) ==
                "7tgRafsMteDsNHlPEo/U4MSkb2fGWhrfqB/LJLzAiMJyNpt//D6ytq9qQoShs2xf");
    assert_false(verify_id_auth(auth, block, false).value().author_key_digest.has_value());
}

void id_auth_refuses_every_change_that_matters(void **) {
    const Bytes block = sample_id_block();
    const Bytes auth = test::data("sev/measurement/test_auth_block.bin");
    auto changed = [&](std::size_t offset) {
        Bytes copy = auth;
        copy[offset] ^= std::byte{1};
        return code_of(verify_id_auth(copy, block, true));
    };
    assert_true(changed(0x000) == Errc::unsupported);  // ID key algorithm
    assert_true(changed(0x004) == Errc::unsupported);  // author key algorithm
    assert_true(changed(0x040) == Errc::mismatch);     // r of the block's signature
    assert_true(changed(0x088) == Errc::mismatch);     // s
    assert_true(changed(0x087) == Errc::mismatch);     // beyond 48 bytes of r
    assert_true(changed(0x240) == Errc::unsupported);  // curve
    assert_true(changed(0x244) == Errc::out_of_range); // x: not on the curve
    assert_true(changed(0x28b) == Errc::out_of_range); // beyond 48 bytes of x
    assert_true(changed(0x680) == Errc::mismatch);     // r of the ID key's signature
    assert_true(changed(0x880) == Errc::unsupported);  // author key's curve
    assert_true(changed(0x884) == Errc::out_of_range);
    Bytes other = block;
    other[0] ^= std::byte{1};
    assert_true(code_of(verify_id_auth(auth, other, false)) == Errc::mismatch);
    assert_true(code_of(verify_id_auth(ByteView{auth}.first(4095), block, false)) == Errc::truncated);
    Bytes longer = auth;
    longer.push_back({});
    assert_true(code_of(verify_id_auth(longer, block, false)) == Errc::trailing);
    assert_true(code_of(parse_id_block(ByteView{block}.first(95))) == Errc::truncated);
}

void launch_finish_refuses_an_id_block_for_another_launch(void **) {
    auto finish_with = [&](std::size_t offset, std::byte value) {
        EmulatedSp sp{keys()};
        (void)sp.launch_start(0x30000);
        (void)sp.launch_update(PageType::zero, 0, page_size, {});
        // a block for this very launch, but for the byte at `offset`; its signature cannot fit, and is looked at last
        Bytes block = sample_id_block();
        std::ranges::copy(sp.launch_digest(), block.begin());
        if (offset < block.size())
            block[offset] = value;
        const Bytes auth = test::data("sev/measurement/test_auth_block.bin");
        const auto result =
            sp.launch_finish({.host_data = {}, .id_block = block, .id_auth = auth, .author_key_enabled = false});
        return where_of(result);
    };
    assert_true(finish_with(0x00, std::byte{0xee}) == "id_block.launch_digest");
    assert_true(finish_with(0x50, std::byte{2}) == "id_block.version");
    assert_true(finish_with(0x5a, std::byte{0xb}) == "id_block.policy"); // debug allowed
    assert_true(finish_with(99, {}) == "id_auth.id_block_signature");
    EmulatedSp sp{keys()};
    assert_true(sp.launch_start(0x30000).has_value());
    const Bytes block = sample_id_block();
    assert_true(
        code_of(sp.launch_finish({.host_data = {}, .id_block = block, .id_auth = {}, .author_key_enabled = false})) ==
        Errc::missing);
    // refused is not finished: no report comes out of it
    assert_true(sp.guest_request({.sequence = 1}).status == SpStatus::invalid_parameter);
}

// A launch of one zero page and the ID block for it, with everything in order unless a test changes it.
struct SignedLaunch {
    EmulatedSp sp{keys()};
    P384PrivateKey id_key, author_key;
    IdBlock block{};
    SignedIdBlock signed_block;

    SignedLaunch() {
        if (!sp.launch_start(0x30000) || !sp.launch_update(PageType::zero, 0, page_size, {}) ||
            !read_private_key(id_key, generate_key().value().pem.view()) ||
            !read_private_key(author_key, generate_key().value().pem.view()))
            abort();
        block = {.launch_digest = sp.launch_digest(),
                 .family_id = {},
                 .image_id = {},
                 .version = 1,
                 .guest_svn = 0x01020304,
                 .policy = 0x30000};
        block.family_id.fill(std::byte{0xfa});
        block.image_id.fill(std::byte{0x1a});
    }
    void sign(bool with_author) {
        signed_block = sign_id_block(block, id_key, with_author ? &author_key : nullptr).value();
    }
    EmulatedSp::Finish finish() const {
        return {.host_data = {},
                .id_block = signed_block.raw,
                .id_auth = signed_block.auth,
                .author_key_enabled = signed_block.author_key_enabled()};
    }
    // Why the launch was refused; empty: it was not.
    std::string refusal() {
        const auto finished = sp.launch_finish(finish());
        return finished ? "" : sp.why_refused(finish(), finished.error());
    }
};

void report_names_what_the_id_block_says_and_who_signed_it(void **) {
    for (const bool with_author : {true, false}) {
        SignedLaunch launch;
        launch.sign(with_author);
        assert_true(launch.sp.launch_finish(launch.finish()).has_value());
        const Bytes raw = launch.sp.guest_request({.sequence = 1}).report;
        const ByteView report = raw;
        // offsets typed from 56860, table ATTESTATION_REPORT
        assert_int_equal(load_le(report.subspan(0x004, 4)), 0x01020304);
        assert_true(equal(report.subspan(0x010, 16), launch.block.family_id));
        assert_true(equal(report.subspan(0x020, 16), launch.block.image_id));
        assert_int_equal(load_le(report.subspan(0x048, 4)), with_author);
        assert_true(equal(report.subspan(0x0E0, 48), snp_key_digest(launch.id_key.public_key().value())));
        if (with_author)
            assert_true(equal(report.subspan(0x110, 48), snp_key_digest(launch.author_key.public_key().value())));
        else
            assert_true(all_zero(report.subspan(0x110, 48)));
    }
}

void refusals_of_an_id_block_say_what_was_found_and_wanted(void **) {
    const auto refusal = [](auto change) {
        SignedLaunch launch;
        change(launch);
        return launch.refusal();
    };
    const std::string zeros(96, '0');
    assert_true(refusal([](SignedLaunch &l) { l.sign(true); }).empty());
    const std::string digest = refusal([](SignedLaunch &l) {
        l.block.launch_digest = {};
        l.sign(true);
    });
    assert_true(digest.contains("launch digest: found ") && digest.contains("(measured), wanted " + zeros));
    assert_true(refusal([](SignedLaunch &l) {
                    l.block.policy = 0xb0000;
                    l.sign(false);
                }).contains("guest policy: found 0x30000 (launch), wanted 0xb0000 (ID block)"));
    assert_true(refusal([](SignedLaunch &l) {
                    l.block.version = 2;
                    l.sign(false);
                }).contains("version: found 2, wanted 1"));
    // the SVN was raised after signing
    const std::string signature = refusal([](SignedLaunch &l) {
        l.sign(true);
        l.signed_block.raw[0x57] ^= std::byte{0x80};
    });
    assert_true(signature.contains("its signature: found one that does not hold, wanted one by the ID key "));
    const std::string author = refusal([](SignedLaunch &l) {
        l.sign(true);
        l.signed_block.auth[0x680] ^= std::byte{1};
    });
    assert_true(author.contains("the ID key's signature: found one that does not hold, wanted one by the author key "));
    assert_true(refusal([](SignedLaunch &l) {
                    l.sign(false);
                    l.signed_block.auth[0] = std::byte{2};
                }).contains("id_auth.id_key_algo"));
    assert_true(refusal([](SignedLaunch &l) {
                    l.sign(true);
                    l.signed_block.auth[4] = std::byte{0};
                }).contains("id_auth.author_key_algo"));
}

void a_refused_id_block_leaves_no_trace_in_a_later_report(void **) {
    SignedLaunch launch;
    launch.sign(true);
    launch.signed_block.auth[0x680] ^= std::byte{1}; // found last: the ID key's signature held
    assert_false(launch.sp.launch_finish(launch.finish()).has_value());
    assert_true(launch.sp.guest_request({.sequence = 1}).status == SpStatus::invalid_parameter);
    assert_true(launch.sp.launch_finish({}).has_value()); // then without one
    const Bytes report = launch.sp.guest_request({.sequence = 1}).report;
    assert_true(all_zero(ByteView{report}.subspan(0x0E0, 96)));
    assert_true(all_zero(ByteView{report}.subspan(0x004, 4)) && all_zero(ByteView{report}.subspan(0x010, 32)));
}

// ---- reports --------------------------------------------------------------------------------------------------------

void report_has_the_layout_of_the_specification(void **) {
    EmulatedSp sp{keys()};
    assert_true(sp.launch_start(0xb0000).has_value()); // debug allowed
    assert_true(sp.launch_update(PageType::zero, 0x1000, page_size, {}).has_value());
    EmulatedSp::Finish finish;
    finish.host_data.fill(std::byte{0xd7});
    assert_true(sp.launch_finish(finish).has_value());
    SpRequest request{.sequence = 1, .report_data = {}, .vmpl = 2};
    request.report_data.fill(std::byte{0x5a});
    const SpResponse response = sp.guest_request(request);
    assert_true(response.status == SpStatus::ok);
    assert_int_equal(response.sequence, 2);
    assert_int_equal(response.report.size(), 1184);
    const ByteView raw = response.report;
    auto le = [&](std::size_t offset, std::size_t size) { return load_le(raw.subspan(offset, size)); };
    // offsets typed from 56860, table ATTESTATION_REPORT; values of the real Genoa report where the platform decides
    assert_int_equal(le(0x000, 4), 5);
    assert_int_equal(le(0x004, 4), 0);
    assert_int_equal(le(0x008, 8), 0xb0000);
    assert_true(all_zero(raw.subspan(0x010, 32)));
    assert_int_equal(le(0x030, 4), 2);
    assert_int_equal(le(0x034, 4), 1);
    assert_true(le(0x038, 8) == 0x541900000000000a);
    assert_int_equal(le(0x040, 8), 0x25);
    assert_int_equal(le(0x048, 8), 0);
    assert_true(std::ranges::all_of(raw.subspan(0x050, 64), [](std::byte b) { return b == std::byte{0x5a}; }));
    assert_true(equal(raw.subspan(0x090, 48), sp.launch_digest()));
    assert_true(std::ranges::all_of(raw.subspan(0x0C0, 32), [](std::byte b) { return b == std::byte{0xd7}; }));
    assert_true(all_zero(raw.subspan(0x0E0, 96)));
    assert_false(all_zero(raw.subspan(0x140, 32)));
    assert_true(std::ranges::all_of(raw.subspan(0x160, 32), [](std::byte b) { return b == std::byte{0xff}; }));
    assert_true(le(0x180, 8) == 0x541900000000000a);
    assert_int_equal(le(0x188, 3), 0x011119);
    assert_true(all_zero(raw.subspan(0x18B, 21)));
    assert_true(equal(raw.subspan(0x1A0, 64), keys().chip_id()));
    assert_true(le(0x1E0, 8) == 0x541900000000000a);
    assert_int_equal(le(0x1E8, 4), 0x01372b); // build, minor, major, reserved
    assert_int_equal(le(0x1EC, 4), 0x01372b);
    assert_true(le(0x1F0, 8) == 0x541900000000000a);
    assert_int_equal(le(0x1F8, 8), 1);
    assert_int_equal(le(0x200, 8), 1);
    assert_true(all_zero(raw.subspan(0x208, 152)));
    assert_true(all_zero(raw.subspan(0x2A0 + 48, 24)) && all_zero(raw.subspan(0x2E8 + 48, 24)));
    assert_true(all_zero(raw.subspan(0x330)));
}

// ECDSA P-384 over SHA-384 of bytes 0..0x29f by the VCEK in the certificate table, r and s little-endian.
bool signature_holds(ByteView raw, ByteView vcek) {
    const auto certificate = X509Certificate::parse(vcek, "vcek").value();
    const mbedtls_ecp_keypair *pair = mbedtls_pk_ec(certificate.get().pk);
    MbedGroup group;
    MbedPoint q;
    MbedMpi r, s;
    mbedtls_ecp_group_load(group.get(), MBEDTLS_ECP_DP_SECP384R1);
    mbedtls_ecp_export(pair, nullptr, nullptr, q.get());
    mbedtls_mpi_read_binary_le(r.get(), u8(raw.subspan(0x2A0, 72)), 72);
    mbedtls_mpi_read_binary_le(s.get(), u8(raw.subspan(0x2E8, 72)), 72);
    const Sha384Digest digest = sha384(raw.first(0x2A0));
    return mbedtls_ecdsa_verify(group.get(), u8(ByteView{digest}), 48, q.get(), r.get(), s.get()) == 0;
}

void report_is_signed_by_the_vcek_that_comes_with_it(void **) {
    EmulatedSp sp = running_sp();
    const SpResponse response = sp.guest_request({.sequence = 1});
    const CertTable table = parse_cert_table(response.certificates).value();
    const EmulatedKeys set = keys();
    assert_true(equal(table.vcek, set.chain().vcek));
    assert_true(equal(table.ask, set.chain().ask));
    assert_true(equal(table.ark, set.chain().ark));
    assert_true(signature_holds(response.report, table.vcek));
    Bytes changed = response.report;
    for (const std::size_t offset : {0x000uz, 0x008uz, 0x050uz, 0x090uz, 0x29fuz, 0x2a0uz, 0x2e8uz}) {
        changed[offset] ^= std::byte{1};
        assert_false(signature_holds(changed, table.vcek));
        changed[offset] ^= std::byte{1};
    }
    assert_true(signature_holds(changed, table.vcek));
}

void requests_out_of_sequence_are_refused_and_change_nothing(void **) {
    EmulatedSp sp = running_sp();
    for (std::uint64_t wrong : {0ull, 2ull, 3ull, ~0ull}) {
        const SpResponse response = sp.guest_request({.sequence = wrong});
        assert_true(response.status == SpStatus::bad_sequence);
        assert_true(response.report.empty() && response.certificates.empty());
    }
    assert_true(sp.guest_request({.sequence = 1}).status == SpStatus::ok);
    assert_true(sp.guest_request({.sequence = 1}).status == SpStatus::bad_sequence); // a replay
    assert_true(sp.guest_request({.sequence = 3}).status == SpStatus::ok);
    assert_true(sp.guest_request({.sequence = 5}).status == SpStatus::ok);
}

void a_vmpl_above_3_is_refused(void **) {
    EmulatedSp sp = running_sp();
    for (std::uint32_t wrong : {4u, 0xffffffffu})
        assert_true(sp.guest_request({.sequence = 1, .report_data = {}, .vmpl = wrong}).status ==
                    SpStatus::invalid_parameter);
    assert_true(sp.guest_request({.sequence = 1, .report_data = {}, .vmpl = 3}).status == SpStatus::ok);
}

void report_ids_differ_between_launches_and_not_within_one(void **) {
    EmulatedSp one = running_sp();
    EmulatedSp other = running_sp();
    const Bytes a = one.guest_request({.sequence = 1}).report;
    const Bytes b = one.guest_request({.sequence = 3}).report;
    const Bytes c = other.guest_request({.sequence = 1}).report;
    assert_true(equal(ByteView{a}.subspan(0x140, 32), ByteView{b}.subspan(0x140, 32)));
    assert_false(equal(ByteView{a}.subspan(0x140, 32), ByteView{c}.subspan(0x140, 32)));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(chain_verifies_with_rsa_pss_sha384_salt_48),
        cmocka_unit_test(vcek_has_the_extensions_of_a_real_one_in_form_and_order),
        cmocka_unit_test(vcek_names_the_emulated_platform),
        cmocka_unit_test(key_files_are_private),
        cmocka_unit_test(loading_refuses_every_missing_or_broken_file),
        cmocka_unit_test(loading_refuses_a_directory_open_to_others),
        cmocka_unit_test(policy_is_refused_when_the_platform_cannot_keep_it),
        cmocka_unit_test(launch_steps_out_of_order_are_refused),
        cmocka_unit_test(launch_update_refuses_pages_that_are_not_pages),
        cmocka_unit_test(launch_digest_is_sev_snp_measures),
        cmocka_unit_test(id_auth_verifies_virtees_sample),
        cmocka_unit_test(id_auth_refuses_every_change_that_matters),
        cmocka_unit_test(launch_finish_refuses_an_id_block_for_another_launch),
        cmocka_unit_test(report_names_what_the_id_block_says_and_who_signed_it),
        cmocka_unit_test(refusals_of_an_id_block_say_what_was_found_and_wanted),
        cmocka_unit_test(a_refused_id_block_leaves_no_trace_in_a_later_report),
        cmocka_unit_test(report_has_the_layout_of_the_specification),
        cmocka_unit_test(report_is_signed_by_the_vcek_that_comes_with_it),
        cmocka_unit_test(requests_out_of_sequence_are_refused_and_change_nothing),
        cmocka_unit_test(a_vmpl_above_3_is_refused),
        cmocka_unit_test(report_ids_differ_between_launches_and_not_within_one),
    };
    return cmocka_run_group_tests(tests, make_keys, remove_keys);
}
