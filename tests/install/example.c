/* A user of the installed C interface: prints the launch digest of a firmware file for VCPUS vCPUs of TYPE, or why not.
 */
#include <cvmin/launch.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: example FIRMWARE VCPUS TYPE\n");
        return 2;
    }
    FILE *file = fopen(argv[1], "rb");
    if (!file) {
        perror(argv[1]);
        return 4;
    }
    unsigned char *firmware = malloc(CVMIN_LAUNCH_MAX_FIRMWARE_SIZE);
    if (!firmware)
        return 4;
    size_t size = fread(firmware, 1, CVMIN_LAUNCH_MAX_FIRMWARE_SIZE, file);
    fclose(file);

    struct cvmin_launch_options options = CVMIN_LAUNCH_OPTIONS_INIT;
    options.firmware.data = firmware;
    options.firmware.size = size;
    options.vcpus = (uint32_t)strtoul(argv[2], NULL, 10);
    options.vcpu_type = argv[3];
    unsigned char digest[CVMIN_LAUNCH_SNP_DIGEST_SIZE];
    char error[128];
    int status = cvmin_launch_digest(&options, digest, sizeof digest, error, sizeof error);
    free(firmware);
    if (status != CVMIN_LAUNCH_OK) {
        fprintf(stderr, "%s (%s)\n", error, cvmin_launch_error_text(status));
        return 3;
    }
    for (size_t i = 0; i < sizeof digest; ++i)
        printf("%02x", digest[i]);
    printf("\n");
    return 0;
}
