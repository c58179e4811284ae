// CoRIM: Veraison's sample read, our own written in the same form, and what neither may be. Values of the sample are
// typed from its JSON source (tests/data/veraison/ORIGIN.md).
#include "tests/unit/cmocka.hpp"

#include "host-tools/base/mbed.hpp"
#include "host-tools/corim/corim.hpp"

using namespace cvmin;
using cbor::Writer;
using corim::Launch;

static constexpr std::string_view sample_digest =
    "7699e6ac12ccdfd1dfac70e649ce1f046cb2afbb003438f4cdddfe2ccbe182fa5ffbe8dcdb930454324e10c52c788980";

static Bytes sample() {
    return test::data("veraison/corim-sevsnp-valid.cbor");
}
static Bytes from_hex(std::string_view text) {
    return parse_hex(text, "test").value();
}
static Sha384Digest digest_of(std::string_view text) {
    return sha384(as_bytes(text));
}
static std::string tag_id(std::string_view signature, unsigned vcpus) {
    return "tag:cvmin,2026:launch/00112233445566778899aabbccddeeff/" + std::string{signature} + "/" +
           std::to_string(vcpus);
}
static std::vector<Launch> some_launches() {
    return {{.tag_id = tag_id("0x00800f12", 1), .digest = digest_of("a"), .policy = 0x30000},
            {.tag_id = tag_id("0x00800f12", 2), .digest = digest_of("b"), .policy = 0x30000},
            {.tag_id = tag_id("0x00a10f10", 1),
             .digest = digest_of("c"),
             .guest_svn = corim::Svn{3, true},
             .policy = 0x30000,
             .family_id = parse_hex_exactly<16>("000102030405060708090a0b0c0d0e0f", "f").value(),
             .image_id = parse_hex_exactly<16>("101112131415161718191a1b1c1d1e1f", "i").value()}};
}
static std::size_t occurrences(ByteView in, ByteView what) {
    std::size_t count = 0;
    for (std::size_t at = 0; at + what.size() <= in.size(); ++at)
        count += equal(in.subspan(at, what.size()), what);
    return count;
}
static Bytes replaced(ByteView in, std::string_view from, std::string_view to) {
    const Bytes a = from_hex(from), b = from_hex(to);
    if (a.size() != b.size() || occurrences(in, a) != 1) {
        print_error("cannot replace %s\n", std::string{from}.c_str());
        abort();
    }
    Bytes out = to_bytes(in);
    std::ranges::copy(b, std::ranges::search(out, a).begin());
    return out;
}
static Error refusal(ByteView file) {
    const auto parsed = corim::parse(file);
    assert_false(parsed.has_value());
    return parsed.error();
}

// ---- the sample -----------------------------------------------------------------------------------------------

static void parse_reads_veraisons_sample(void **) {
    const auto parsed = corim::parse(sample());
    assert_true(parsed.has_value());
    assert_string_equal(parsed->id.c_str(), "00000000-0000-0000-5596-0000000000001");
    assert_string_equal(parsed->profile.c_str(), "tag:amd.com,2024:snp-corim-profile");
    assert_false(parsed->signature.has_value() || parsed->validity.has_value());
    assert_int_equal(parsed->tags.size(), 2);
    assert_string_equal(parsed->tags[0].id.c_str(), "f659d510-3698-4b52-9dc6-39a0dd620998");
    assert_int_equal(parsed->tags[0].references.size(), 1);
    const corim::Reference &reference = parsed->tags[0].references[0];
    assert_string_equal(reference.environment.class_id.c_str(), "1.3.6.1.4.1.3704.3.1");
    assert_true(hex(reference.environment.instance) == sample_digest);
    assert_false(reference.environment.has_more);
    static constexpr std::uint64_t keys[] = {0,   1,   2,   3,   4,    5,    6,    7,    640,
                                             641, 645, 646, 647, 3328, 3329, 3330, 3936, 3968};
    assert_int_equal(reference.measurements.size(), std::size(keys));
    for (std::size_t i = 0; i < std::size(keys); ++i) {
        assert_true(reference.measurements[i].key == keys[i]);
        assert_false(reference.measurements[i].has_more);
        assert_false(corim::name(keys[i]).empty());
    }
    assert_string_equal(reference.measurements[0].version.c_str(), "2");
    assert_true(reference.measurements[1].svn == (corim::Svn{0, true}));
    assert_true(hex(*reference.measurements[2].raw) == "0000000000030000");
    assert_true(hex(*reference.measurements[3].raw) == std::string(32, '0'));
    assert_true(reference.measurements[6].svn == (corim::Svn{15208092991676743683u, false}));
    assert_int_equal(reference.measurements[9].digests.size(), 1);
    assert_int_equal(reference.measurements[9].digests[0].algorithm, 7);
    assert_true(hex(reference.measurements[9].digests[0].value) == sample_digest);
    assert_string_equal(reference.measurements[15].version.c_str(), "1.55.8");
    // the trust anchor: a kind of triple that holds no reference values
    assert_string_equal(parsed->tags[1].id.c_str(), "00000000-0000-0000-0000-000a9406e40a");
    assert_true(parsed->tags[1].references.empty() && parsed->tags[1].other_triples == 1);
}

