// The CA of vTPMs, where a vTPM's files are, a state that is kept, and swtpm's control channel against peers that do
// not behave. What swtpm's own tools make of it is seen by tests/vm/vtpm.sh.
#include "tests/unit/cmocka.hpp"

#include "common/vek_cert.hpp"
#include "host-tools/base/json.hpp"
#include "qemu/boot.hpp"
#include "qemu/child.hpp"
#include "qemu/vtpm.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <mbedtls/x509_crt.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace cvmin;
namespace fs = std::filesystem;

namespace {

fs::path work;

int set_up(void **) {
    char name[] = "/tmp/cvmin-test-vtpm-XXXXXX";
    work = ::mkdtemp(name);
    return ::setenv("XDG_STATE_HOME", work.c_str(), 1);
}
int tear_down(void **) {
    std::error_code error;
    fs::remove_all(work, error);
    return 0;
}

template <class T> Errc code_of(const Result<T> &result) {
    return result ? Errc{0xff} : result.error().code;
}
template <class T> Errc code_of(const Explained<T> &result) {
    return result ? Errc{0xff} : result.error().code;
}
VtpmPrograms programs() {
    return {.swtpm = "/p/swtpm", .swtpm_setup = "/p/swtpm_setup", .swtpm_localca = "/p/swtpm_localca"};
}
std::string text_of(const fs::path &file) {
    const auto bytes = read_file(file, 1u << 16);
    return bytes ? std::string{as_text(*bytes)} : "(none)";
}

// ---- the CA --------------------------------------------------------------------------------------------------------

void the_ca_is_made_once_and_is_a_root_that_may_sign(void **) {
    const auto ca = VtpmCa::load_or_make(VtpmCa::directory());
    const auto again = VtpmCa::load_or_make(VtpmCa::directory());
    assert_true(ca.has_value() && again.has_value());
    assert_true(ca->root() == again->root());
    assert_true(text_of(VtpmCa::root_file()) == as_text(ca->root()));
    const auto certificate = X509Certificate::parse(ca->root(), "root");
    assert_true(certificate.has_value());
    assert_true(equal(certificate->issuer(), certificate->subject()));
    const mbedtls_x509_crt &crt = certificate->get();
    assert_int_equal(mbedtls_pk_get_bitlen(&crt.pk), 384);
    // signed by itself: mbedTLS takes a trusted root's signature for granted, OpenSSL looks at it
    const auto checked = run_captured({"openssl", "verify", "-check_ss_sig", "-x509_strict", "-CAfile",
                                       VtpmCa::root_file().string(), VtpmCa::root_file().string()},
                                      std::chrono::seconds{20});
    assert_true(checked && checked->status == 0);
    struct stat key{};
    assert_int_equal(::stat(VtpmCa::key_file(VtpmCa::directory()).c_str(), &key), 0);
    assert_int_equal(key.st_mode & 0777, 0600);
}

void the_ca_in_pem_is_the_same_certificate(void **) {
    const auto ca = VtpmCa::load_or_make(VtpmCa::directory());
    const std::string pem = ca.value().root_pem().value();
    assert_true(pem.starts_with("-----BEGIN CERTIFICATE-----\n") && pem.ends_with("-----END CERTIFICATE-----\n"));
    mbedtls_x509_crt crt;
    mbedtls_x509_crt_init(&crt);
    const int parsed =
        mbedtls_x509_crt_parse(&crt, reinterpret_cast<const unsigned char *>(pem.c_str()), pem.size() + 1);
    const bool same =
        parsed == 0 && equal(ByteView{reinterpret_cast<const std::byte *>(crt.raw.p), crt.raw.len}, ca->root());
    mbedtls_x509_crt_free(&crt);
    assert_true(same);
}

void a_broken_or_readable_ca_is_named_and_left_alone(void **) {
    const fs::path one = work / "one", two = work / "two";
    assert_true(VtpmCa::load_or_make(one).has_value() && VtpmCa::load_or_make(two).has_value());
    assert_true(code_of(VtpmCa::load(work / "none")) == Errc::missing);
    // the other CA's key
    fs::copy_file(VtpmCa::key_file(two), VtpmCa::key_file(one), fs::copy_options::overwrite_existing);
    const auto mixed = VtpmCa::load_or_make(one);
    assert_true(code_of(mixed) == Errc::mismatch && mixed.error().where == "vtpm_ca: ek-root.key");
    assert_true(write_file(VtpmCa::key_file(one), as_bytes("-----BEGIN"), 0600).has_value());
    assert_true(code_of(VtpmCa::load_or_make(one)) == Errc::malformed);
    assert_true(text_of(VtpmCa::key_file(one)) == "-----BEGIN");
    fs::remove(VtpmCa::key_file(one));
    assert_true(code_of(VtpmCa::load_or_make(one)) == Errc::missing);
    assert_true(write_file(two / "ek-root.der", as_bytes("x"), 0600).has_value());
    const auto no_certificate = VtpmCa::load(two);
    assert_true(!no_certificate && no_certificate.error().where == "vtpm_ca: ek-root.der");
    ::chmod(two.c_str(), 0755);
    assert_true(code_of(VtpmCa::load(two)) == Errc::refused);
}

// ---- placement and command lines -----------------------------------------------------------------------------------

void a_vtpm_lives_in_its_vms_directory(void **) {
    const auto vtpm = place_vtpm(programs(), "/r/vms/one", "/r/vms/one/vtpm-ctl", std::nullopt);
    assert_true(vtpm.has_value());
    const std::vector<std::string> tpm = {"/p/swtpm",
                                          "socket",
                                          "--tpm2",
                                          "--tpmstate",
                                          "dir=/r/vms/one/vtpm/state,mode=0600",
                                          "--ctrl",
                                          "type=unixio,path=/r/vms/one/vtpm-ctl,mode=0600"};
    assert_true(vtpm_argv(*vtpm) == tpm);
    const std::vector<std::string> setup = {"env",
                                            "TMPDIR=/r/vms/one/vtpm",
                                            "/p/swtpm_setup",
                                            "--tpm2",
                                            "--tpm",
                                            "/p/swtpm socket",
                                            "--tpm-state",
                                            "/r/vms/one/vtpm/state",
                                            "--config",
                                            "/r/vms/one/vtpm/setup.conf",
                                            "--vmid",
                                            "cvmin-one",
                                            "--create-ek-cert",
                                            "--write-ek-cert-files",
                                            "/r/vms/one/vtpm",
                                            "--pcr-banks",
                                            "sha256,sha384",
                                            "--lock-nvram"};
    assert_true(vtpm_setup_argv(*vtpm, "one") == setup);
}

void a_kept_vtpm_has_state_and_certificates_elsewhere_and_configuration_here(void **) {
    const auto vtpm = place_vtpm(programs(), "/r/vms/one", "/r/vms/one/vtpm-ctl", "/k/./a/../tpm");
    assert_true(vtpm.has_value());
    assert_true(*vtpm->kept == "/k/tpm" && vtpm->state == "/k/tpm/state" && vtpm->certificates == "/k/tpm");
    assert_true(vtpm->directory == "/r/vms/one/vtpm" && vtpm->socket == "/r/vms/one/vtpm-ctl");
}

void paths_that_swtpm_would_misread_are_refused(void **) {
    for (const char *path : {"/k/a,mode=0777", "/k/a\nb", "/k/${HOME}", "/k/a\rb"}) {
        const auto kept = place_vtpm(programs(), "/r/vms/one", "/r/vms/one/vtpm-ctl", path);
        assert_true(code_of(kept) == Errc::out_of_range);
        assert_true(code_of(place_vtpm(programs(), path, "/s", std::nullopt)) == Errc::out_of_range);
        assert_true(code_of(place_vtpm(programs(), "/r", path, std::nullopt)) == Errc::out_of_range);
    }
    assert_true(place_vtpm(programs(), "/r/a b$c{d}", "/s", std::nullopt).has_value());
}

void the_configuration_names_this_users_ca_and_nothing_of_the_systems(void **) {
    const auto ca = VtpmCa::load_or_make(VtpmCa::directory());
    fs::create_directory(work / "vm");
    const auto vtpm = place_vtpm(programs(), work / "vm", work / "vm/vtpm-ctl", std::nullopt);
    assert_true(write_vtpm_configuration(vtpm.value(), ca.value(), VtpmCa::directory()).has_value());
    const std::string here = (work / "vm/vtpm").string(), there = VtpmCa::directory().string();
    assert_true(text_of(vtpm->directory / "setup.conf") ==
                "create_certs_tool = /p/swtpm_localca\n"
                "create_certs_tool_config = " +
                    here + "/localca.conf\ncreate_certs_tool_options = " + here + "/localca.options\n");
    assert_true(text_of(vtpm->directory / "localca.conf") == "statedir = " + there + "\nsigningkey = " + there +
                                                                 "/ek-root.key\nissuercert = " + here +
                                                                 "/ek-root.pem\ncertserial = " + there + "/serial\n");
    assert_true(text_of(vtpm->directory / "ek-root.pem") == ca->root_pem().value());
}

void a_missing_program_is_named_with_its_package(void **) {
    const fs::path bin = work / "bin";
    fs::create_directory(bin);
    const std::string before = std::getenv("PATH");
    const auto with_path = [&](const std::string &path) {
        ::setenv("PATH", path.c_str(), 1);
        auto found = find_vtpm_programs();
        ::setenv("PATH", before.c_str(), 1);
        return found;
    };
    const auto add = [&](const char *name, mode_t mode) {
        (void)write_file(bin / name, as_bytes("#!/bin/sh\n"), mode);
    };
    const auto none = with_path(bin.string());
    assert_true(code_of(none) == Errc::system);
    assert_true(none.error().text == "swtpm is not in PATH, and --vtpm needs it (Debian's package swtpm)");
    add("swtpm", 0644); // not to be executed
    assert_true(with_path(bin.string()).error().text.starts_with("swtpm is not in PATH"));
    add("swtpm", 0755);
    assert_true(with_path(bin.string()).error().text ==
                "swtpm_setup is not in PATH, and --vtpm needs it (Debian's package swtpm-tools)");
    add("swtpm_setup", 0755);
    assert_true(with_path("::.:" + bin.string()).error().text.starts_with("swtpm_localca is not in PATH"));
    add("swtpm_localca", 0755);
    const auto all = with_path("relative:/nonexistent:" + bin.string() + ":" + before);
    assert_true(all && all->swtpm == bin / "swtpm" && all->swtpm_setup == bin / "swtpm_setup" &&
                all->swtpm_localca == bin / "swtpm_localca");
}

// ---- a state that is kept ------------------------------------------------------------------------------------------

void a_kept_state_is_locked_against_a_second_user(void **) {
    const fs::path directory = work / "kept";
    {
        const auto first = open_kept_vtpm(directory);
        assert_true(first.has_value() && !first->manufactured);
        const auto second = open_kept_vtpm(directory);
        assert_true(code_of(second) == Errc::busy);
        assert_true(second.error().text == directory.native() + ": another CVM uses this vTPM");
    }
    assert_true(open_kept_vtpm(directory).has_value());
}

void a_kept_state_counts_once_its_root_is_there_and_a_half_made_one_is_made_anew(void **) {
    const fs::path directory = work / "half";
    assert_true(open_kept_vtpm(directory).has_value());
    fs::create_directory(directory / "state");
    assert_true(write_file(directory / "state/tpm2-00.permall", as_bytes("half")).has_value());
    const auto half = open_kept_vtpm(directory);
    assert_true(half && !half->manufactured && !fs::exists(directory / "state"));
}

void a_complete_kept_state_is_left_as_it_is(void **) {
    const fs::path directory = work / "whole";
    assert_true(open_kept_vtpm(directory).has_value());
    fs::create_directory(directory / "state");
    assert_true(write_file(directory / "state/tpm2-00.permall", as_bytes("whole")).has_value());
    assert_true(write_file(directory / "ek-root.der", as_bytes("x")).has_value());
    const auto whole = open_kept_vtpm(directory);
    assert_true(whole && whole->manufactured && text_of(directory / "state/tpm2-00.permall") == "whole");
}

void a_directory_of_somebody_elses_is_not_taken_for_a_kept_state(void **) {
    const fs::path directory = work / "other";
    fs::create_directories(directory / "state");
    fs::permissions(directory, fs::perms::owner_all);
    const auto other = open_kept_vtpm(directory);
    assert_true(code_of(other) == Errc::unsupported && fs::exists(directory / "state"));
    const fs::path open = work / "open";
    fs::create_directory(open);
    ::chmod(open.c_str(), 0755);
    assert_true(code_of(open_kept_vtpm(open)) == Errc::unsupported);
    fs::create_directory_symlink(directory, work / "link");
    assert_true(code_of(open_kept_vtpm(work / "link")) == Errc::unsupported);
}

// ---- the control channel -------------------------------------------------------------------------------------------

constexpr std::uint64_t swtpm_0_7_capabilities = 0x7fff; // what Debian's swtpm 0.7.1 answers

// Asks a peer that reads 4 bytes and answers with `answer`, in the parts given, then closes or hangs.
Errc asked(const std::vector<Bytes> &parts, bool hangs, std::chrono::milliseconds limit = std::chrono::seconds{5}) {
    const fs::path path = work / "ctl";
    fs::remove(path);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.native().size());
    const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0 || ::listen(listener, 1) != 0)
        abort();
    const pid_t server = ::fork();
    if (server == 0) {
        const int fd = ::accept(listener, nullptr, nullptr);
        std::byte question[4];
        std::size_t got = 0;
        while (got < sizeof question && ::read(fd, question + got, 1) == 1)
            ++got;
        constexpr std::byte wanted[4] = {std::byte{0}, std::byte{0}, std::byte{0}, std::byte{1}};
        if (!std::ranges::equal(question, wanted))
            ::_exit(1);
        for (const Bytes &part : parts) {
            (void)write_all(fd, part);
            ::usleep(20'000);
        }
        while (hangs)
            ::pause();
        ::_exit(0);
    }
    ::close(listener);
    const auto result = ask_vtpm(path, limit);
    ::kill(server, SIGKILL);
    ::waitpid(server, nullptr, 0);
    return code_of(result);
}
Bytes big_endian(std::uint64_t value) {
    Bytes out(8);
    store_be(out, value);
    return out;
}

