#include "host-tools/corim/corim.hpp"

#include <charconv>
#include <cstdio>
#include <map>
#include <set>

namespace cvmin::corim {

namespace {

using cbor::Cursor;
using cbor::Major;
using cbor::Writer;

// Tags of CBOR (IANA) and of draft-ietf-rats-corim-11, 11.2
constexpr std::uint64_t tag_epoch_time = 1;
constexpr std::uint64_t tag_uri = 32;
constexpr std::uint64_t tag_uuid = 37;
constexpr std::uint64_t tag_oid = 111;
constexpr std::uint64_t tag_corim = 501;
constexpr std::uint64_t tag_comid = 506;
constexpr std::uint64_t tag_svn = 552;
constexpr std::uint64_t tag_min_svn = 553;
constexpr std::uint64_t tag_bytes = 560;
constexpr std::uint64_t tag_masked_raw = 563;

constexpr std::int64_t label_corim_meta = 8;
constexpr std::int64_t label_cwt_claims = 15;
constexpr std::string_view content_type = "application/rim+cbor";

// AMD's classes of SEV-SNP environments: reports signed by a chip's VCEK and by a provider's VLEK.
constexpr std::uint8_t class_by_chip[] = {0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x03, 0x01};
constexpr std::string_view class_by_chip_text = "1.3.6.1.4.1.3704.3.1";
constexpr std::string_view class_by_csp_text = "1.3.6.1.4.1.3704.3.2";

constexpr std::string_view launch_tag_prefix = "tag:cvmin,2026:launch/";
constexpr std::string_view image_id_prefix = "tag:cvmin,2026:image/";
constexpr std::string_view debug_image_id_prefix = "tag:cvmin,2026:debug-image/";

std::string hex32(std::uint32_t value) {
    ByteArray<4> bytes{};
    store_be(bytes, value);
    return "0x" + hex(bytes);
}

std::string uuid_text(ByteView uuid) {
    const std::string digits = hex(uuid);
    return digits.substr(0, 8) + "-" + digits.substr(8, 4) + "-" + digits.substr(12, 4) + "-" + digits.substr(16, 4) +
           "-" + digits.substr(20);
}

// ITU-T X.690, 8.19: base 128, the first two arcs in one number. Empty: not an object identifier.
std::string oid_text(ByteView oid) {
    std::string text;
    std::uint64_t arc = 0;
    bool in_arc = false;
    for (const std::byte byte : oid) {
        const auto value = std::to_integer<std::uint64_t>(byte);
        if (arc > UINT64_MAX >> 7 || (!in_arc && value == 0x80)) // too large, or padded
            return {};
        arc = arc << 7 | (value & 0x7f);
        in_arc = (value & 0x80) != 0;
        if (in_arc)
            continue;
        if (text.empty()) {
            const std::uint64_t first = std::min<std::uint64_t>(arc / 40, 2);
            text = std::to_string(first) + "." + std::to_string(arc - 40 * first);
        } else {
            text += "." + std::to_string(arc);
        }
        arc = 0;
    }
    return in_arc ? std::string{} : text;
}

// ---- reading --------------------------------------------------------------------------------------------------
// For each member of the map that follows: visit(key) reads its value. A key that is no integer is an extension.
template <class Visit> void members(Cursor &cursor, Visit visit) {
    for (std::size_t left = cursor.map(); left > 0 && cursor.ok(); --left)
        visit(cursor.key());
}

// A text, or the 16 bytes of a UUID.
std::string read_id(Cursor &cursor) {
    if (cursor.is(Major::bytes)) {
        const ByteView uuid = cursor.bytes(16, 16);
        return cursor.ok() ? uuid_text(uuid) : std::string{};
    }
    return std::string{cursor.text(1, max_text)};
}

std::string read_uri(Cursor &cursor) {
    cursor.expect_tag(tag_uri);
    return std::string{cursor.text(1, max_text)};
}

std::int64_t read_time(Cursor &cursor) {
    cursor.expect_tag(tag_epoch_time);
    return cursor.integer();
}

Validity read_validity(Cursor &cursor) {
    Validity validity;
    bool has_end = false;
    members(cursor, [&](std::optional<std::int64_t> key) {
        if (key == 0)
            validity.not_before = read_time(cursor);
        else if (key == 1) {
            validity.not_after = read_time(cursor);
            has_end = true;
        } else
            cursor.skip_item();
    });
    if (!has_end)
        cursor.refuse(Errc::missing);
    return validity;
}

std::string read_class_id(Cursor &cursor) {
    const std::uint64_t tag = cursor.tag();
    const ByteView value = cursor.bytes(1, max_bytes);
    if (tag == tag_oid) {
        std::string text = oid_text(value);
        if (text.empty())
            cursor.refuse(Errc::malformed);
        return text;
    }
    if (tag == tag_uuid && value.size() == 16)
        return uuid_text(value);
    return hex(value);
}

void read_class(Cursor &cursor, Environment &environment) {
    members(cursor, [&](std::optional<std::int64_t> key) {
        if (key == 0) {
            environment.class_id = read_class_id(cursor);
        } else if (key == 1) {
            environment.vendor = cursor.text(0, max_text);
        } else if (key == 2) {
            environment.model = cursor.text(0, max_text);
        } else {
            environment.has_more = true;
            cursor.skip_item();
        }
    });
}

Environment read_environment(Cursor &cursor) {
    Environment environment;
    cursor.at("corim.environment");
    members(cursor, [&](std::optional<std::int64_t> key) {
        if (key == 0) {
            read_class(cursor, environment);
        } else if (key == 1) {
            const std::uint64_t tag = cursor.tag();
            if (tag == tag_bytes) {
                environment.instance = to_bytes(cursor.bytes(1, max_bytes));
            } else {
                environment.has_more = true;
                cursor.skip_item();
            }
        } else {
            environment.has_more = true;
            cursor.skip_item();
        }
    });
    return environment;
}

Digest read_digest(Cursor &cursor) {
    Digest digest;
    cursor.array(2, 2);
    if (cursor.is(Major::text)) {
        digest.algorithm_text = cursor.text(1, max_text);
    } else {
        digest.algorithm = cursor.integer();
        if (digest.algorithm == 0)
            cursor.refuse(Errc::unsupported); // reserved in the registry
    }
    digest.value = to_bytes(cursor.bytes(1, max_bytes));
    return digest;
}

Svn read_svn(Cursor &cursor) {
    if (cursor.is(Major::unsigned_integer))
        return {cursor.unsigned_integer(), false};
    const std::uint64_t tag = cursor.tag();
    if (tag != tag_svn && tag != tag_min_svn)
        cursor.refuse(Errc::unsupported);
    return {cursor.unsigned_integer(), tag == tag_min_svn};
}

void read_raw(Cursor &cursor, Measurement &measurement) {
    if (!cursor.is(Major::tag)) { // a profile may add types
        measurement.has_more = true;
        cursor.skip_item();
        return;
    }
    const std::uint64_t tag = cursor.tag();
    if (tag == tag_bytes) {
        measurement.raw = to_bytes(cursor.bytes(0, max_bytes));
    } else if (tag == tag_masked_raw) {
        cursor.array(2, 2);
        measurement.raw = to_bytes(cursor.bytes(0, max_bytes));
        measurement.raw_mask = to_bytes(cursor.bytes(0, max_bytes));
    } else {
        measurement.has_more = true;
        cursor.skip_item();
    }
}

void read_version(Cursor &cursor, Measurement &measurement) {
    bool found = false;
    members(cursor, [&](std::optional<std::int64_t> key) {
        if (key == 0) {
            measurement.version = cursor.text(1, max_text);
            found = true;
        } else {
            cursor.skip_item(); // the scheme
        }
    });
    if (!found)
        cursor.refuse(Errc::missing);
}

void read_values(Cursor &cursor, Measurement &measurement) {
    members(cursor, [&](std::optional<std::int64_t> key) {
        switch (key.value_or(-1)) {
        case 0:
            return read_version(cursor, measurement);
        case 1:
            measurement.svn = read_svn(cursor);
            return;
        case 2:
            for (std::size_t left = cursor.array(1, max_digests); left > 0 && cursor.ok(); --left)
                measurement.digests.push_back(read_digest(cursor));
            return;
        case 4:
            return read_raw(cursor, measurement);
        case 5: // deprecated form of a mask
            measurement.raw_mask = to_bytes(cursor.bytes(0, max_bytes));
            return;
        default:
            measurement.has_more = true;
            cursor.skip_item();
        }
    });
}

Measurement read_measurement(Cursor &cursor) {
    Measurement measurement;
    bool has_values = false;
    cursor.at("corim.measurement");
    members(cursor, [&](std::optional<std::int64_t> key) {
        if (key == 0 && cursor.is(Major::unsigned_integer)) {
            measurement.key = cursor.unsigned_integer();
        } else if (key == 1) {
            read_values(cursor, measurement);
            has_values = true;
        } else {
            if (key != 0) // authorized-by, and what is not known
                measurement.has_more = true;
            cursor.skip_item();
        }
    });
    if (!has_values)
        cursor.refuse(Errc::missing);
    return measurement;
}

Reference read_reference(Cursor &cursor) {
    Reference reference;
    cursor.at("corim.reference");
    cursor.array(2, 2);
    reference.environment = read_environment(cursor);
    cursor.at("corim.reference");
    for (std::size_t left = cursor.array(1, max_measurements); left > 0 && cursor.ok(); --left)
        reference.measurements.push_back(read_measurement(cursor));
    return reference;
}

// `triples` counts those of the whole file.
Result<Comid> read_comid(ByteView encoded, std::size_t &triples) {
    Cursor cursor(encoded, max_size, "corim.comid");
    Comid comid;
    bool has_triples = false;
    members(cursor, [&](std::optional<std::int64_t> key) {
        cursor.at("corim.comid");
        if (key == 1) {
            cursor.at("corim.comid.tag-identity");
            members(cursor, [&](std::optional<std::int64_t> part) {
                if (part == 0)
                    comid.id = read_id(cursor);
                else
                    cursor.skip_item();
            });
        } else if (key == 4) {
            has_triples = true;
            members(cursor, [&](std::optional<std::int64_t> kind) {
                cursor.at("corim.comid.triples");
                if (kind != 0) {
                    ++comid.other_triples;
                    cursor.skip_item();
                    return;
                }
                for (std::size_t left = cursor.array(1, max_triples); left > 0 && cursor.ok(); --left) {
                    if (++triples > max_triples)
                        cursor.refuse(Errc::too_large);
                    comid.references.push_back(read_reference(cursor));
                }
            });
        } else {
            cursor.skip_item(); // language, entities, linked tags, extensions
        }
    });
    CVMIN_CHECK(cursor.finish());
    if (comid.id.empty())
        return fail(Errc::missing, "corim.comid.tag-identity");
    if (!has_triples)
        return fail(Errc::missing, "corim.comid.triples");
    return comid;
}

Result<Corim> read_unsigned(ByteView encoded) {
    Cursor cursor(encoded, max_size, "corim");
    cursor.at("corim.tag");
    cursor.expect_tag(tag_corim);
    Corim corim;
    std::size_t triples = 0;
    std::optional<Error> inner; // of a CoMID, which is read by a cursor of its own
    std::set<std::string> ids;
    members(cursor, [&](std::optional<std::int64_t> key) {
        if (key == 0) {
            cursor.at("corim.id");
            corim.id = read_id(cursor);
        } else if (key == 1) {
            cursor.at("corim.tags");
            for (std::size_t left = cursor.array(1, max_tags); left > 0 && cursor.ok(); --left) {
                if (cursor.tag() != tag_comid) {
                    ++corim.other_tags;
                    cursor.skip_item();
                    continue;
                }
                const ByteView content = cursor.bytes(1, max_size);
                if (!cursor.ok())
                    return;
                auto comid = read_comid(content, triples);
                if (comid && !ids.insert(comid->id).second)
                    comid = fail(Errc::malformed, "corim.comid.tag-identity");
                if (!comid) {
                    inner = comid.error();
                    cursor.refuse(comid.error().code);
                    return;
                }
                corim.tags.push_back(std::move(*comid));
            }
        } else if (key == 3) {
            cursor.at("corim.profile");
            if (cursor.is(Major::tag))
                corim.profile = read_uri(cursor);
            else // Veraison and others also write the URI without its tag
                corim.profile = cursor.text(1, max_text);
        } else if (key == 4) {
            cursor.at("corim.validity");
            corim.validity = read_validity(cursor);
        } else {
            cursor.skip_item(); // dependent RIMs, entities, extensions
        }
    });
    const auto finished = cursor.finish();
    if (inner)
        return std::unexpected(*inner);
    if (!finished)
        return std::unexpected(finished.error());
    if (corim.id.empty())
        return fail(Errc::missing, "corim.id");
    if (corim.tags.empty() && corim.other_tags == 0)
        return fail(Errc::missing, "corim.tags");
    if (corim.profile.empty())
        return fail(Errc::missing, "corim.profile");
    if (corim.profile != profile_2024 && corim.profile != profile_2025)
        return fail(Errc::unsupported, "corim.profile");
    return corim;
}

// corim-meta and CWT claims say the same in two forms; one of them must be there, and two must agree.
Result<Signature> read_signature(ByteView header) {
    const auto type = cose::find_member(header, cose::label::content_type);
    if (!type)
        return fail(Errc::missing, "corim.content-type");
    Cursor type_cursor(*type, cose::max_header_size, "corim.content-type");
    const std::string_view found = type_cursor.text(1, max_text);
    CVMIN_CHECK(type_cursor.finish());
    if (found != content_type)
        return fail(Errc::unsupported, "corim.content-type");

    Signature signature;
    if (const auto meta = cose::find_member(header, label_corim_meta)) {
        Cursor outer(*meta, cose::max_header_size, "corim.meta");
        const ByteView encoded = outer.bytes(1, cose::max_header_size);
        CVMIN_CHECK(outer.finish());
        Cursor cursor(encoded, cose::max_header_size, "corim.meta");
        members(cursor, [&](std::optional<std::int64_t> key) {
            if (key == 0)
                members(cursor, [&](std::optional<std::int64_t> part) {
                    if (part == 0)
                        signature.signer_name = cursor.text(1, max_text);
                    else if (part == 1)
                        signature.signer_uri = read_uri(cursor);
                    else
                        cursor.skip_item();
                });
            else if (key == 1)
                signature.validity = read_validity(cursor);
            else
                cursor.skip_item();
        });
        CVMIN_CHECK(cursor.finish());
    }
    if (const auto claims = cose::find_member(header, label_cwt_claims)) {
        Cursor cursor(*claims, cose::max_header_size, "corim.cwt-claims");
        std::string issuer;
        Validity validity;
        bool has_end = false, has_start = false;
        members(cursor, [&](std::optional<std::int64_t> key) {
            if (key == 1)
                issuer = cursor.text(1, max_text);
            else if (key == 4) {
                validity.not_after = cursor.integer();
                has_end = true;
            } else if (key == 5) {
                validity.not_before = cursor.integer();
                has_start = true;
            } else
                cursor.skip_item();
        });
        CVMIN_CHECK(cursor.finish());
        if (has_start && !has_end)
            validity.not_after = INT64_MAX;
        if (!signature.signer_name.empty() && signature.signer_name != issuer)
            return fail(Errc::mismatch, "corim.cwt-claims");
        signature.signer_name = std::move(issuer);
        if (!signature.validity && (has_start || has_end))
            signature.validity = validity;
    }
    if (signature.signer_name.empty())
        return fail(Errc::missing, "corim.signer");
    return signature;
}

bool is_signed(ByteView file) {
    static constexpr std::byte sign1{0xd2}; // tag 18 in its one-byte form
    return !file.empty() && file[0] == sign1;
}

} // namespace

std::string_view name(std::uint64_t key) {
    switch (static_cast<Key>(key)) {
    case Key::version:
        return "VERSION";
    case Key::guest_svn:
        return "GUEST_SVN";
    case Key::policy:
        return "POLICY";
    case Key::family_id:
        return "FAMILY_ID";
    case Key::image_id:
        return "IMAGE_ID";
    case Key::vmpl:
        return "VMPL";
    case Key::current_tcb:
        return "CURRENT_TCB";
    case Key::platform_info:
        return "PLATFORM_INFO";
    case Key::report_data:
        return "REPORT_DATA";
    case Key::measurement:
        return "MEASUREMENT";
    case Key::host_data:
        return "HOST_DATA";
    case Key::id_key_digest:
        return "ID_KEY_DIGEST";
    case Key::author_key_digest:
        return "AUTHOR_KEY_DIGEST";
    case Key::report_id:
        return "REPORT_ID";
    case Key::report_id_ma:
        return "REPORT_ID_MA";
    case Key::reported_tcb:
        return "REPORTED_TCB";
    case Key::chip_id:
        return "CHIP_ID";
    case Key::committed_tcb:
        return "COMMITTED_TCB";
    case Key::current_version:
        return "CURRENT_VERSION";
    case Key::committed_version:
        return "COMMITTED_VERSION";
    case Key::launch_tcb:
        return "LAUNCH_TCB";
    }
    return {};
}

Result<Corim> parse(ByteView file) {
    if (!is_signed(file))
        return read_unsigned(file);
    CVMIN_TRY(message, cose::parse_sign1(file, max_size));
    CVMIN_TRY(signature, read_signature(message.protected_header));
    CVMIN_TRY(corim, read_unsigned(message.payload));
    corim.signature = std::move(signature);
    return corim;
}

bool holds_at(const std::optional<Validity> &validity, std::int64_t now) {
    return !validity || (now >= validity->not_before.value_or(INT64_MIN) && now <= validity->not_after);
}

Result<void> verify_signature(ByteView file, const PublicKey &key, std::int64_t now) {
    if (!is_signed(file))
        return fail(Errc::missing, "corim.signature");
    CVMIN_TRY(message, cose::parse_sign1(file, max_size));
    CVMIN_CHECK(cose::verify_sign1(message, key));
    CVMIN_TRY(signature, read_signature(message.protected_header));
    if (!holds_at(signature.validity, now))
        return fail(Errc::out_of_range, "corim.signature.validity");
    return {};
}

Result<Bytes> sign(ByteView file, const P384PrivateKey &key, std::string_view signer_name, RandomSource random,
                   void *context) {
    const bool printable = std::ranges::all_of(signer_name, [](char c) { return c >= ' ' && c < 0x7f; });
    if (signer_name.empty() || signer_name.size() > max_text || !printable)
        return fail(Errc::usage, "signer");
    if (is_signed(file))
        return fail(Errc::unsupported, "corim.tag");
    CVMIN_CHECK(read_unsigned(file));
    Writer meta;
    meta.map(1);
    meta.integer(0); // signer
    meta.map(1);
    meta.integer(0); // signer-name
    meta.text(signer_name);
    Writer header;
    header.map(3);
    header.integer(cose::label::alg);
    header.integer(cose::es384);
    header.integer(cose::label::content_type);
    header.text(content_type);
    header.integer(label_corim_meta);
    header.bytes(meta.finish());
    return cose::make_sign1(header.finish(), file, key, random, context);
}

std::string fingerprint(const PublicKey &key) {
    Bytes point{std::byte{4}}; // SEC 1, 2.3.3
    point.insert(point.end(), key.x.begin(), key.x.end());
    point.insert(point.end(), key.y.begin(), key.y.end());
    return "sha256:" + hex(sha256(point));
}

// ---- launches -------------------------------------------------------------------------------------------------

// Over all that decides a digest or another value, so that no two images share a tag id.
static std::string image_identity(const ImageManifest &manifest, const IdBlockValues &id_block) {
    const auto number = [](std::uint64_t value) { return std::to_string(value) + "\n"; };
    std::string text = "cvmin image 1\n";
    text += hex(manifest.firmware.sha256) + "\n";
    text +=
        hex(manifest.hashes.kernel) + "\n" + hex(manifest.hashes.initrd) + "\n" + hex(manifest.hashes.cmdline) + "\n";
    text +=
        number(manifest.guest_features) + number(manifest.guest_policy) + (manifest.debug ? "debug\n" : "release\n");
    if (id_block.guest_svn)
        text += (id_block.guest_svn->minimum ? "svn>=" : "svn=") + number(id_block.guest_svn->value);
    if (id_block.family_id)
        text += "family " + hex(*id_block.family_id) + "\n";
    if (id_block.image_id)
        text += "image " + hex(*id_block.image_id) + "\n";
    return hex(ByteView{sha256(as_bytes(text))}.first(16));
}

std::vector<Launch> launches(const ImageManifest &manifest, std::span<const ReferenceValues> values,
                             const IdBlockValues &id_block) {
    const std::string prefix = std::string{launch_tag_prefix} + image_identity(manifest, id_block) + "/";
    std::vector<Launch> out;
    for (const ReferenceValues &value : values)
        for (std::size_t i = 0; i < value.digests.size(); ++i)
            out.push_back({.tag_id = prefix + hex32(value.signature) + "/" + std::to_string(i + 1),
                           .digest = value.digests[i],
                           .guest_svn = id_block.guest_svn,
                           .policy = manifest.guest_policy,
                           .family_id = id_block.family_id,
                           .image_id = id_block.image_id});
    return out;
}

std::optional<Configuration> configuration_of(std::string_view tag_id) {
    if (!tag_id.starts_with(launch_tag_prefix))
        return std::nullopt;
    const std::size_t count_at = tag_id.rfind('/');
    const std::size_t signature_at = tag_id.rfind("/0x", count_at);
    if (signature_at == std::string_view::npos || count_at < signature_at + 3)
        return std::nullopt;
    Configuration configuration{};
    const char *first = tag_id.data() + signature_at + 3;
    const char *last = tag_id.data() + count_at;
    if (const auto [end, error] = std::from_chars(first, last, configuration.signature, 16);
        error != std::errc{} || end != last)
        return std::nullopt;
    first = last + 1;
    last = tag_id.data() + tag_id.size();
    if (const auto [end, error] = std::from_chars(first, last, configuration.vcpus);
        error != std::errc{} || end != last || configuration.vcpus == 0 || configuration.vcpus > max_vcpus)
        return std::nullopt;
    return configuration;
}

std::string describe_launch(std::string_view tag_id) {
    const auto configuration = configuration_of(tag_id);
    if (!configuration)
        return std::string{tag_id};
    const auto models = cpu_models();
    const auto model = std::ranges::find(models, configuration->signature, &CpuModel::signature);
    return (model == models.end() ? std::string{"CPU"} : std::string{model->name}) + " (" +
           hex32(configuration->signature) + "), " + std::to_string(configuration->vcpus) +
           (configuration->vcpus == 1 ? " vCPU" : " vCPUs");
}

static void write_raw(Writer &writer, Key key, ByteView value) {
    writer.map(2);
    writer.integer(0); // mkey
    writer.unsigned_integer(static_cast<std::uint64_t>(key));
    writer.integer(1); // mval
    writer.map(1);
    writer.integer(4); // raw-value
    writer.tag(tag_bytes);
    writer.bytes(value);
}

static Bytes encode_comid(const Launch &launch) {
    Writer writer(512);
    writer.map(2);
    writer.integer(1); // tag-identity
    writer.map(1);
    writer.integer(0); // tag-id
    writer.text(launch.tag_id);
    writer.integer(4); // triples
    writer.map(1);
    writer.integer(0); // reference-triples
    writer.array(1);
    writer.array(2);

    writer.map(2);     // environment
    writer.integer(0); // class
    writer.map(1);
    writer.integer(0); // class-id
    writer.tag(tag_oid);
    writer.bytes(std::as_bytes(std::span{class_by_chip}));
    writer.integer(1); // instance: by what a verifier looks the values up
    writer.tag(tag_bytes);
    writer.bytes(launch.digest);

    writer.array(1u + launch.guest_svn.has_value() + launch.policy.has_value() + launch.family_id.has_value() +
                 launch.image_id.has_value());
    if (launch.guest_svn) {
        writer.map(2);
        writer.integer(0);
        writer.unsigned_integer(static_cast<std::uint64_t>(Key::guest_svn));
        writer.integer(1);
        writer.map(1);
        writer.integer(1); // svn
        writer.tag(launch.guest_svn->minimum ? tag_min_svn : tag_svn);
        writer.unsigned_integer(launch.guest_svn->value);
    }
    if (launch.policy) {
        ByteArray<8> policy{};
        store_be(policy, *launch.policy); // as Veraison writes it; the profile says no byte order
        write_raw(writer, Key::policy, policy);
    }
    if (launch.family_id)
        write_raw(writer, Key::family_id, *launch.family_id);
    if (launch.image_id)
        write_raw(writer, Key::image_id, *launch.image_id);
    writer.map(2);
    writer.integer(0);
    writer.unsigned_integer(static_cast<std::uint64_t>(Key::measurement));
    writer.integer(1);
    writer.map(1);
    writer.integer(2); // digests
    writer.array(1);
    writer.array(2);
    writer.integer(digest_sha384);
    writer.bytes(launch.digest);
    return writer.finish();
}

Bytes encode(std::span<const Launch> launches, bool debug_image) {
    Writer tags(launches.size() * 512);
    tags.array(launches.size());
    for (const Launch &launch : launches) {
        tags.tag(tag_comid);
        tags.bytes(encode_comid(launch));
    }
    const Bytes encoded = tags.finish();
    Writer writer(encoded.size() + 256);
    writer.tag(tag_corim);
    writer.map(3);
    writer.integer(0); // id
    writer.text(std::string{debug_image ? debug_image_id_prefix : image_id_prefix} + hex(sha256(encoded)));
    writer.integer(1); // tags
    writer.raw(encoded);
    writer.integer(3); // profile
    writer.tag(tag_uri);
    writer.text(profile_2024);
    return writer.finish();
}

bool is_debug_image(const Corim &corim) {
    return corim.id.starts_with(debug_image_id_prefix);
}

// A value of exactly N bytes and nothing else.
template <std::size_t N> static Result<ByteArray<N>> raw_of(const Measurement &measurement, std::string_view where) {
    if (!measurement.raw || measurement.raw_mask || measurement.svn || !measurement.digests.empty() ||
        !measurement.version.empty())
        return fail(Errc::unsupported, where);
    return exactly<N>(*measurement.raw, where);
}

static Result<Launch> launch_of(const Reference &reference) {
    const Environment &environment = reference.environment;
    static constexpr std::string_view where_environment = "corim.environment";
    if (environment.has_more || !environment.vendor.empty() || !environment.model.empty() ||
        (environment.class_id != class_by_chip_text && environment.class_id != class_by_csp_text))
        return fail(Errc::unsupported, where_environment);
    Launch launch;
    std::set<std::uint64_t> seen;
    for (const Measurement &measurement : reference.measurements) {
        if (!measurement.key || measurement.has_more)
            return fail(Errc::unsupported, "corim.measurement");
        if (!seen.insert(*measurement.key).second)
            return fail(Errc::malformed, "corim.measurement.key", *measurement.key);
        switch (static_cast<Key>(*measurement.key)) {
        case Key::measurement: {
            static constexpr std::string_view where = "corim.MEASUREMENT";
            if (measurement.digests.size() != 1 || measurement.digests[0].algorithm != digest_sha384 ||
                measurement.raw || measurement.raw_mask || measurement.svn || !measurement.version.empty())
                return fail(Errc::unsupported, where);
            CVMIN_TRY(digest, exactly<sizeof(Sha384Digest)>(measurement.digests[0].value, where));
            launch.digest = digest;
            break;
        }
        case Key::guest_svn:
            if (!measurement.svn || measurement.raw || measurement.raw_mask || !measurement.digests.empty() ||
                !measurement.version.empty())
                return fail(Errc::unsupported, "corim.GUEST_SVN");
            launch.guest_svn = measurement.svn;
            break;
        case Key::policy: {
            CVMIN_TRY(policy, raw_of<8>(measurement, "corim.POLICY"));
            launch.policy = load_be(policy);
            break;
        }
        case Key::family_id: {
            CVMIN_TRY(family, raw_of<16>(measurement, "corim.FAMILY_ID"));
            launch.family_id = family;
            break;
        }
        case Key::image_id: {
            CVMIN_TRY(image, raw_of<16>(measurement, "corim.IMAGE_ID"));
            launch.image_id = image;
            break;
        }
        default:
            return fail(Errc::unsupported, "corim.measurement.key", *measurement.key);
        }
    }
    if (!seen.contains(static_cast<std::uint64_t>(Key::measurement)))
        return fail(Errc::missing, "corim.MEASUREMENT");
    // Veraison names the environment by the digest; an instance that is anything else is a chip or a provider.
    if (!environment.instance.empty() && !equal(environment.instance, launch.digest))
        return fail(Errc::unsupported, where_environment);
    return launch;
}

Result<std::vector<Launch>> launches_of(const Corim &corim) {
    std::vector<Launch> out;
    for (const Comid &comid : corim.tags)
        for (const Reference &reference : comid.references) {
            CVMIN_TRY(launch, launch_of(reference));
            launch.tag_id = comid.id;
            out.push_back(std::move(launch));
        }
    if (out.empty())
        return fail(Errc::missing, "corim.reference");
    return out;
}

bool meets(const SnpReport &report, const Launch &launch) {
    if (report.measurement != launch.digest)
        return false;
    if (launch.guest_svn && (launch.guest_svn->minimum ? report.guest_svn < launch.guest_svn->value
                                                       : report.guest_svn != launch.guest_svn->value))
        return false;
    return (!launch.policy || report.policy == *launch.policy) &&
           (!launch.family_id || report.family_id == *launch.family_id) &&
           (!launch.image_id || report.image_id == *launch.image_id);
}

// ---- comparison -----------------------------------------------------------------------------------------------

static std::string text_of(const std::optional<Svn> &svn) {
    return svn ? (svn->minimum ? "at least " : "") + std::to_string(svn->value) : "none";
}
static std::string text_of(const std::optional<std::uint64_t> &value) {
    ByteArray<8> bytes{};
    store_be(bytes, value.value_or(0));
    return value ? "0x" + hex(bytes) : "none";
}
static std::string text_of(const std::optional<ByteArray<16>> &value) {
    return value ? hex(*value) : "none";
}
static std::string text_of(const Sha384Digest &digest) {
    return hex(digest);
}
static std::string text_of(const std::string &text) {
    return text;
}

static std::optional<std::string> difference(const Launch &found, const Launch &wanted) {
    std::optional<std::string> out;
    const auto compare = [&](std::string_view what, const auto &a, const auto &b) {
        if (!out && a != b)
            out = describe_launch(wanted.tag_id) + ": " + std::string{what} + ": found " + text_of(a) + ", wanted " +
                  text_of(b);
    };
    compare("launch digest", found.digest, wanted.digest);
    compare("guest policy", found.policy, wanted.policy);
    compare("guest SVN", found.guest_svn, wanted.guest_svn);
    compare("family id", found.family_id, wanted.family_id);
    compare("image id", found.image_id, wanted.image_id);
    compare("tag id", found.tag_id, wanted.tag_id);
    return out;
}

std::optional<std::string> first_difference(std::span<const Launch> found, std::span<const Launch> wanted) {
    // by configuration, so that another image's value is named as that and not as a tag that is missing
    const auto key = [](const Launch &launch) {
        const auto configuration = configuration_of(launch.tag_id);
        return configuration ? hex32(configuration->signature) + "/" + std::to_string(configuration->vcpus)
                             : launch.tag_id;
    };
    std::map<std::string, const Launch *> by_key;
    for (const Launch &launch : found)
        if (!by_key.emplace(key(launch), &launch).second)
            return describe_launch(launch.tag_id) + ": is there twice";
    for (const Launch &launch : wanted) {
        const auto at = by_key.find(key(launch));
        if (at == by_key.end())
            return describe_launch(launch.tag_id) + ": is missing";
        if (auto differs = difference(*at->second, launch))
            return differs;
        by_key.erase(at);
    }
    if (!by_key.empty())
        return describe_launch(by_key.begin()->second->tag_id) + ": is no launch of this image";
    return std::nullopt;
}

} // namespace cvmin::corim
