// Makes a credential for an EK, for a TPM to open (tests/cli/credential.sh):
//   cvmin-test-credential EK AK SECRET OUT   TPMT_PUBLIC of both keys; OUT as tpm2_activatecredential reads it
#include "host-tools/tpm/credential.hpp"
#include "host-tools/base/os.hpp"

#include <cstdio>

using namespace cvmin;

static Result<void> make(const char *ek_file, const char *ak_file, const char *secret_file, const char *out) {
    constexpr std::size_t limit = 4096;
    CVMIN_TRY(ek, read_file(ek_file, limit));
    CVMIN_TRY(ak, read_file(ak_file, limit));
    CVMIN_TRY(secret, read_file(secret_file, limit));
    CVMIN_TRY(name, tpm_name(ak));
    CVMIN_TRY(made, make_credential(ek, name, secret));
    Bytes file(8);
    store_be(MutableBytes{file}.first(4), 0xbadcc0de); // tpm2-tools' own head: magic, version
    store_be(MutableBytes{file}.last(4), 1);
    for (const Bytes &part : {made.id_object, made.encrypted_secret}) {
        ByteArray<2> size;
        store_be(size, part.size());
        file.insert(file.end(), size.begin(), size.end());
        file.insert(file.end(), part.begin(), part.end());
    }
    return write_file(out, file);
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    const auto made = make(argv[1], argv[2], argv[3], argv[4]);
    if (!made)
        std::fprintf(stderr, "%s\n", to_string(made.error()).c_str());
    return made ? 0 : 1;
}
