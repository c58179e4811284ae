// The CA of a user's vTPMs, and how swtpm is set up and started.
#include "qemu/vtpm.hpp"

#include "common/hash.hpp"
#include "common/vek_cert.hpp"
#include "host-tools/base/mbed.hpp"
#include "host-tools/base/text.hpp"
#include "qemu/machine.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <mbedtls/pem.h>
#include <mbedtls/x509_crt.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace cvmin {

namespace fs = std::filesystem;

namespace {

constexpr const char *ca_name = "CN=cvmin local vTPM CA,O=not a TPM manufacturer";
constexpr int ca_years = 10;
constexpr std::size_t max_ca_file = 4096; // a P-384 certificate takes some 600 bytes, its key 300
constexpr const char *root_name = "ek-root.der", *key_name = "ek-root.key";
constexpr std::string_view where_root = "vtpm_ca: ek-root.der", where_key = "vtpm_ca: ek-root.key";

using CertificateWriter = Mbed<mbedtls_x509write_cert, mbedtls_x509write_crt_init, mbedtls_x509write_crt_free>;

std::unexpected<Error> system_error(std::string_view where) {
    return fail(errno == ENOENT ? Errc::missing : Errc::system, where, static_cast<std::uint64_t>(errno));
}
std::unexpected<Failure> errno_failure(const fs::path &path) {
    return explain(Errc::system, path.native() + ": " + std::strerror(errno));
}

std::string utc(std::time_t time) {
    std::tm parts{};
    ::gmtime_r(&time, &parts);
    char text[16];
    return {text, std::strftime(text, sizeof text, "%Y%m%d%H%M%S", &parts)};
}

Result<void> make_ca(const fs::path &directory) {
    MbedPk key;
    CVMIN_MBED(where_key, mbedtls_pk_setup(key.get(), mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)));
    CVMIN_MBED(where_key,
               mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP384R1, mbedtls_pk_ec(*key.get()), system_random, nullptr));
    ByteArray<max_ca_file> buffer;
    const auto whole = [&] { return u8(MutableBytes{buffer}); };

    const int public_size = mbedtls_pk_write_pubkey_der(key.get(), whole(), buffer.size());
    if (public_size <= 0)
        return fail(Errc::crypto, where_key, static_cast<std::uint64_t>(-public_size));
    // mbedTLS would take SHA-1 for it, which is not built; any digest of that length serves (RFC 5280, 4.2.1.2)
    const auto digest = sha256(ByteView{buffer}.last(static_cast<std::size_t>(public_size)));
    ByteArray<22> key_id{std::byte{0x04}, std::byte{20}}; // OCTET STRING
    std::ranges::copy(ByteView{digest}.first(20), key_id.begin() + 2);
    static constexpr char oid_key_id[] = "\x55\x1d\x0e"; // MBEDTLS_OID_SUBJECT_KEY_IDENTIFIER

    ByteArray<16> serial;
    system_random(nullptr, u8(MutableBytes{serial}), serial.size());
    serial[0] = (serial[0] & std::byte{0x7f}) | std::byte{0x01}; // positive, and of full length
    // a day back: verifiers' clocks may be behind ours
    const std::time_t from = std::time(nullptr) - 86400;
    const std::time_t until = from + static_cast<std::time_t>(ca_years) * 365 * 86400;

    CertificateWriter writer;
    mbedtls_x509write_crt_set_version(writer.get(), MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(writer.get(), MBEDTLS_MD_SHA384);
    mbedtls_x509write_crt_set_subject_key(writer.get(), key.get());
    mbedtls_x509write_crt_set_issuer_key(writer.get(), key.get());
    CVMIN_MBED(where_root, mbedtls_x509write_crt_set_subject_name(writer.get(), ca_name));
    CVMIN_MBED(where_root, mbedtls_x509write_crt_set_issuer_name(writer.get(), ca_name));
    CVMIN_MBED(where_root, mbedtls_x509write_crt_set_serial_raw(writer.get(), u8(MutableBytes{serial}), serial.size()));
    CVMIN_MBED(where_root, mbedtls_x509write_crt_set_validity(writer.get(), utc(from).c_str(), utc(until).c_str()));
    CVMIN_MBED(where_root, mbedtls_x509write_crt_set_basic_constraints(writer.get(), 1, 0));
    CVMIN_MBED(where_root, mbedtls_x509write_crt_set_key_usage(writer.get(), MBEDTLS_X509_KU_KEY_CERT_SIGN |
                                                                                 MBEDTLS_X509_KU_CRL_SIGN));
    CVMIN_MBED(where_root, mbedtls_x509write_crt_set_extension(writer.get(), oid_key_id, sizeof oid_key_id - 1, 0,
                                                               u8(ByteView{key_id}), key_id.size()));
    const int root_size = mbedtls_x509write_crt_der(writer.get(), whole(), buffer.size(), system_random, nullptr);
    if (root_size <= 0)
        return fail(Errc::crypto, where_root, static_cast<std::uint64_t>(-root_size));
    constexpr mode_t owner_only = 0600;
    CVMIN_CHECK(
        write_file(directory / root_name, ByteView{buffer}.last(static_cast<std::size_t>(root_size)), owner_only));

    CVMIN_MBED(where_key, mbedtls_pk_write_key_pem(key.get(), whole(), buffer.size()));
    const auto written =
        write_file(directory / key_name, as_bytes(reinterpret_cast<const char *>(buffer.data())), owner_only);
    mbedtls_platform_zeroize(buffer.data(), buffer.size());
    return written;
}

