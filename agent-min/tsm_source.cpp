#include "agent-min/tsm_source.hpp"

#include "agent-min/fd.hpp"
#include "common/cert_table.hpp"
#include "common/snp_report.hpp"

#include <charconv>

#include <fcntl.h>
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
    const Fd fd{::open(path(name, attribute).c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd)
        return os_error("tsm.read");
    Bytes bytes;
    for (;;) {
        constexpr std::size_t step = 4096;
        const std::size_t used = bytes.size();
        bytes.resize(used + step);
        const ssize_t got = ::read(fd.get(), bytes.data() + used, step);
        if (got < 0)
            return os_error("tsm.read");
        bytes.resize(used + static_cast<std::size_t>(got));
        if (bytes.size() > limit)
            return fail(Errc::too_large, "tsm.read", bytes.size());
        if (got == 0)
            return bytes;
    }
}

Result<void> ConfigfsTree::write(const char *name, const char *attribute, ByteView bytes) {
    const Fd fd{::open(path(name, attribute).c_str(), O_WRONLY | O_CLOEXEC)};
    if (!fd)
        return os_error("tsm.write");
    // configfs takes an attribute in one write and commits it at close
    if (::write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
        return os_error("tsm.write");
    return {};
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

Result<PlatformReport> TsmSource::report(const ByteArray<64> &report_data) {
    for (int i = 0; i < max_tsm_attempts; ++i) {
        auto result = attempt(report_data);
        if (result || (result.error().code != Errc::busy && !contended(result.error())))
            return result;
    }
    return fail(Errc::busy, "tsm.report", max_tsm_attempts);
}

Result<PlatformReport> TsmSource::attempt(const ByteArray<64> &report_data) {
    if (auto made = tree_.make(entry); !made) {
        if (is(made.error(), EEXIST))
            tree_.remove(entry); // left over: gone at the next attempt
        return is(made.error(), EEXIST) ? fail(Errc::busy, "tsm.entry") : std::unexpected(made.error());
    }
    const Entry cleanup{tree_};

    CVMIN_TRY(provider, tree_.read(entry, "provider", max_provider_size));
    if (line(provider) != name())
        return fail(Errc::unsupported, "tsm.provider");

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

} // namespace cvmin::agent