static void launches_of_refuses_demands_that_it_would_drop(void **) {
    // the sample demands a chip, TCBs and report data as well: its digest alone would accept more than it says
    const auto launches = corim::launches_of(corim::parse(sample()).value());
    assert_true(launches.error().code == Errc::unsupported);
}

// ---- our own --------------------------------------------------------------------------------------------------

static void encode_writes_veraisons_form(void **) {
    const Launch launch{.tag_id = "x",
                        .digest = parse_hex_exactly<48>(sample_digest, "d").value(),
                        .guest_svn = corim::Svn{0, true},
                        .policy = 0x30000,
                        .family_id = ByteArray<16>{},
                        .image_id = ByteArray<16>{}};
    const Bytes ours = corim::encode({&launch, 1}, false), theirs = sample();
    const std::string digest{sample_digest};
    for (const std::string &part : {"a200a100d86f492b060104019c78030101d902305830" + digest, // environment
                                    std::string{"a2000101a101d9022900"},                     // GUEST_SVN
                                    std::string{"a2000201a104d90230480000000000030000"},     // POLICY
                                    "a2000301a104d9023050" + std::string(32, '0'),           // FAMILY_ID
                                    "a2000401a104d9023050" + std::string(32, '0'),           // IMAGE_ID
                                    "a20019028101a1028182075830" + digest,                   // MEASUREMENT
                                    std::string{"03d8207822"} + hex(as_bytes(corim::profile_2024))}) {
        assert_int_equal(occurrences(theirs, from_hex(part)), 1);
        assert_int_equal(occurrences(ours, from_hex(part)), 1);
    }
}

static void encode_gives_back_what_it_was_given(void **) {
    const auto launches = some_launches();
    const Bytes file = corim::encode(launches, false);
    const auto parsed = corim::parse(file);
    assert_true(parsed.has_value());
    assert_true(corim::launches_of(*parsed).value() == launches);
    assert_false(corim::first_difference(corim::launches_of(*parsed).value(), launches).has_value());
    assert_false(corim::is_debug_image(*parsed));
    const Bytes again = corim::encode(launches, false), debug = corim::encode(launches, true);
    assert_true(again == file);
    assert_true(cbor::check_item(file, corim::max_size, cbor::Form::deterministic, "t").has_value());
    assert_true(corim::is_debug_image(corim::parse(debug).value()));
    auto others = launches;
    others[0].digest = digest_of("z");
    assert_true(corim::parse(corim::encode(others, false)).value().id != parsed->id);
}

static void launches_name_every_configuration_of_an_image(void **) {
    ImageManifest manifest;
    manifest.guest_policy = 0x30000;
    const std::vector<ReferenceValues> values{{0x800f12, {"EPYC"}, {digest_of("a"), digest_of("b")}},
                                              {0xa10f10, {"EPYC-Genoa"}, {digest_of("c")}}};
    const auto launches = corim::launches(manifest, values);
    assert_int_equal(launches.size(), 3);
    const auto second = corim::configuration_of(launches[1].tag_id);
    assert_true(second && second->signature == 0x800f12 && second->vcpus == 2);
    assert_true(launches[1].digest == digest_of("b") && launches[1].policy == 0x30000);
    assert_true(corim::describe_launch(launches[2].tag_id) == "EPYC-Genoa (0x00a10f10), 1 vCPU");
    // what else decides a value is in the id: two images, or two ID blocks, share none
    const auto other_ids =
        corim::launches(manifest, values, {.guest_svn = corim::Svn{1, true}, .family_id = {}, .image_id = {}});
    manifest.guest_features = 0x21;
    const auto other_features = corim::launches(manifest, values);
    assert_true(other_ids[0].tag_id != launches[0].tag_id && other_features[0].tag_id != launches[0].tag_id);
}

