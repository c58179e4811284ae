// Keys that sign, and ID blocks: bytes and digests against sev-snp-measure's and virtee/sev's, what is signed verifies,
// files are read strictly.
#include "tests/unit/cmocka.hpp"

#include "host-tools/signing/id_block_file.hpp"
#include "host-tools/signing/key_file.hpp"

using namespace cvmin;

namespace {

template <class T> Errc code_of(const Result<T> &result) {
    return result ? Errc{0xff} : result.error().code;
}

const Json &id_block_case() {
    static const Json json = parse_json(test::data("sev-snp-measure/cases.json"), "cases").value()["id_block"];
    return json;
}
std::string text_of(const char *member) {
    return id_block_case().at(member).get<std::string>();
}

IdBlock block_of_the_case() {
    return {.launch_digest = exactly<48>(parse_base64(text_of("measurement_b64"), "case").value(), "case").value(),
            .family_id = {},
            .image_id = {},
            .version = 1,
            .guest_svn = 0,
            .policy = 0x30000};
}

// Keys made by OpenSSL: `openssl ecparam -name secp384r1 -genkey` (with its parameters in front), `openssl pkcs8
// -topk8`, and the public half of both.
constexpr const char *sec1_pem = R"(-----BEGIN EC PARAMETERS-----
BgUrgQQAIg==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MIGkAgEBBDDO0kyRkpPUFG/W7hh8m7o65sPoZudIS6wvwY43FhM54BQg0MMEsTVG
8/vDYR70fHmgBwYFK4EEACKhZANiAAQgnL/uOaKrz5HeU2rZqnqTmQObvA69ZvhG
WMGXj6DuYvGjUMQqAw3k6ZMpa5eDAYNeiJRkOwepDw54KrQQIBv+97lxCMLHFM09
ww1PflIHaKjwNqw6sGCOXnP3Hn4O0BY=
-----END EC PRIVATE KEY-----
)";
constexpr const char *pkcs8_pem = R"(-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDO0kyRkpPUFG/W7hh8
m7o65sPoZudIS6wvwY43FhM54BQg0MMEsTVG8/vDYR70fHmhZANiAAQgnL/uOaKr
z5HeU2rZqnqTmQObvA69ZvhGWMGXj6DuYvGjUMQqAw3k6ZMpa5eDAYNeiJRkOwep
Dw54KrQQIBv+97lxCMLHFM09ww1PflIHaKjwNqw6sGCOXnP3Hn4O0BY=
-----END PRIVATE KEY-----
)";
constexpr const char *public_pem = R"(-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEIJy/7jmiq8+R3lNq2ap6k5kDm7wOvWb4
RljBl4+g7mLxo1DEKgMN5OmTKWuXgwGDXoiUZDsHqQ8OeCq0ECAb/ve5cQjCxxTN
PcMNT35SB2io8DasOrBgjl5z9x5+DtAW
-----END PUBLIC KEY-----
)";
constexpr const char *p256_pem = R"(-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUD5bj6qh63j9T1zr
0ci0YFc/dXAs2wgNGsPX0L90FSChRANCAARSVN/PV9CDmQ5Pj1Sn0uVsbNDhbrKJ
GmhdC6QtYQmBUSbJDn5pIwiG0NUJvFUYflRty7EBgYwRatg4tuG0Khoe
-----END PRIVATE KEY-----
)";
constexpr const char *encrypted_pem = R"(-----BEGIN ENCRYPTED PRIVATE KEY-----
MIIBJDBfBgkqhkiG9w0BBQ0wUjAxBgkqhkiG9w0BBQwwJAQQ4ao2nR2Zi1E5K1w8
wXqw/gICCAAwDAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEBbTLctUPCFvKn1K
2gQQMDkEgcBv1MhtiAkdE8IhJBRVFDlIW8aM9ltL98AtvclKEh1Gugk42ztO1cha
BBSo5no25bRTK4nAhWS/mTekFFdkEhoBhRB1d1yc//S3v/E74GVxOFYSBDMSIgZ4
cccgzFeBQgA7/NSA5ftM7f7lhlCURAfUJ+lilc/NPuPILOXfqHqPI1DI5yrwPOac
GYjJ6I9vdr4bJS+zHMHY/XuVBGQiw/zfxAx9Uy5hDf5kTrOU27U05/35piNszH9w
3wrfZ+q1l4c=
-----END ENCRYPTED PRIVATE KEY-----
)";
constexpr const char *encrypted_sec1_pem = R"(-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,8AE942EB28B6CAD22A1A01C86A2AD47E

