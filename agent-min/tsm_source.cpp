#include "agent-min/tsm_source.hpp"

#include "agent-min/fd.hpp"
#include "agent-min/file.hpp"
#include "common/cert_table.hpp"
#include "common/hash.hpp"
#include "common/snp_report.hpp"

#include <charconv>

#include <sys/stat.h>

namespace cvmin::agent {

namespace {

constexpr const char *entry = "cvmin";
constexpr std::size_t max_number_size = 32; // decimal number and a newline
constexpr std::size_t max_provider_size = 64;

class Entry { // removes the report directory whatever happens
  public:
    explicit Entry(TsmTree &tree) : tree_(tree) {}
    Entry(const Entry &) = delete;
    Entry &operator=(const Entry &) = delete;
    ~Entry() { tree_.remove(entry); }

  private:
    TsmTree &tree_;
};

std::string_view line(const Bytes &bytes) {
    std::string_view text = as_text(bytes);
    if (text.ends_with('\n'))
        text.remove_suffix(1);
    return text;
}

Result<std::uint64_t> number(TsmTree &tree, const char *attribute, std::string_view where) {
    CVMIN_TRY(bytes, tree.read(entry, attribute, max_number_size));
    const std::string_view text = line(bytes);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size())
        return fail(Errc::malformed, where);
    return value;
}

bool is(const Error &error, int number) {
    return error.code == Errc::system && error.detail == static_cast<std::uint64_t>(number);
}
bool contended(const Error &error) {
    return is(error, EBUSY) || is(error, EWOULDBLOCK) || is(error, EINTR);
}

} // namespace

// ---- files ----------------------------------------------------------------------------------------------------

std::string ConfigfsTree::path(const char *name, const char *attribute) const {
    std::string path = root_ + '/' + name;
    if (attribute != nullptr)
        (path += '/') += attribute;
    return path;
}

Result<void> ConfigfsTree::make(const char *name) {
    if (::mkdir(path(name).c_str(), 0700) != 0)
        return os_error("tsm.entry");
    return {};
}

void ConfigfsTree::remove(const char *name) {
    ::rmdir(path(name).c_str());
}

Result<Bytes> ConfigfsTree::read(const char *name, const char *attribute, std::size_t limit) {
    return read_file(path(name, attribute), limit, "tsm.read");
}

Result<void> ConfigfsTree::write(const char *name, const char *attribute, ByteView bytes) {
    return write_file(path(name, attribute), bytes, "tsm.write"); // committed at close
}

// ---- reports --------------------------------------------------------------------------------------------------

Result<void> check_report(ByteView report, const ByteArray<64> &report_data) {
    CVMIN_TRY(decoded, parse_snp_report(report));
    if (decoded.report_data != report_data)
        return fail(Errc::mismatch, "report.report_data");
    return {};
}

bool TsmSource::provider_present() {
    const auto made = tree_.make(entry);
    if (made) {
        tree_.remove(entry);
        return true;
    }
    // ENOENT: no configfs-tsm; ENXIO: nobody registered with it (6.12: tsm_report_make_item)
    return !is(made.error(), ENOENT) && !is(made.error(), ENXIO);
}

// Once more while somebody else is at work, but not for ever.
template <class T>
Result<T> TsmSource::attempts(Result<T> (TsmSource::*once)(const ByteArray<64> &), const ByteArray<64> &data) {
    for (int i = 0; i < max_tsm_attempts; ++i) {
        auto result = (this->*once)(data);
        if (result || (result.error().code != Errc::busy && !contended(result.error())))
            return result;
    }
    return fail(Errc::busy, "tsm.report", max_tsm_attempts);
}

Result<PlatformReport> TsmSource::report(const ByteArray<64> &report_data) {
    return attempts(&TsmSource::attempt, report_data);
}

Result<SvsmEvidence> TsmSource::svsm(const ByteArray<64> &nonce) {
    return attempts(&TsmSource::attempt_svsm, nonce);
}

