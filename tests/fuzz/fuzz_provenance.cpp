// The documents of a release as others may have written them: statements, bills of materials, envelopes, lock lines.
// What is read keeps its readers' promises.
#include "host-tools/signing/dsse.hpp"
#include "image/provenance.hpp"
#include "image/sbom.hpp"

#include <cstdlib>

using namespace cvmin;

static void must(bool held) {
    if (!held)
        std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    if (const auto provenance = parse_provenance(input)) {
        must(is_commit_id(provenance->commit));
        must(provenance->files.size() + provenance->launches.size() <= max_provenance_subjects);
        for (const ProvenanceLaunch &launch : provenance->launches)
            must(launch.vcpus >= 1 && launch.vcpus <= max_vcpus);
        for (const NamedDigest &file : provenance->files)
            must(!file.name.empty() && !file.name.starts_with('/') && !file.name.contains(".."));
        // of nothing, the first file or launch is a difference
        if (!provenance->files.empty() || !provenance->launches.empty())
            must(first_mismatch(*provenance, {}, {}, {}).has_value());
    }
    if (const auto sbom = parse_sbom(input))
        must(first_mismatch(*sbom, {}, {}).has_value()); // there is always an image.json
    if (const auto files = parse_lock(input))
        for (const LockedFile &file : *files)
            must(!file_name(file).contains('/') && package_url(file).starts_with("pkg:deb/debian/"));
    // nobody has this key's private half: no envelope is by it
    PublicKey key{};
    must(!verify_dsse(input, in_toto_payload_type, key));
    if (const auto signature = signature_from_der(input))
        must(equal(signature_to_der(*signature), input));
    must(!is_licence_expression(as_text(input)) || size > 0);
    return 0;
}