static void configuration_of_takes_our_tag_ids_only(void **) {
    assert_true(corim::configuration_of(tag_id("0x00800f12", 255)).has_value());
    for (const std::string &id :
         {std::string{"f659d510-3698-4b52-9dc6-39a0dd620998"}, tag_id("0x00800f12", 0), tag_id("0x00800f12", 256),
          tag_id("0x", 1), tag_id("0x1g", 1), tag_id("0x100000000", 1), tag_id("00800f12", 1),
          std::string{"tag:cvmin,2026:launch/"}, std::string{"tag:cvmin,2026:launch/0x1"}, tag_id("0x1", 1) + "a"})
        assert_false(corim::configuration_of(id).has_value());
}

static void first_difference_names_what_differs(void **) {
    const auto wanted = some_launches();
    const auto differs = [&](auto change) {
        auto found = wanted;
        change(found);
        return corim::first_difference(found, wanted).value_or("nothing");
    };
    const std::string genoa = "EPYC-Genoa (0x00a10f10), 1 vCPU: ";
    assert_true(differs([](auto &) {}) == "nothing");
    assert_true(differs([](auto &l) { std::swap(l[0], l[2]); }) == "nothing"); // order is nothing
    assert_true(differs([](auto &l) { l[2].digest[0] ^= std::byte{1}; }).starts_with(genoa + "launch digest: found "));
    assert_true(differs([](auto &l) { l[2].policy = 0xb0000; }) ==
                genoa + "guest policy: found 0x00000000000b0000, wanted 0x0000000000030000");
    assert_true(differs([](auto &l) { l[2].policy.reset(); }).starts_with(genoa + "guest policy: found none"));
    assert_true(differs([](auto &l) { l[2].guest_svn = corim::Svn{3, false}; }) ==
                genoa + "guest SVN: found 3, wanted at least 3");
    assert_true(differs([](auto &l) { l[2].family_id.reset(); }).starts_with(genoa + "family id: found none"));
    assert_true(differs([](auto &l) { l[2].image_id.reset(); }).starts_with(genoa + "image id: found none"));
    assert_true(differs([](auto &l) { l.pop_back(); }) == genoa + "is missing");
    assert_true(differs([](auto &l) { l.push_back(l[2]); }) == genoa + "is there twice");
    assert_true(differs([](auto &l) { l.push_back({.tag_id = tag_id("0x00a10f10", 9)}); }) ==
                "EPYC-Genoa (0x00a10f10), 9 vCPUs: is no launch of this image");
}

static void meets_compares_everything_that_is_set(void **) {
    const Launch launch = some_launches()[2];
    SnpReport report{};
    report.measurement = launch.digest;
    report.policy = 0x30000;
    report.guest_svn = 3;
    report.family_id = *launch.family_id;
    report.image_id = *launch.image_id;
    const auto meets = [&](auto change) {
        SnpReport changed = report;
        change(changed);
        return corim::meets(changed, launch);
    };
    assert_true(meets([](SnpReport &) {}));
    assert_true(meets([](SnpReport &r) { r.guest_svn = 4; }));
    assert_false(meets([](SnpReport &r) { r.guest_svn = 2; }));
    assert_false(meets([](SnpReport &r) { r.policy = 0xb0000; }));
    assert_false(meets([](SnpReport &r) { r.measurement[47] ^= std::byte{1}; }));
    assert_false(meets([](SnpReport &r) { r.family_id[0] ^= std::byte{1}; }));
    assert_false(meets([](SnpReport &r) { r.image_id[0] ^= std::byte{1}; }));
    Launch exact = launch;
    exact.guest_svn = corim::Svn{3, false};
    report.guest_svn = 4;
    assert_false(corim::meets(report, exact));
    assert_true(corim::meets(report, Launch{.tag_id = {}, .digest = launch.digest}));
}