// A fresh entry of the kernel's. busy: one was left over, and is gone now; unsupported: another provider.
Result<void> TsmSource::open_entry() {
    if (auto made = tree_.make(entry); !made) {
        if (is(made.error(), EEXIST))
            tree_.remove(entry); // left over: gone at the next attempt
        return is(made.error(), EEXIST) ? fail(Errc::busy, "tsm.entry") : std::unexpected(made.error());
    }
    return {};
}

Result<void> TsmSource::check_provider() {
    CVMIN_TRY(provider, tree_.read(entry, "provider", max_provider_size));
    if (line(provider) != name())
        return fail(Errc::unsupported, "tsm.provider");
    return {};
}

Result<PlatformReport> TsmSource::attempt(const ByteArray<64> &report_data) {
    CVMIN_CHECK(open_entry());
    const Entry cleanup{tree_};
    CVMIN_CHECK(check_provider());

    CVMIN_TRY(before, number(tree_, "generation", "tsm.generation"));
    std::uint64_t writes = 0;
    // The lowest privilege level (highest number is least) that this guest may report for; absent on kernels without.
    if (auto floor = tree_.read(entry, "privlevel_floor", max_number_size)) {
        CVMIN_CHECK(tree_.write(entry, "privlevel", as_bytes(line(*floor))));
        ++writes;
    } else if (!is(floor.error(), ENOENT)) {
        return std::unexpected(floor.error());
    }
    CVMIN_CHECK(tree_.write(entry, "inblob", report_data));
    ++writes;

    CVMIN_TRY(report, tree_.read(entry, "outblob", snp_report_size));
    PlatformReport result{.report = std::move(report), .certificates = {}};
    if (auto table = tree_.read(entry, "auxblob", max_cert_table_size))
        result.certificates = std::move(*table);
    else if (!is(table.error(), ENOENT))
        return std::unexpected(table.error());

    // Every write counts: any other number means that somebody changed the request between our write and our read.
    CVMIN_TRY(after, number(tree_, "generation", "tsm.generation"));
    if (after != before + writes)
        return fail(Errc::busy, "tsm.generation", after);
    CVMIN_CHECK(check_report(result.report, report_data));
    return result;
}

// Secure VM Service Module for SEV-SNP Guests (AMD 58019), 7: attestation of one service. The report's REPORT_DATA is
// SHA-512(nonce || manifest).
Result<SvsmEvidence> TsmSource::attempt_svsm(const ByteArray<64> &nonce) {
    CVMIN_CHECK(open_entry());
    const Entry cleanup{tree_};
    CVMIN_CHECK(check_provider());

    CVMIN_TRY(before, number(tree_, "generation", "tsm.generation"));
    if (const auto chosen = tree_.write(entry, "service_provider", as_bytes("svsm")); !chosen)
        return is(chosen.error(), ENOENT) || is(chosen.error(), EACCES) ? fail(Errc::missing, "tsm.service_provider")
                                                                        : std::unexpected(chosen.error());
    CVMIN_CHECK(tree_.write(entry, "service_guid", as_bytes(svsm_vtpm_guid)));
    CVMIN_CHECK(tree_.write(entry, "inblob", nonce));
    constexpr std::uint64_t writes = 3;

    SvsmEvidence result{.report = {}, .manifest = {}, .service_guid = std::string{svsm_vtpm_guid}};
    CVMIN_TRY(report, tree_.read(entry, "outblob", snp_report_size));
    CVMIN_TRY(manifest, tree_.read(entry, "manifestblob", max_svsm_manifest_size));
    CVMIN_TRY(after, number(tree_, "generation", "tsm.generation"));
    if (after != before + writes)
        return fail(Errc::busy, "tsm.generation", after);
    if (manifest.empty())
        return fail(Errc::missing, "tsm.manifestblob");

    Bytes bound = to_bytes(nonce);
    bound.insert(bound.end(), manifest.begin(), manifest.end());
    CVMIN_CHECK(check_report(report, sha512(bound)));
    result.report = std::move(report);
    result.manifest = std::move(manifest);
    return result;
}

} // namespace cvmin::agent