Result<Bytes> read_ca_file(const fs::path &directory, const char *file, std::string_view where) {
    auto bytes = read_file(directory / file, max_ca_file);
    if (!bytes)
        return fail(bytes.error().code, where, bytes.error().detail);
    return bytes;
}

// swtpm_localca's and swtpm_setup's files are "name = value" lines in which ${NAME} is replaced; swtpm's options are
// separated by commas. Neither can quote.
Explained<void> check_path(const fs::path &path) {
    const std::string &text = path.native();
    if (text.find_first_of(",\n\r") != std::string::npos || text.find("${") != std::string::npos)
        return explain(Errc::out_of_range, "swtpm cannot be given a path with a comma, a line break or \"${\" in it: " +
                                               printable_text(text));
    return {};
}

Explained<fs::path> find_program(const char *program, const char *package) {
    const char *variable = std::getenv("PATH");
    std::string_view rest = variable != nullptr ? variable : "";
    while (!rest.empty()) {
        const std::string_view place = rest.substr(0, rest.find(':'));
        rest.remove_prefix(std::min(rest.size(), place.size() + 1));
        if (place.empty() || place.front() != '/')
            continue; // not from wherever we happen to be
        fs::path candidate = fs::path{place} / program;
        std::error_code error;
        if (fs::is_regular_file(candidate, error) && ::access(candidate.c_str(), X_OK) == 0)
            return candidate;
    }
    return explain(Errc::system,
                   std::string{program} + " is not in PATH, and --vtpm needs it (Debian's package " + package + ")");
}

} // namespace

// ---- the CA --------------------------------------------------------------------------------------------------------

fs::path VtpmCa::directory() {
    return state_directory() / "vtpm-ca";
}
fs::path VtpmCa::key_file(const fs::path &directory) {
    return directory / key_name;
}
fs::path VtpmCa::serial_file(const fs::path &directory) {
    return directory / "serial";
}

Result<VtpmCa> VtpmCa::load(const fs::path &directory) {
    struct stat info{};
    if (::lstat(directory.c_str(), &info) != 0)
        return system_error("vtpm_ca");
    if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 077) != 0)
        return fail(Errc::refused, "vtpm_ca: directory (owner or mode)");
    VtpmCa ca;
    CVMIN_TRY(root, read_ca_file(directory, root_name, where_root));
    CVMIN_TRY(key_text, read_ca_file(directory, key_name, where_key));
    key_text.push_back(std::byte{0}); // mbedTLS knows PEM by its end
    CVMIN_TRY(certificate, X509Certificate::parse(root, where_root));
    const mbedtls_x509_crt &crt = certificate.get();
    if (!equal(certificate.issuer(), certificate.subject()))
        return fail(Errc::mismatch, where_root);
    if (mbedtls_x509_time_is_past(&crt.valid_to) != 0 || mbedtls_x509_time_is_future(&crt.valid_from) != 0)
        return fail(Errc::out_of_range, where_root);
    MbedPk key;
    const int parsed =
        mbedtls_pk_parse_key(key.get(), u8(ByteView{key_text}), key_text.size(), nullptr, 0, system_random, nullptr);
    mbedtls_platform_zeroize(key_text.data(), key_text.size());
    if (parsed != 0)
        return fail(Errc::malformed, where_key);
    if (mbedtls_pk_check_pair(&crt.pk, key.get(), system_random, nullptr) != 0)
        return fail(Errc::mismatch, where_key);
    ca.root_ = std::move(root);
    return ca;
}