// ---- what is refused ------------------------------------------------------------------------------------------

static void parse_refuses_every_truncation_and_a_tail(void **) {
    const Bytes file = sample();
    std::size_t accepted = 0;
    for (std::size_t size = 0; size < file.size(); ++size)
        accepted += corim::parse(ByteView{file}.first(size)).has_value();
    assert_int_equal(accepted, 0);
    Bytes longer = file;
    longer.push_back(std::byte{0});
    assert_true(refusal(longer).code == Errc::trailing);
    assert_true(refusal(Bytes(corim::max_size + 1)).code == Errc::too_large);
}

static void parse_refuses_other_tags_and_profiles(void **) {
    assert_true(refusal(replaced(sample(), "d901f5a300", "d901f6a300")).code == Errc::unsupported);
    const Error other = refusal(replaced(sample(), hex(as_bytes("2024:snp")), hex(as_bytes("2023:snp"))));
    assert_true(other.code == Errc::unsupported && other.where == "corim.profile");
    assert_true(corim::parse(replaced(sample(), hex(as_bytes("2024:snp")), hex(as_bytes("2025:snp")))).has_value());
    Bytes bare = sample();
    bare.erase(bare.begin(), bare.begin() + 3); // a map without its tag
    assert_true(refusal(bare).code == Errc::malformed);
}

static void parse_refuses_keys_that_are_there_twice(void **) {
    // the file's own map: its profile (3) becomes a second id (0)
    assert_true(refusal(replaced(sample(), "03d8207822", "00d8207822")).code == Errc::malformed);
    // in a CoMID: tag-identity (1) becomes a second language (0)
    assert_true(refusal(replaced(sample(), "656e2d474201a10050", "656e2d474200a10050")).code == Errc::malformed);
}

static void parse_refuses_two_tags_of_one_id(void **) {
    auto launches = some_launches();
    launches[1].tag_id = launches[0].tag_id;
    const Error error = refusal(corim::encode(launches, false));
    assert_true(error.code == Errc::malformed && error.where == "corim.comid.tag-identity");
}

// A CoRIM with one tag of these bytes.
static Bytes with_tag(ByteView comid) {
    Writer writer;
    writer.tag(501);
    writer.map(3);
    writer.integer(0);
    writer.text("id");
    writer.integer(1);
    writer.array(1);
    writer.tag(506);
    writer.bytes(comid);
    writer.integer(3);
    writer.tag(32);
    writer.text(corim::profile_2024);
    return writer.finish();
}
// A CoMID whose only reference triple is environment and measurements as given.
static Bytes comid(std::string_view environment, std::string_view measurements) {
    return from_hex("a2"
                    "01a1006161"
                    "04a1"
                    "0081"
                    "82" +
                    std::string{environment} + std::string{measurements});
}
static constexpr std::string_view by_chip = "a100a100d86f492b060104019c780301";
static std::string measured() {
    return "a20019028101a1028182075830" + std::string{sample_digest};
}
static Error launch_refusal(ByteView tag) {
    const auto parsed = corim::parse(with_tag(tag));
    if (!parsed) {
        print_error("%s\n", to_string(parsed.error()).c_str());
        abort();
    }
    const auto launches = corim::launches_of(*parsed);
    assert_false(launches.has_value());
    return launches.error();
}

static void parse_takes_a_minimal_tag_and_what_it_may_skip(void **) {
    const auto read = [](std::string_view environment, std::string_view measurements) {
        const auto parsed = corim::parse(with_tag(comid(environment, measurements)));
        return parsed ? corim::launches_of(*parsed) : std::unexpected(parsed.error());
    };
    const auto plain = read(by_chip, "81" + measured());
    assert_true(plain.has_value() && plain->size() == 1);
    assert_true(hex((*plain)[0].digest) == sample_digest && (*plain)[0].tag_id == "a" && !(*plain)[0].policy);
    // VLEK, and without the digest as an instance
    assert_true(read("a100a100d86f492b060104019c780302", "81" + measured()).has_value());
    // extensions of the file, with keys of any kind, are skipped
    Bytes extended = with_tag(comid(by_chip, "81" + measured()));
    extended[3] = std::byte{0xa5};
    for (const char *more : {"3903e7"
                             "82f5f6",
                             "63666f6f"
                             "a0"})
        for (const std::byte byte : from_hex(more))
            extended.push_back(byte);
    assert_true(corim::parse(extended).has_value());
}

