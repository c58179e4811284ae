// Launch state machine and report service of the emulated AMD-SP.
#include "qemu/emulated_sp.hpp"

#include "common/cert_table.hpp"
#include "host-tools/base/mbed.hpp"

namespace cvmin {

namespace {

constexpr std::uint32_t report_version = 5;
namespace id_block_check { // names of the checks in errors; those of signatures are verify_id_auth's
constexpr std::string_view version = "id_block.version", launch_digest = "id_block.launch_digest",
                           policy = "id_block.policy";
} // namespace id_block_check

constexpr std::uint32_t highest_vmpl = 3;
constexpr std::uint64_t end_of_memory = std::uint64_t{1} << 52; // the largest physical address of AMD64

void store_signature_part(ByteArray<72> &out, ByteView big_endian) {
    out = {};
    std::ranges::reverse_copy(big_endian, out.begin());
}

} // namespace

Result<void> check_guest_policy(std::uint64_t policy) {
    namespace p = emulated_platform;
    if ((policy & policy_bit::reserved_one) == 0)
        return fail(Errc::unsupported, "guest policy: bit 17, which must be 1,", policy);
    if ((policy & policy_bit::must_be_zero) != 0)
        return fail(Errc::unsupported, "guest policy: a bit of 26-63, which must be 0,", policy);
    const std::uint64_t major = policy >> 8 & 0xff;
    const std::uint64_t minor = policy & 0xff;
    if (major > p::firmware_major || (major == p::firmware_major && minor > p::firmware_minor))
        return fail(Errc::unsupported, "guest policy: minimum ABI version (this firmware has 1.55)", policy);
    if ((policy & policy_bit::smt_allowed) == 0)
        return fail(Errc::unsupported, "guest policy: SMT forbidden (bit 16), on a platform with SMT,", policy);
    if ((policy & policy_bit::xts_required) != 0)
        return fail(Errc::unsupported, "guest policy: AES-256-XTS required (bit 22)", policy);
    if ((policy & policy_bit::rapl_disabled) != 0)
        return fail(Errc::unsupported, "guest policy: RAPL disabled (bit 23)", policy);
    if ((policy & policy_bit::ciphertext_hiding) != 0)
        return fail(Errc::unsupported, "guest policy: ciphertext hiding (bit 24)", policy);
    return {};
}

EmulatedSp::EmulatedSp(EmulatedKeys keys) : keys_(std::move(keys)) {
    namespace p = emulated_platform;
    const std::uint64_t tcb = encode_tcb(p::product, p::tcb());
    template_.version = report_version;
    template_.signature_algo = signature_algo_ecdsa_p384_sha384;
    template_.current_tcb = template_.reported_tcb = template_.committed_tcb = template_.launch_tcb = tcb;
    template_.platform_info = p::platform_info;
    template_.report_id_ma.fill(std::byte{0xff}); // no migration agent
    template_.cpuid_family = p::cpuid_family;
    template_.cpuid_model = p::cpuid_model;
    template_.cpuid_stepping = p::cpuid_stepping;
    template_.chip_id = keys_.chip_id();
    template_.current = template_.committed = {p::firmware_major, p::firmware_minor, p::firmware_build};
    template_.launch_mit_vector = template_.current_mit_vector = p::mitigation_vector;
    certificates_ = encode_cert_table(
        {.vcek = keys_.chain().vcek, .vlek = {}, .ask = keys_.chain().ask, .ark = keys_.chain().ark, .crl = {}});
}

Result<void> EmulatedSp::launch_start(std::uint64_t policy) {
    if (state_ != State::init)
        return fail(Errc::refused, "emulated_sp.state");
    CVMIN_CHECK(check_guest_policy(policy));
    policy_ = policy;
    state_ = State::launching;
    return {};
}

Result<void> EmulatedSp::launch_update(PageType type, std::uint64_t gpa, std::uint64_t size, ByteView contents) {
    if (state_ != State::launching)
        return fail(Errc::refused, "emulated_sp.state");
    if (gpa % page_size != 0 || size % page_size != 0 || size == 0)
        return fail(Errc::out_of_range, "launch_update: not whole pages:", gpa);
    if (gpa >= end_of_memory || size > end_of_memory - gpa)
        return fail(Errc::out_of_range, "launch_update: address", gpa);
    switch (type) {
    case PageType::normal:
        if (contents.size() != size)
            return fail(Errc::out_of_range, "launch_update: contents", contents.size());
        digest_.normal_pages(gpa, contents);
        return {};
    case PageType::vmsa:
        if (contents.size() != size || size != page_size)
            return fail(Errc::out_of_range, "launch_update: VMSA", contents.size());
        digest_.page(type, gpa, contents);
        return {};
    case PageType::zero:
    case PageType::unmeasured:
    case PageType::secrets:
    case PageType::cpuid:
        if (!contents.empty())
            return fail(Errc::out_of_range, "launch_update: contents", contents.size());
        digest_.uncounted_pages(type, gpa, size / page_size);
        return {};
    }
    return fail(Errc::unsupported, "launch_update: page type", static_cast<std::uint64_t>(type));
}

Result<void> EmulatedSp::launch_finish(const Finish &finish) {
    if (state_ != State::launching)
        return fail(Errc::refused, "emulated_sp.state");
    if (finish.id_block.empty() != finish.id_auth.empty() || (finish.id_block.empty() && finish.author_key_enabled))
        return fail(Errc::missing, "id_block or id_auth");
    if (!finish.id_block.empty()) {
        CVMIN_TRY(block, parse_id_block(finish.id_block));
        if (block.version != id_block_version)
            return fail(Errc::unsupported, id_block_check::version, block.version);
        if (block.launch_digest != digest_.value())
            return fail(Errc::mismatch, id_block_check::launch_digest);
        if (block.policy != policy_)
            return fail(Errc::mismatch, id_block_check::policy, block.policy);
        CVMIN_TRY(id_keys, verify_id_auth(finish.id_auth, finish.id_block, finish.author_key_enabled));
        template_.family_id = block.family_id;
        template_.image_id = block.image_id;
        template_.guest_svn = block.guest_svn;
        template_.id_key_digest = id_keys.id_key_digest;
        if (id_keys.author_key_digest) {
            template_.author_key_digest = *id_keys.author_key_digest;
            template_.key_info |= 1; // AUTHOR_KEY_EN
        }
    }
    template_.policy = policy_;
    template_.measurement = digest_.value();
    template_.host_data = finish.host_data;
    system_random(nullptr, u8(MutableBytes{template_.report_id}), template_.report_id.size());
    state_ = State::running;
    return {};
}

std::string EmulatedSp::why_refused(const Finish &finish, const Error &error) const {
    const auto number = [](std::uint64_t value) {
        char text[19];
        std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
        return std::string{text};
    };
    std::string text = "the AMD-SP refuses the ID block at launch finish: ";
    const auto block = parse_id_block(finish.id_block);
    if (block && error.where == id_block_check::launch_digest)
        return text + "launch digest: found " + hex(digest_.value()) + " (measured), wanted " +
               hex(block->launch_digest) + " (ID block)";
    if (block && error.where == id_block_check::policy)
        return text + "guest policy: found " + number(policy_) + " (launch), wanted " + number(block->policy) +
               " (ID block)";
    if (block && error.where == id_block_check::version)
        return text + "version: found " + std::to_string(block->version) + ", wanted " +
               std::to_string(id_block_version);
    if (finish.id_auth.size() == id_auth_size) {
        const IdKeys keys = id_auth_claims(finish.id_auth);
        if (error.where == id_auth_check::id_block_signature)
            return text + "its signature: found one that does not hold, wanted one by the ID key " +
                   hex(keys.id_key_digest);
        if (error.where == id_auth_check::id_key_signature && keys.author_key_digest)
            return text + "the ID key's signature: found one that does not hold, wanted one by the author key " +
                   hex(*keys.author_key_digest);
    }
    return text + to_string(error);
}

Result<Bytes> EmulatedSp::make_report(const SpRequest &request) const {
    SnpReport report = template_;
    report.vmpl = request.vmpl;
    report.report_data = request.report_data;
    auto raw = encode_snp_report(report);
    CVMIN_TRY(signature, keys_.sign(ByteView{raw}.first(snp_report_signed_size)));
    ByteArray<72> part;
    store_signature_part(part, ByteView{signature}.first(p384_scalar_size));
    report_field::signature_r::put(raw, part);
    store_signature_part(part, ByteView{signature}.last(p384_scalar_size));
    report_field::signature_s::put(raw, part);
    return to_bytes(raw);
}

SpResponse EmulatedSp::guest_request(const SpRequest &request) {
    SpResponse response;
    response.sequence = request.sequence + 1;
    if (state_ != State::running || request.vmpl > highest_vmpl) {
        response.status = SpStatus::invalid_parameter;
        return response;
    }
    if (request.sequence != next_sequence_) {
        response.status = SpStatus::bad_sequence;
        return response;
    }
    auto report = make_report(request);
    if (!report) { // the crypto library failed: no report, and the guest may ask again
        response.status = SpStatus::invalid_parameter;
        return response;
    }
    next_sequence_ += 2;
    response.report = std::move(*report);
    response.certificates = certificates_;
    return response;
}

} // namespace cvmin
