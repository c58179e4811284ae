/* A user of the installed C interface: appraises a report under a policy and prints the verdict, or why there is none.
 */
#include <cvmin/appraise.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct cvmin_appraise_bytes read_file(const char *path, size_t most) {
    struct cvmin_appraise_bytes bytes = {NULL, 0};
    FILE *file = fopen(path, "rb");
    unsigned char *data = malloc(most + 1);
    if (!file || !data) {
        perror(path);
        exit(4);
    }
    bytes.size = fread(data, 1, most + 1, file); /* one more than allowed: the library will say so */
    bytes.data = data;
    fclose(file);
    return bytes;
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: appraise REPORT VEK POLICY [SECONDS]\n");
        return 2;
    }
    struct cvmin_appraise_options options = CVMIN_APPRAISE_OPTIONS_INIT;
    options.evidence = read_file(argv[1], CVMIN_APPRAISE_MAX_EVIDENCE_SIZE);
    options.vek = read_file(argv[2], CVMIN_APPRAISE_MAX_CERTIFICATE_SIZE);
    options.policy = read_file(argv[3], CVMIN_APPRAISE_MAX_POLICY_SIZE);
    options.time = argc == 5 ? strtoll(argv[4], NULL, 10) : (int64_t)time(NULL);
    /* A program of yours has these from its build and from its own nonce, and not out of the report. */
    static unsigned char measurement[48];
    if (options.evidence.size >= 0x90 + sizeof measurement)
        memcpy(measurement, (const unsigned char *)options.evidence.data + 0x90, sizeof measurement);
    options.measurements.data = measurement;
    options.measurements.size = sizeof measurement;
    options.skip = CVMIN_APPRAISE_SKIP_REPORT_DATA;

    static char verdict[CVMIN_APPRAISE_VERDICT_SIZE];
    size_t verdict_size = sizeof verdict;
    char error[256];
    int status = cvmin_appraise(&options, verdict, &verdict_size, error, sizeof error);
    switch (status) {
    case CVMIN_APPRAISE_ACCEPTED:
        printf("%s\n", verdict);
        return 0;
    case CVMIN_APPRAISE_REFUSED:
        printf("%s\n", verdict);
        return 1;
    default:
        fprintf(stderr, "%s (%s)\n", error, cvmin_appraise_status_text(status));
        return 3;
    }
}