static void launches_of_refuses_what_it_cannot_compare(void **) {
    const std::string m = measured();
    const auto why = [](std::string_view environment, const std::string &measurements) {
        return launch_refusal(comid(environment, measurements)).code;
    };
    // Veraison's bad samples: a key that is an object identifier, and none at all
    assert_true(why(by_chip, "81a200d86f492b060104019c78030101a101d9022804") == Errc::unsupported);
    assert_true(why(by_chip, "81a101a101d9022804") == Errc::unsupported);
    // other environments: a vendor only; a class of somebody else; a group; an instance that is no digest
    assert_true(why("a100a1016141", "81" + m) == Errc::unsupported);
    assert_true(why("a100a100d86f492b060104019c780303", "81" + m) == Errc::unsupported);
    assert_true(why("a200a100d86f492b060104019c78030102d902304101", "81" + m) == Errc::unsupported);
    assert_true(why("a200a100d86f492b060104019c78030101d902304101", "81" + m) == Errc::unsupported);
    assert_true(why("a200a100d86f492b060104019c78030101d90226480102030405060708", "81" + m) == Errc::unsupported);
    // no digest; two; of another algorithm; of another size; the key twice; beside another value
    assert_true(why(by_chip, "81a2000101a101d9022804") == Errc::missing);
    assert_true(why(by_chip, "81a20019028101a1028282075830" + std::string{sample_digest} + "82075830" +
                                 std::string(96, '0')) == Errc::unsupported);
    assert_true(why(by_chip, "81a20019028101a1028182015820" + std::string(64, '0')) == Errc::unsupported);
    assert_true(why(by_chip, "81a20019028101a1028182075820" + std::string(64, '0')) == Errc::out_of_range);
    assert_true(why(by_chip, "82" + m + m) == Errc::malformed);
    assert_true(why(by_chip, "81a20019028101a20101028182075830" + std::string{sample_digest}) == Errc::unsupported);
    // a policy with a mask, of a wrong size; an SVN that is no SVN; report data; authorized-by
    assert_true(why(by_chip, "82" + m + "a2000201a104d902338248000000000003000048ffffffffffffffff") ==
                Errc::unsupported);
    assert_true(why(by_chip, "82" + m + "a2000201a104d902304400030000") == Errc::out_of_range);
    assert_true(why(by_chip, "82" + m + "a2000101a104d902304101") == Errc::unsupported);
    assert_true(why(by_chip, "82" + m + "a20019028001a104d902304101") == Errc::unsupported);
    assert_true(why(by_chip, "81a300" + m.substr(4) + "0281d9022a6161") == Errc::unsupported);
}

static void parse_refuses_tags_that_are_not_comids(void **) {
    const auto why = [](std::string_view encoded) { return refusal(with_tag(from_hex(encoded))).code; };
    const std::string m = measured();
    assert_true(why("a0") == Errc::missing);
    assert_true(why("a101a1006161") == Errc::missing); // no triples
    assert_true(why("a104a10081") == Errc::truncated);
    assert_true(why("80") == Errc::malformed);
    assert_true(why("a201a100616104a10080") == Errc::out_of_range); // no triple in the list
    assert_true(why("a201a10061610481a1") == Errc::truncated);
    assert_true(why(hex(comid("80", "81" + m))) == Errc::malformed);
    assert_true(why(hex(comid(by_chip, "80"))) == Errc::out_of_range);
    assert_true(why(hex(comid(by_chip, "81a100190281"))) == Errc::missing); // no values
    assert_true(why(hex(comid(by_chip, "81a20019028101a10280"))) == Errc::out_of_range);
    assert_true(why(hex(comid(by_chip, "81a2000101a101d902274101"))) == Errc::unsupported); // an SVN's tag
    assert_true(why(hex(comid("a100a100d86f41ff", "81" + m))) == Errc::malformed);          // an arc without an end
    std::string nested;
    for (int i = 0; i < 30; ++i)
        nested += "81";
    assert_true(why("a301a100616104a1"
                    "0081"
                    "82" +
                    std::string{by_chip} + "81" + m + "20" + nested + "00") == Errc::too_large);
}