Result<VtpmCa> VtpmCa::load_or_make(const fs::path &directory) {
    const auto there = [&] {
        struct stat info{};
        return ::lstat(directory.c_str(), &info) == 0;
    };
    if (!there()) {
        CVMIN_CHECK(make_private_directory(directory.parent_path()));
        UniqueFd lock{::open((directory.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
        if (!lock)
            return fail(Errc::system, "vtpm_ca: lock", static_cast<std::uint64_t>(errno));
        while (::flock(lock.get(), LOCK_EX) != 0)
            if (errno != EINTR)
                return fail(Errc::system, "vtpm_ca: lock", static_cast<std::uint64_t>(errno));
        if (!there()) { // nobody made one while we waited
            const fs::path fresh = directory.string() + ".new";
            std::error_code error;
            fs::remove_all(fresh, error); // of an interrupted run
            CVMIN_CHECK(make_private_directory(fresh));
            if (auto made = make_ca(fresh); !made) {
                fs::remove_all(fresh, error);
                return std::unexpected(made.error());
            }
            if (::rename(fresh.c_str(), directory.c_str()) != 0)
                return fail(Errc::system, "vtpm_ca: rename", static_cast<std::uint64_t>(errno));
        }
    }
    return load(directory);
}

Result<std::string> VtpmCa::root_pem() const {
    ByteArray<2 * max_ca_file> text;
    std::size_t size = 0;
    CVMIN_MBED(where_root,
               mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n",
                                        u8(ByteView{root_}), root_.size(), u8(MutableBytes{text}), text.size(), &size));
    return std::string{as_text(ByteView{text}.first(size - 1))}; // without the NUL
}

// ---- swtpm's tools -------------------------------------------------------------------------------------------------

Explained<VtpmPrograms> find_vtpm_programs() {
    VtpmPrograms programs;
    struct {
        fs::path &found;
        const char *program, *package;
    } const wanted[] = {{programs.swtpm, "swtpm", "swtpm"},
                        {programs.swtpm_setup, "swtpm_setup", "swtpm-tools"},
                        {programs.swtpm_localca, "swtpm_localca", "swtpm-tools"}};
    for (const auto &entry : wanted) {
        auto path = find_program(entry.program, entry.package);
        if (!path)
            return std::unexpected(path.error());
        entry.found = std::move(*path);
    }
    return programs;
}

Explained<Vtpm> place_vtpm(VtpmPrograms programs, const fs::path &vm_directory, const fs::path &socket,
                           const std::optional<fs::path> &kept_state) {
    Vtpm vtpm;
    vtpm.programs = std::move(programs);
    vtpm.directory = vm_directory / "vtpm";
    vtpm.socket = socket;
    if (kept_state) {
        std::error_code error;
        vtpm.kept = fs::absolute(*kept_state, error).lexically_normal();
        if (error)
            return explain(Errc::system, kept_state->native() + ": " + error.message());
    }
    vtpm.certificates = vtpm.kept.value_or(vtpm.directory);
    vtpm.state = vtpm.certificates / vtpm_file::state;
    for (const fs::path &path : {vtpm.directory, vtpm.certificates, vtpm.socket, VtpmCa::directory()})
        if (auto usable = check_path(path); !usable)
            return std::unexpected(usable.error());
    return vtpm;
}

std::vector<std::string> vtpm_setup_argv(const Vtpm &vtpm, std::string_view vm_name) {
    // --tpm: swtpm_setup would take the first swtpm in PATH, as we did, but says less when there is none.
    // PCR banks: those that quotes are asked for; SHA-1 stays off. --lock-nvram: not even the guest's firmware can
    // replace the EK certificates.
    return {"env",
            "TMPDIR=" + vtpm.directory.native(),
            vtpm.programs.swtpm_setup.native(),
            "--tpm2",
            "--tpm",
            vtpm.programs.swtpm.native() + " socket",
            "--tpm-state",
            vtpm.state.native(),
            "--config",
            (vtpm.directory / "setup.conf").native(),
            "--vmid",
            "cvmin-" + std::string{vm_name},
            "--create-ek-cert",
            "--write-ek-cert-files",
            vtpm.certificates.native(),
            "--pcr-banks",
            "sha256,sha384",
            "--lock-nvram"};
}

std::vector<std::string> vtpm_argv(const Vtpm &vtpm) {
    return {vtpm.programs.swtpm.native(),
            "socket",
            "--tpm2",
            "--tpmstate",
            "dir=" + vtpm.state.native() + ",mode=0600",
            "--ctrl",
            "type=unixio,path=" + vtpm.socket.native() + ",mode=0600"};
}

Explained<void> write_vtpm_configuration(const Vtpm &vtpm, const VtpmCa &ca, const fs::path &ca_directory) {
    if (auto made = make_private_directory(vtpm.directory); !made)
        return explain(made.error(), vtpm.directory.native());
    const auto pem = ca.root_pem();
    if (!pem)
        return explain(pem.error(), "the vTPM's CA");
    const std::string issuer = (vtpm.directory / "ek-root.pem").native();
    const std::string localca = (vtpm.directory / "localca.conf").native();
    const std::string options = (vtpm.directory / "localca.options").native();
    const std::pair<fs::path, std::string> files[] = {
        {issuer, *pem},
        {options, ""},
        {localca, "statedir = " + ca_directory.native() + "\nsigningkey = " + VtpmCa::key_file(ca_directory).native() +
                      "\nissuercert = " + issuer + "\ncertserial = " + VtpmCa::serial_file(ca_directory).native() +
                      "\n"},
        {vtpm.directory / "setup.conf", "create_certs_tool = " + vtpm.programs.swtpm_localca.native() +
                                            "\ncreate_certs_tool_config = " + localca +
                                            "\ncreate_certs_tool_options = " + options + "\n"}};
    for (const auto &[path, text] : files)
        if (auto written = write_file(path, as_bytes(text), 0600); !written)
            return explain(written.error(), path.native());
    return {};
}

// ---- a state that is kept ------------------------------------------------------------------------------------------

Explained<KeptVtpm> open_kept_vtpm(const fs::path &directory) {
    struct stat info{};
    if (const auto made = make_private_directory(directory); !made && made.error().code == Errc::refused)
        return explain(
            Errc::unsupported,
            directory.native() + " was refused: it " +
                std::string{::lstat(directory.c_str(), &info) == 0 ? why_not_private(info) : "cannot be looked at"});
    else if (!made)
        return explain(made.error(), directory.native());
    if (::lstat(directory.c_str(), &info) != 0)
        return errno_failure(directory);
    if ((info.st_mode & 077) != 0) // it holds the seeds of the TPM's keys
        return explain(Errc::unsupported, directory.native() + " was refused: others may read it (chmod 700)");
    const fs::path lock_path = directory / vtpm_file::lock;
    std::error_code error;
    if (!fs::exists(lock_path, error) && !fs::is_empty(directory, error))
        return explain(Errc::unsupported, directory.native() + " was refused: it is not empty, and not a vTPM of ours");
    KeptVtpm kept;
    kept.lock.reset(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!kept.lock)
        return errno_failure(lock_path);
    while (::flock(kept.lock.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return explain(Errc::busy, directory.native() + ": another CVM uses this vTPM");
        if (errno != EINTR)
            return errno_failure(lock_path);
    }
    kept.manufactured = fs::exists(directory / vtpm_file::root, error);
    if (!kept.manufactured) {
        const fs::path state = directory / vtpm_file::state;
        fs::remove_all(state, error); // of a manufacture that was cut short
        if (error)
            return explain(Errc::system, state.native() + ": " + error.message());
    }
    return kept;
}

// ---- its control channel -------------------------------------------------------------------------------------------

Result<void> ask_vtpm(const fs::path &socket, std::chrono::milliseconds limit) {
    constexpr std::string_view where = "swtpm's control socket";
    // swtpm's tpm_ioctl.h: commands and answers are big-endian, without padding; PTM_GET_CAPABILITY is 1, its answer
    // 64 bits. What QEMU's tpm_emulator.c demands of a TPM 2: INIT, SHUTDOWN, GET_TPMESTABLISHED, SET_LOCALITY,
    // RESET_TPMESTABLISHED, STOP, SET_DATAFD, SET_BUFFERSIZE.
    constexpr ByteArray<4> get_capability{std::byte{0}, std::byte{0}, std::byte{0}, std::byte{1}};
    constexpr std::uint64_t needed = 0x1 | 0x2 | 0x4 | 0x8 | 0x80 | 0x400 | 0x1000 | 0x2000;
    const auto deadline = std::chrono::steady_clock::now() + limit;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket.native().size() >= sizeof address.sun_path)
        return fail(Errc::out_of_range, where, socket.native().size());
    std::memcpy(address.sun_path, socket.c_str(), socket.native().size());
    const UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0)
        return fail(Errc::unreachable, where, static_cast<std::uint64_t>(errno));
    if (::send(fd.get(), get_capability.data(), get_capability.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(get_capability.size()))
        return fail(Errc::unreachable, where, static_cast<std::uint64_t>(errno));
    ByteArray<8> answer{};
    std::size_t used = 0;
    while (used < answer.size()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0)
            return fail(Errc::timed_out, where);
        pollfd waiting{.fd = fd.get(), .events = POLLIN, .revents = 0};
        if (::poll(&waiting, 1, static_cast<int>(left.count())) <= 0)
            continue;
        const ssize_t got = ::read(fd.get(), answer.data() + used, answer.size() - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail(Errc::unreachable, where);
        used += static_cast<std::size_t>(got);
    }
    const std::uint64_t capabilities = load_be(answer);
    if ((capabilities & needed) != needed)
        return fail(Errc::malformed, where, capabilities);
    return {};
}

} // namespace cvmin
