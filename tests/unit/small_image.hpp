// A small image with everything a release's documents speak of, in memory: files, recorded inputs, two locks.
#pragma once

#include "image/image_diff.hpp"
#include "image/lock.hpp"

#include <memory>

namespace cvmin::test {

inline const std::string sources_lock =
    "# Written by ./dev lock. sha256, size, path in the archive, package, version, architecture.\n"
    "1111111111111111111111111111111111111111111111111111111111111111 10 pool/l/linux-source_6_all.deb linux-source 6 "
    "all\n"
    "2222222222222222222222222222222222222222222222222222222222222222 20 pool/o/ovmf_1%2b2_all.deb ovmf 1:1+2~3 all\n"
    "3333333333333333333333333333333333333333333333333333333333333333 30 pool/m/mbedtls_3.orig.tar.bz2 mbedtls 3-1 "
    "source\n"
    "4444444444444444444444444444444444444444444444444444444444444444 40 pool/v/vhost_1_amd64.deb vhost 1 amd64\n";
inline const std::string debs_lock =
    "5555555555555555555555555555555555555555555555555555555555555555 50 pool/g/g++_14_amd64.deb g++ 4:14-1 amd64\n"
    "6666666666666666666666666666666666666666666666666666666666666666 60 pool/m/musl-dev_1_amd64.deb musl-dev 1.2 "
    "amd64\n"
    "7777777777777777777777777777777777777777777777777777777777777777 70 pool/l/linux-libc-dev_6.deb linux-libc-dev 6 "
    "all\n";
inline const std::string commit = "0123456789abcdef0123456789abcdef01234567";

inline Json input(const char *kind, const std::string &name, const std::string &digest) {
    return {{"kind", kind}, {"name", name}, {"sha256", digest}, {"size", 1}};
}

// Not copied: what the manifest says is of these bytes.
inline std::unique_ptr<LoadedImage> small_image() {
    auto image = std::make_unique<LoadedImage>();
    image->image_json = to_bytes(as_bytes("image.json's bytes"));
    image->files = {to_bytes(as_bytes("kernel")), to_bytes(as_bytes("initrd")), to_bytes(as_bytes("firmware"))};
    image->agent = to_bytes(as_bytes("agent"));
    image->audit_json = to_bytes(as_bytes("audit"));
    ImageManifest &manifest = image->manifest;
    manifest.version = "9.8";
    manifest.command_line = "quiet";
    const auto file = [](const char *path, ByteView bytes) { return ImageFile{path, sha256(bytes), bytes.size()}; };
    manifest.kernel = file("bzImage", image->files.kernel);
    manifest.initrd = file("initrd.zst", image->files.initrd);
    manifest.cmdline = file("cmdline", as_bytes("quiet"));
    manifest.firmware = file("OVMF.fd", image->files.firmware);
    manifest.agent = file("agent", *image->agent);
    manifest.audit = file("audit.json", *image->audit_json);
    manifest.inputs = Json::array();
    for (const auto &[name, digit] : {std::pair{"linux-source_6_all.deb", '1'},
                                      {"ovmf_1%2b2_all.deb", '2'},
                                      {"mbedtls_3.orig.tar.bz2", '3'},
                                      {"vhost_1_amd64.deb", '4'}})
        manifest.inputs.push_back(input("source", name, std::string(64, digit)));
    manifest.inputs.push_back(input("toolchain", "toolchain/debs.lock", hex(sha256(as_bytes(debs_lock)))));
    manifest.inputs.push_back(input("recipe", "image/patches/0001-x.patch", std::string(64, '8')));
    manifest.inputs.push_back(input("tree", "agent-min common", std::string(64, '9')));
    image->audit = ImageAudit{.options = {},
                              .parameters = {},
                              .hardening = {},
                              .sources = {{"linux-source", "6", "kernel", "GPL-2.0-only WITH Linux-syscall-note"},
                                          {"ovmf", "1:1+2~3", "firmware", "BSD-2-Clause-Patent AND MIT"},
                                          {"mbedtls", "3-1", "agent", "Apache-2.0 OR GPL-2.0-or-later"},
                                          {"vhost", "1", "-", "BSD-3-Clause"},
                                          {"musl-dev", "1.2", "agent", "MIT"},
                                          {"linux-libc-dev", "6", "agent", "GPL-2.0-only WITH Linux-syscall-note"},
                                          {"cvmin", "9.8", "agent", "Apache-2.0"}}};
    return image;
}

inline std::vector<LockText> small_locks() {
    return {{"toolchain/sources.lock", as_bytes(sources_lock)}, {"toolchain/debs.lock", as_bytes(debs_lock)}};
}

} // namespace cvmin::test