static void parse_refuses_absurd_counts(void **) {
    // 2^64 - 1 tags, triples, measurements, in a few bytes
    assert_true(refusal(from_hex("d901f5a1019bffffffffffffffff")).code == Errc::truncated);
    assert_true(refusal(with_tag(from_hex("a201a100616104a1009bffffffffffffffff"))).code == Errc::truncated);
    std::string many = "9841"; // 65 measurements
    for (unsigned i = 0; i < 65; ++i)
        many += measured();
    assert_true(refusal(with_tag(comid(by_chip, many))).code == Errc::out_of_range);
    std::string triples = "a201a100616104a100"
                          "992001"; // 8,193 triples
    for (std::size_t i = 0; i <= corim::max_triples; ++i)
        triples += "82" + std::string{by_chip} + "81a2000101a10100";
    assert_true(refusal(with_tag(from_hex(triples))).code == Errc::out_of_range);
    std::string digests = "81a20019028101a10289";
    for (unsigned i = 0; i < 9; ++i)
        digests += "82074101";
    assert_true(refusal(with_tag(comid(by_chip, digests))).code == Errc::out_of_range);
}

// ---- signatures -----------------------------------------------------------------------------------------------

struct Signed {
    Bytes file;
    PublicKey key;
};
static Signed signed_launches() {
    P384PrivateKey key;
    if (!key.parse(test::data("cose/key.pem"), system_random, nullptr, "key"))
        abort();
    const Bytes file = corim::encode(some_launches(), false);
    return {corim::sign(file, key, "ACME Images", system_random, nullptr).value(), key.public_key().value()};
}

static void sign_adds_a_signature_that_verifies(void **) {
    const Signed it = signed_launches();
    assert_true(corim::verify_signature(it.file, it.key, 0).has_value());
    const auto parsed = corim::parse(it.file);
    assert_true(parsed.has_value() && parsed->signature.has_value());
    assert_string_equal(parsed->signature->signer_name.c_str(), "ACME Images");
    assert_true(corim::launches_of(*parsed).value() == some_launches());
}