void swtpm_that_can_what_qemu_needs_is_accepted(void **) {
    const Bytes whole = big_endian(swtpm_0_7_capabilities);
    assert_true(asked({whole}, false) == Errc{0xff});
    assert_true(asked({to_bytes(ByteView{whole}.first(3)), to_bytes(ByteView{whole}.subspan(3))}, true) == Errc{0xff});
}
void peers_that_are_no_swtpm_are_told_apart(void **) {
    assert_true(asked({big_endian(0)}, false) == Errc::malformed);
    assert_true(asked({to_bytes(as_bytes("HTTP/1.1"))}, false) == Errc::malformed);
    for (std::uint64_t needed : {0x1u, 0x2u, 0x4u, 0x8u, 0x80u, 0x400u, 0x1000u, 0x2000u})
        assert_true(asked({big_endian(swtpm_0_7_capabilities & ~needed)}, false) == Errc::malformed);
    assert_true(asked({}, false) == Errc::unreachable);
    assert_true(asked({Bytes(7)}, false) == Errc::unreachable);
    assert_true(asked({}, true, std::chrono::milliseconds{100}) == Errc::timed_out);
    assert_true(asked({Bytes(7)}, true, std::chrono::milliseconds{200}) == Errc::timed_out);
    assert_true(code_of(ask_vtpm(work / "no-such", std::chrono::seconds{1})) == Errc::unreachable);
    assert_true(code_of(ask_vtpm("/" + std::string(200, 'x'), std::chrono::seconds{1})) == Errc::out_of_range);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_ca_is_made_once_and_is_a_root_that_may_sign),
        cmocka_unit_test(the_ca_in_pem_is_the_same_certificate),
        cmocka_unit_test(a_broken_or_readable_ca_is_named_and_left_alone),
        cmocka_unit_test(a_vtpm_lives_in_its_vms_directory),
        cmocka_unit_test(a_kept_vtpm_has_state_and_certificates_elsewhere_and_configuration_here),
        cmocka_unit_test(paths_that_swtpm_would_misread_are_refused),
        cmocka_unit_test(the_configuration_names_this_users_ca_and_nothing_of_the_systems),
        cmocka_unit_test(a_missing_program_is_named_with_its_package),
        cmocka_unit_test(a_kept_state_is_locked_against_a_second_user),
        cmocka_unit_test(a_kept_state_counts_once_its_root_is_there_and_a_half_made_one_is_made_anew),
        cmocka_unit_test(a_complete_kept_state_is_left_as_it_is),
        cmocka_unit_test(a_directory_of_somebody_elses_is_not_taken_for_a_kept_state),
        cmocka_unit_test(swtpm_that_can_what_qemu_needs_is_accepted),
        cmocka_unit_test(peers_that_are_no_swtpm_are_told_apart),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
