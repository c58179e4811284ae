// Prints what a release says of an image, for tests that look at it with other tools: the bill of materials, the
// provenance, or that one's envelope.
//   cvmin-test-documents sbom|provenance|envelope IMAGE SOURCE_TREE COMMIT SECONDS [KEY]
#include "host-tools/base/mbed.hpp"
#include "host-tools/base/os.hpp"
#include "host-tools/signing/dsse.hpp"
#include "host-tools/signing/key_file.hpp"
#include "image/provenance.hpp"
#include "image/sbom.hpp"

#include <cstdio>
#include <cstdlib>

using namespace cvmin;

template <class T> static T must(Result<T> result) {
    if (!result) {
        std::fprintf(stderr, "documents: %s\n", to_string(result.error()).c_str());
        std::exit(exit_code(result.error().code));
    }
    return std::move(*result);
}

int main(int argc, char **argv) {
    if (argc < 6)
        return 2;
    const std::string what = argv[1];
    const auto image = load_image(argv[2]);
    if (!image) {
        std::fprintf(stderr, "documents: %s\n", image.error().text.c_str());
        return exit_code(image.error().code);
    }
    const std::filesystem::path tree = argv[3];
    std::vector<Bytes> texts;
    std::vector<LockText> locks;
    for (const char *name : {"toolchain/sources.lock", "toolchain/debs.lock"})
        texts.push_back(must(read_file(tree / name, 1u << 20)));
    locks = {{"toolchain/sources.lock", texts[0]}, {"toolchain/debs.lock", texts[1]}};
    if (what == "sbom") {
        const Json document = must(spdx_document({*image, locks, argv[4], std::atoll(argv[5])}));
        std::puts(document.dump(1).c_str());
        return 0;
    }
    const auto before = must(predict_before_vcpus(image->manifest, image->files));
    const auto launches = must(predict_all(before, image->manifest.guest_features));
    const std::string statement =
        must(slsa_statement({.image = *image, .launches = launches, .locks = locks, .commit = argv[4]})).dump();
    if (what == "provenance") {
        std::puts(statement.c_str());
        return 0;
    }
    if (argc != 7)
        return 2;
    P384PrivateKey key;
    if (auto read = read_private_key(key, must(read_file(argv[6], max_key_file))); !read)
        must(Result<int>{std::unexpected(read.error())});
    std::fputs(must(sign_dsse(in_toto_payload_type, as_bytes(statement), key, system_random, nullptr)).c_str(), stdout);
    return 0;
}