static void verify_signature_refuses_every_flipped_bit_of_the_signature_and_other_keys(void **) {
    const Signed it = signed_launches();
    PublicKey other = parse_p384_public_key(test::data("cose/public.pem"), "k").value();
    assert_true(other == it.key);
    std::size_t accepted = 0;
    for (std::size_t bit = 0; bit < 8 * 96; bit += 7) {
        Bytes changed = it.file;
        changed[changed.size() - 96 + bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
        accepted += corim::verify_signature(changed, it.key, 0).has_value();
    }
    for (std::size_t at = 1; at < it.file.size(); at += 13) { // and bytes of header and payload
        Bytes changed = it.file;
        changed[at] ^= std::byte{0x10};
        accepted += corim::verify_signature(changed, it.key, 0).has_value();
    }
    assert_int_equal(accepted, 0);
    other.x = {};
    assert_false(corim::verify_signature(it.file, other, 0).has_value());
    assert_true(corim::verify_signature(corim::encode(some_launches(), false), it.key, 0).error().code ==
                Errc::missing);
}

static void sign_refuses_what_is_signed_or_no_corim(void **) {
    P384PrivateKey key;
    assert_true(key.parse(test::data("cose/key.pem"), system_random, nullptr, "key").has_value());
    const Bytes file = corim::encode(some_launches(), false);
    const Bytes already = signed_launches().file;
    const auto why = [&](ByteView it, std::string_view signer) {
        return corim::sign(it, key, signer, system_random, nullptr).error().code;
    };
    assert_true(why(already, "a") == Errc::unsupported);
    assert_true(why(from_hex("a0"), "a") == Errc::malformed);
    assert_true(why(file, "") == Errc::usage);
    assert_true(why(file, "a\nb") == Errc::usage);
    assert_true(why(file, std::string(corim::max_text + 1, 'a')) == Errc::usage);
}

// A signed CoRIM with another protected header than sign() writes.
static Bytes with_header(std::string_view header) {
    P384PrivateKey key;
    if (!key.parse(test::data("cose/key.pem"), system_random, nullptr, "key"))
        abort();
    return cose::make_sign1(from_hex(header), corim::encode(some_launches(), false), key, system_random, nullptr)
        .value();
}

static void parse_wants_content_type_and_signer(void **) {
    const std::string type = "03"
                             "74" +
                             hex(as_bytes("application/rim+cbor"));
    const std::string signer = "08"
                               "46"
                               "a100a1006161"; // {0: {0: "a"}}
    const std::string issuer = "0f"
                               "a1016161"; // {1: "a"}
    const PublicKey key = signed_launches().key;
    assert_true(corim::parse(with_header("a3013822" + type + signer)).has_value());
    assert_true(corim::parse(with_header("a3013822" + type + issuer)).has_value());
    assert_true(corim::parse(with_header("a4013822" + type + signer + issuer)).has_value());
    assert_true(refusal(with_header("a4013822" + type + signer + "0fa1016162")).code == Errc::mismatch);
    assert_true(refusal(with_header("a2013822" + signer)).code == Errc::missing);
    assert_true(refusal(with_header("a2013822" + type)).code == Errc::missing);
    assert_true(refusal(with_header("a3013822"
                                    "0363612f62" +
                                    signer))
                    .code == Errc::unsupported);
    // a signature that ends: corim-meta {0: {0: "a"}, 1: {0: 1(100), 1: 1(200)}}, and exp and nbf
    const std::string dated = "08"
                              "50"
                              "a200a100616101a200c1186401c118c8";
    for (const std::string &header : {"a3013822" + type + dated, "a3013822" + type +
                                                                     "0fa301616104"
                                                                     "18c8"
                                                                     "051864"}) {
        const Bytes file = with_header(header);
        assert_true(corim::verify_signature(file, key, 100).has_value());
        assert_true(corim::verify_signature(file, key, 200).has_value());
        assert_true(corim::verify_signature(file, key, 99).error().code == Errc::out_of_range);
        assert_true(corim::verify_signature(file, key, 201).error().code == Errc::out_of_range);
    }
}

static void fingerprint_is_of_the_point(void **) {
    const auto key = parse_p384_public_key(test::data("cose/public.pem"), "k").value();
    assert_string_equal(
        corim::fingerprint(key).c_str(),
        "sha256:fc4bfd4df4dc9b3ddcdc798721b89a430d318988ba8e41fd956aa483ecf674d0"); // see tests/data/cose/ORIGIN.md
}

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(parse_reads_veraisons_sample),
        cmocka_unit_test(launches_of_refuses_demands_that_it_would_drop),
        cmocka_unit_test(encode_writes_veraisons_form),
        cmocka_unit_test(encode_gives_back_what_it_was_given),
        cmocka_unit_test(launches_name_every_configuration_of_an_image),
        cmocka_unit_test(configuration_of_takes_our_tag_ids_only),
        cmocka_unit_test(first_difference_names_what_differs),
        cmocka_unit_test(meets_compares_everything_that_is_set),
        cmocka_unit_test(parse_refuses_every_truncation_and_a_tail),
        cmocka_unit_test(parse_refuses_other_tags_and_profiles),
        cmocka_unit_test(parse_refuses_keys_that_are_there_twice),
        cmocka_unit_test(parse_refuses_two_tags_of_one_id),
        cmocka_unit_test(parse_takes_a_minimal_tag_and_what_it_may_skip),
        cmocka_unit_test(launches_of_refuses_what_it_cannot_compare),
        cmocka_unit_test(parse_refuses_tags_that_are_not_comids),
        cmocka_unit_test(parse_refuses_absurd_counts),
        cmocka_unit_test(sign_adds_a_signature_that_verifies),
        cmocka_unit_test(verify_signature_refuses_every_flipped_bit_of_the_signature_and_other_keys),
        cmocka_unit_test(sign_refuses_what_is_signed_or_no_corim),
        cmocka_unit_test(parse_wants_content_type_and_signer),
        cmocka_unit_test(fingerprint_is_of_the_point),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