FBvWWQ8LFOIu8JJ4/Qw3kE89PkiMI3XKMOFqMfX1c/CDXGQcdliHGxo4oejusFIk
eHNCrstqAuThN3ggcoFrwQqNJuZeDPhLd8vNTCq6pSwPbggufLUIN61xi/MfTH4b
Pl9FonChIkv9ugKMUw++YGLugWI32WASCCrzuyuaab8hVXxqM6dXMih67RvvVvpB
zLGKGzo6Cb0cQJBYILVDk1XkU8y2mOJ8WtWW6DCKVTU=
-----END EC PRIVATE KEY-----
)";
constexpr const char *rsa_public_pem = R"(-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCquxdA29RQoFY2hZOeRBQTSmrd
FYriik9Mna4BYqoCpvoFmC2t49MaZQWN/L7DA63SbOJcWrvGLNV6J92YE8a02WAM
ZtilAkVp64GMER+v5RuiRtmVFHNKWDemMpwItQ04I0TPdOnKmwb0YW0Mh1esBbvd
ihCHq981WAvEvsUeVQIDAQAB
-----END PUBLIC KEY-----
)";

// ---- keys -----------------------------------------------------------------------------------------------------------

// DER is PEM without its armour.
Bytes der_of(std::string pem) {
    pem = pem.substr(pem.find('\n') + 1);
    pem = pem.substr(0, pem.find("-----"));
    std::erase(pem, '\n');
    return parse_base64(pem, "der").value();
}
PublicKey public_of(ByteView private_key) {
    P384PrivateKey key;
    return read_private_key(key, private_key) ? key.public_key().value() : PublicKey{};
}
Errc refusal_of(ByteView private_key) {
    P384PrivateKey key;
    return code_of(read_private_key(key, private_key));
}

void a_key_is_the_same_in_every_encoding_of_openssl(void **) {
    const PublicKey wanted = read_public_key(as_bytes(public_pem)).value();
    assert_true(public_of(as_bytes(sec1_pem)) == wanted);
    assert_true(public_of(as_bytes(pkcs8_pem)) == wanted);
    assert_true(public_of(der_of(pkcs8_pem)) == wanted);
    assert_string_equal(public_key_pem(wanted).value().c_str(), public_pem);
    assert_true(read_public_key(public_key_der(wanted)).value() == wanted);
}

