#include "host-tools/sign_launches.hpp"

#include "host-tools/measure/measure.hpp"
#include "host-tools/reference.hpp"

namespace cvmin {

Explained<std::vector<LaunchToSign>> launches_to_sign(const ImageManifest &manifest, const ImageFiles &files,
                                                      const std::vector<std::string> &vcpu_types,
                                                      const std::vector<unsigned> &vcpus) {
    const auto before = predict_before_vcpus(manifest, files);
    if (!before)
        return explain(before.error(), manifest.directory.string());
    std::vector<LaunchToSign> launches;
    for (const std::string &type : vcpu_types) {
        const auto model = find_cpu_model(type);
        if (!model)
            return explain(Errc::usage, "--vcpu-type: no CPU model " + type + "; did you mean " +
                                            std::string{nearest_cpu_model(type)} + "?");
        for (const unsigned count : vcpus) {
            const auto digest = predict_launch_digest(*before, {model->signature, manifest.guest_features}, count);
            if (!digest)
                return explain(digest.error(), manifest.directory.string());
            launches.push_back({*digest, count, type});
        }
    }
    return launches;
}

Explained<std::vector<IdBlockOf>> sign_launches(std::span<const LaunchToSign> launches, const IdBlockContent &content,
                                                const std::string &id_key_file, const std::string &author_key_file) {
    IdBlock block{};
    block.version = id_block_version;
    block.guest_svn = content.svn;
    block.policy = content.policy;
    const struct {
        const char *option;
        const std::string &text;
        ByteArray<16> &out;
    } ids[] = {{"--family-id", content.family_id, block.family_id}, {"--image-id", content.image_id, block.image_id}};
    for (const auto &[option, text, out] : ids) {
        if (text.empty())
            continue;
        const auto id = parse_guest_id(text, option);
        if (!id)
            return explain(Errc::usage, std::string{option} + ": wanted 1 to 16 printable ASCII characters, or 0x and "
                                                              "32 hexadecimal digits");
        out = *id;
    }
    P384PrivateKey id_key, author_key;
    CVMIN_CHECK(read_private_key_file(id_key, id_key_file));
    if (!author_key_file.empty())
        CVMIN_CHECK(read_private_key_file(author_key, author_key_file));
    std::vector<IdBlockOf> blocks;
    for (const LaunchToSign &launch : launches) {
        block.launch_digest = launch.digest;
        auto signed_block = sign_id_block(block, id_key, author_key_file.empty() ? nullptr : &author_key);
        if (!signed_block)
            return explain(signed_block.error(), id_key_file);
        blocks.push_back({std::move(*signed_block), launch.vcpus, launch.vcpu_type});
    }
    return blocks;
}

} // namespace cvmin
