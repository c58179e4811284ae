// ID blocks for the launches of an image, as `cvmin sign` and `cvmin release` make them: predicts, reads keys, signs.
// Writes nothing; the forms are host-tools/signing's.
#pragma once

#include "host-tools/base/explained.hpp"
#include "host-tools/signing/id_block_file.hpp"
#include "image/image_manifest.hpp"

namespace cvmin {

struct LaunchToSign { // one launch configuration, and what it measures
    Sha384Digest digest;
    unsigned vcpus = 0;
    std::string vcpu_type;
};
// Each CPU model with each count. usage: no such model; the errors of predict_launch_digest.
Explained<std::vector<LaunchToSign>> launches_to_sign(const ImageManifest &manifest, const ImageFiles &files,
                                                      const std::vector<std::string> &vcpu_types,
                                                      const std::vector<unsigned> &vcpus);

struct IdBlockContent {              // what all blocks have alike
    std::string family_id, image_id; // as parse_guest_id takes them; empty: zeros
    std::uint32_t svn = 0;
    std::uint64_t policy = 0;
};
// Keys are files; no author key where its name is empty. usage: an id; the errors of reading keys and of signing.
Explained<std::vector<IdBlockOf>> sign_launches(std::span<const LaunchToSign> launches, const IdBlockContent &content,
                                                const std::string &id_key_file, const std::string &author_key_file);

} // namespace cvmin