void a_new_key_is_pkcs8_and_another_one_each_time(void **) {
    const NewKey one = generate_key().value();
    const NewKey two = generate_key().value();
    assert_false(one.public_key == two.public_key);
    assert_true(public_of(one.pem.view()) == one.public_key);
    // the same bytes as OpenSSL's but for number and point
    const Bytes ours = der_of(std::string{as_text(one.pem.view())});
    const Bytes openssls = der_of(pkcs8_pem);
    assert_int_equal(ours.size(), openssls.size());
    assert_true(equal(ByteView{ours}.first(35), ByteView{openssls}.first(35)));
    assert_true(equal(ByteView{ours}.subspan(83, 6), ByteView{openssls}.subspan(83, 6)));
    assert_true(as_text(one.pem.view()).starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_true(as_text(one.pem.view()).ends_with("-----END PRIVATE KEY-----\n"));
}

void keys_of_other_kinds_are_refused(void **) {
    assert_true(refusal_of(as_bytes(p256_pem)) == Errc::unsupported);
    assert_true(refusal_of(as_bytes(encrypted_pem)) == Errc::unsupported);
    assert_true(refusal_of(as_bytes(encrypted_sec1_pem)) == Errc::unsupported);
    assert_true(refusal_of(as_bytes(public_pem)) == Errc::malformed);
    assert_true(refusal_of(as_bytes("")) == Errc::malformed);
    assert_true(refusal_of(as_bytes("-----BEGIN PRIVATE KEY-----\n")) == Errc::malformed);
    assert_true(refusal_of(Bytes(max_key_file + 1)) == Errc::too_large);
    assert_true(code_of(read_public_key(as_bytes(pkcs8_pem))) == Errc::malformed);
    assert_true(code_of(read_public_key(as_bytes(rsa_public_pem))) == Errc::unsupported);
    assert_true(code_of(read_public_key({})) == Errc::malformed);
    assert_true(code_of(read_public_key(Bytes(max_key_file + 1))) == Errc::too_large);
}

void a_private_key_with_another_ones_public_half_is_refused(void **) {
    Bytes der = der_of(pkcs8_pem);
    const Bytes point = public_key_der(generate_key().value().public_key);
    std::copy(point.end() - 96, point.end(), der.end() - 96);
    assert_true(refusal_of(der) == Errc::mismatch);
    std::fill(der.begin() + 35, der.begin() + 35 + 48, std::byte{0}); // the number 0 is no key
    assert_true(refusal_of(der) == Errc::malformed);
}

// ---- ID block -------------------------------------------------------------------------------------------------------

void id_block_has_sev_snp_measures_bytes(void **) {
    const IdBlock block = block_of_the_case();
    const auto raw = encode_id_block(block);
    assert_true(base64(raw) == text_of("expect_id_block_b64"));
    assert_true(parse_id_block(raw).value() == block);
}

void key_digests_are_sev_snp_measures(void **) {
    const auto digest = [](const char *member) {
        const Bytes pem = test::data("sev-snp-measure/" + text_of(member));
        return base64(snp_key_digest(read_public_key(pem).value()));
    };
    assert_true(digest("id_key") == text_of("expect_id_key_digest_b64"));
    assert_true(digest("author_key") == text_of("expect_author_key_digest_b64"));
}

void id_block_fields_are_where_the_specification_has_them(void **) {
    IdBlock block{};
    block.launch_digest.fill(std::byte{0x11});
    block.family_id.fill(std::byte{0x22});
    block.image_id.fill(std::byte{0x33});
    block.version = 1;
    block.guest_svn = 0x0a0b0c0d;
    block.policy = 0x1122334455667788;
    const auto raw = encode_id_block(block);
    std::string wanted; // 56860, table ID_BLOCK
    for (int i = 0; i < 48; ++i)
        wanted += "11";
    for (int i = 0; i < 16; ++i)
        wanted += "22";
    for (int i = 0; i < 16; ++i)
        wanted += "33";
    wanted += "010000000d0c0b0a8877665544332211";
    assert_string_equal(hex(raw).c_str(), wanted.c_str());
}

void what_is_signed_verifies_and_names_its_keys(void **) {
    P384PrivateKey id_key, author;
    (void)read_private_key(id_key, as_bytes(sec1_pem));
    (void)read_private_key(author, generate_key().value().pem.view());
    const PublicKey id_public = id_key.public_key().value();
    const PublicKey author_public = author.public_key().value();
    const SignedIdBlock with = sign_id_block(block_of_the_case(), id_key, &author).value();
    const SignedIdBlock without = sign_id_block(block_of_the_case(), id_key, nullptr).value();
    assert_true(with.author_key_enabled());
    assert_false(without.author_key_enabled());
    const IdKeys keys = verify_id_auth(with.auth, with.raw, true).value();
    assert_true(keys.id_key_digest == snp_key_digest(id_public));
    assert_true(*keys.author_key_digest == snp_key_digest(author_public));
    assert_true(verify_id_auth(without.auth, without.raw, false).has_value());
    assert_true(code_of(verify_id_auth(without.auth, without.raw, true)) == Errc::unsupported); // there is none
    // an author key that is another's: the ID key's signature does not hold
    Bytes mixed = with.auth;
    const auto other = snp_public_key(id_public);
    std::ranges::copy(other, mixed.begin() + 0x880);
    assert_true(verify_id_auth(mixed, with.raw, true).error() == (Error{Errc::mismatch, "id_auth.id_key_signature"}));
    // layout, typed from 56860, table ID_AUTH_INFO
    const ByteView raw = with.auth;
    assert_int_equal(load_le(raw.subspan(0, 4)), 1);
    assert_int_equal(load_le(raw.subspan(4, 4)), 1);
    assert_true(all_zero(raw.subspan(8, 56)));
    assert_true(all_zero(raw.subspan(0x40 + 48, 24)) && all_zero(raw.subspan(0x40 + 72 + 48, 512 - 72 - 48)));
    assert_int_equal(load_le(raw.subspan(0x240, 4)), 2);
    Bytes x = to_bytes(raw.subspan(0x244, 48));
    std::ranges::reverse(x);
    assert_true(equal(x, id_public.x));
    assert_true(all_zero(raw.subspan(0x240 + 4 + 72 + 48, 0x680 - 0x240 - 4 - 72 - 48)));
    assert_int_equal(load_le(raw.subspan(0x880, 4)), 2);
    assert_true(all_zero(raw.subspan(0xc84)));
    assert_int_equal(raw.size(), 4096);
}

// ---- files ----------------------------------------------------------------------------------------------------------

std::vector<IdBlockOf> two_blocks() {
    P384PrivateKey key;
    (void)read_private_key(key, as_bytes(sec1_pem));
    IdBlock block = block_of_the_case();
    block.guest_svn = 7;
    std::vector<IdBlockOf> out;
    for (unsigned vcpus : {1u, 2u}) {
        block.launch_digest[0] = static_cast<std::byte>(vcpus);
        out.push_back({sign_id_block(block, key, nullptr).value(), vcpus, "EPYC-v4"});
    }
    return out;
}

void id_blocks_file_gives_back_what_was_written(void **) {
    const auto blocks = two_blocks();
    const auto read = parse_id_blocks(as_bytes(to_json(blocks).dump(2))).value();
    assert_int_equal(read.size(), 2);
    for (std::size_t i = 0; i < 2; ++i) {
        assert_true(read[i].signed_block.raw == blocks[i].signed_block.raw);
        assert_true(read[i].signed_block.auth == blocks[i].signed_block.auth);
        assert_int_equal(read[i].vcpus, i + 1);
        assert_true(read[i].vcpu_type == "EPYC-v4");
    }
    const Json json = to_json(blocks);
    assert_true(json["guest_svn"] == 7 && json["policy"] == "0x30000" && json["author_key_digest"].is_null());
    assert_true(json["id_key_digest"] == hex(snp_key_digest(read_public_key(as_bytes(public_pem)).value())));
}

void id_blocks_file_refuses_what_does_not_agree(void **) {
    const Json good = to_json(two_blocks());
    const auto refusal = [&good](auto change) {
        Json json = good;
        change(json);
        return code_of(parse_id_blocks(as_bytes(json.dump())));
    };
    assert_true(refusal([](Json &j) { j["schema"] = 2; }) == Errc::unsupported);
    assert_true(refusal([](Json &j) { j["kind"] = "cvmin-image"; }) == Errc::unsupported);
    assert_true(refusal([](Json &j) { j.erase("kind"); }) == Errc::missing);
    assert_true(refusal([](Json &j) { j.erase("blocks"); }) == Errc::missing);
    assert_true(refusal([](Json &j) { j["blocks"] = 1; }) == Errc::malformed);
    assert_true(refusal([](Json &j) { j["blocks"] = Json::array(); }) == Errc::out_of_range);
    assert_true(refusal([](Json &j) {
                    j["blocks"] = Json::array();
                    j["blocks"].push_back(1);
                }) == Errc::malformed);
    assert_true(refusal([](Json &j) { j["more"] = 1; }) == Errc::malformed);
    assert_true(refusal([](Json &j) { j["blocks"][0]["more"] = 1; }) == Errc::malformed);
    assert_true(refusal([](Json &j) { j["guest_svn"] = 8; }) == Errc::mismatch);
    assert_true(refusal([](Json &j) { j["policy"] = "0xb0000"; }) == Errc::mismatch);
    assert_true(refusal([](Json &j) { j["id_key_digest"] = std::string(96, '0'); }) == Errc::mismatch);
    assert_true(refusal([](Json &j) { j["author_key_digest"] = std::string(96, '0'); }) == Errc::mismatch);
    assert_true(refusal([](Json &j) { j["blocks"][1]["launch_digest"] = std::string(96, '0'); }) == Errc::mismatch);
    assert_true(refusal([](Json &j) { j["blocks"][1]["vcpus"] = 0; }) == Errc::out_of_range);
    assert_true(refusal([](Json &j) { j["blocks"][1].erase("vcpu_type"); }) == Errc::missing);
    assert_true(refusal([](Json &j) { j["blocks"][0]["id_block"] = "AAAA"; }) == Errc::truncated);
    assert_true(refusal([](Json &j) { j["blocks"][0]["id_auth"] = "AAAA"; }) == Errc::truncated);
    assert_true(refusal([](Json &j) { j["blocks"][0]["id_auth"] = "***"; }) == Errc::malformed);
    assert_true(refusal([](Json &j) { // a block of another version number than the file's
                    IdBlock other =
                        parse_id_block(parse_base64(j["blocks"][1]["id_block"].get<std::string>(), "").value()).value();
                    other.guest_svn = 6;
                    j["blocks"][1]["id_block"] = base64(encode_id_block(other));
                }) == Errc::mismatch);
    assert_true(refusal([](Json &j) {
                    for (std::size_t i = 0; i < max_id_blocks; ++i)
                        j["blocks"].push_back(j["blocks"][0]);
                }) == Errc::out_of_range);
    assert_true(refusal([](Json &) {}) == Errc{0xff});
}

void a_file_with_as_many_blocks_as_may_be_can_be_read(void **) {
    auto blocks = two_blocks();
    while (blocks.size() < max_id_blocks)
        blocks.push_back(blocks[1]);
    const std::string text = to_json(blocks).dump(2);
    assert_true(text.size() <= max_id_block_file);
    assert_int_equal(parse_id_blocks(as_bytes(text)).value().size(), max_id_blocks);
}

void base64_and_raw_bytes_are_both_read(void **) {
    const Bytes raw(96, std::byte{'{'});
    assert_true(parse_raw_or_base64(raw, 96, "x").value() == raw);
    assert_true(parse_raw_or_base64(as_bytes("\n " + base64(raw) + "\r\n"), 96, "x").value() == raw);
    assert_true(code_of(parse_raw_or_base64(as_bytes(base64(Bytes(95))), 96, "x")) == Errc::truncated);
    assert_true(code_of(parse_raw_or_base64(as_bytes(base64(Bytes(97))), 96, "x")) == Errc::trailing);
    assert_true(code_of(parse_raw_or_base64(as_bytes("AA AA"), 96, "x")) == Errc::malformed);
    assert_true(code_of(parse_raw_or_base64({}, 96, "x")) == Errc::truncated);
}

void guest_ids_are_hex_with_0x_and_text_without(void **) {
    assert_true(hex(parse_guest_id("web", "x").value()) == "77656200000000000000000000000000");
    assert_true(hex(parse_guest_id("0123456789abcdef", "x").value()) == "30313233343536373839616263646566");
    assert_true(hex(parse_guest_id("0x000102030405060708090a0b0c0d0eFF", "x").value()) ==
                "000102030405060708090a0b0c0d0eff");
    assert_true(code_of(parse_guest_id("", "x")) == Errc::out_of_range);
    assert_true(code_of(parse_guest_id("0123456789abcdef0", "x")) == Errc::out_of_range);
    assert_true(code_of(parse_guest_id("000102030405060708090a0b0c0d0e0f", "x")) == Errc::out_of_range); // without 0x
    assert_true(code_of(parse_guest_id("0x00", "x")) == Errc::out_of_range);
    assert_true(code_of(parse_guest_id("0xyz", "x")) == Errc::malformed);
    assert_true(code_of(parse_guest_id("a\tb", "x")) == Errc::malformed);
    assert_true(code_of(parse_guest_id("\xc3\xa4", "x")) == Errc::malformed);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_the_same_in_every_encoding_of_openssl),
        cmocka_unit_test(a_new_key_is_pkcs8_and_another_one_each_time),
        cmocka_unit_test(keys_of_other_kinds_are_refused),
        cmocka_unit_test(a_private_key_with_another_ones_public_half_is_refused),
        cmocka_unit_test(id_block_has_sev_snp_measures_bytes),
        cmocka_unit_test(key_digests_are_sev_snp_measures),
        cmocka_unit_test(id_block_fields_are_where_the_specification_has_them),
        cmocka_unit_test(what_is_signed_verifies_and_names_its_keys),
        cmocka_unit_test(id_blocks_file_gives_back_what_was_written),
        cmocka_unit_test(id_blocks_file_refuses_what_does_not_agree),
        cmocka_unit_test(a_file_with_as_many_blocks_as_may_be_can_be_read),
        cmocka_unit_test(base64_and_raw_bytes_are_both_read),
        cmocka_unit_test(guest_ids_are_hex_with_0x_and_text_without),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
