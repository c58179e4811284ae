// A user of the installed C++ interface: prints the launch digests of a firmware file for 1, 2, ... VCPUS vCPUs of
// TYPE.
#include <cvmin/launch.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    std::ifstream file(argv[1], std::ios::binary);
    const std::vector<char> firmware{std::istreambuf_iterator<char>(file), {}};

    cvmin::launch::Options options;
    options.firmware = std::as_bytes(std::span{firmware});
    options.vcpus = static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10));
    options.vcpu_type = argv[3];
    const auto digests = cvmin::launch::digests(options);
    if (!digests) {
        std::fprintf(stderr, "%s\n", digests.error().text.c_str());
        return 3;
    }
    for (const auto &digest : *digests) {
        for (std::byte byte : digest)
            std::printf("%02x", std::to_integer<unsigned>(byte));
        std::printf("\n");
    }
    return 0;
}
