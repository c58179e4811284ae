/* Appraisal of AMD SEV-SNP attestation: is this report genuine, and is it what a policy wants? C interface of
 * libcvmin_appraise, for programs in C and for every language that can call C. See docs/library.md.
 *
 * Rules that hold for all functions: everything that is judged is passed in, also the time; nothing is fetched, written
 * or printed; nothing of a call is kept after it; any number of threads may call at once; no exception leaves. Inputs
 * may be hostile, sizes must be true. Memory used beyond the arguments is below 16 MiB whatever they hold.
 * Whatever goes wrong, the answer is not ACCEPTED.
 *
 * x86-64 only. */
#ifndef CVMIN_APPRAISE_H
#define CVMIN_APPRAISE_H

#include <stddef.h>
#include <stdint.h>

/* Version of this header; cvmin_appraise_version() tells the library's. While MAJOR is 0, MINOR changes may break. */
#define CVMIN_APPRAISE_VERSION_MAJOR 0
#define CVMIN_APPRAISE_VERSION_MINOR 1
#define CVMIN_APPRAISE_VERSION_PATCH 0

#define CVMIN_APPRAISE_MAX_EVIDENCE_SIZE (512u << 10)
#define CVMIN_APPRAISE_MAX_CERTIFICATE_SIZE (8u << 10)        /* of vek, ask, ark and emulated_ark each */
#define CVMIN_APPRAISE_MAX_CERTIFICATE_TABLE_SIZE (64u << 10) /* of certificates */
#define CVMIN_APPRAISE_MAX_CRL_SIZE (64u << 10)
#define CVMIN_APPRAISE_MAX_POLICY_SIZE (256u << 10)
#define CVMIN_APPRAISE_MAX_MEASUREMENTS 256
#define CVMIN_APPRAISE_VERDICT_SIZE (64u << 10) /* enough unless policy or caller have lists of hundreds */
#define CVMIN_APPRAISE_MAX_VERDICT_SIZE (1u << 20)

#if defined(__GNUC__)
#define CVMIN_APPRAISE_API __attribute__((visibility("default")))
#else
#define CVMIN_APPRAISE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What cvmin_appraise answers. Only 0 means that the evidence was accepted. Values never change their meaning; new ones
 * may come. */
enum cvmin_appraise_status {
    CVMIN_APPRAISE_ACCEPTED = 0,
    CVMIN_APPRAISE_REFUSED = 1,          /* there is a verdict, and it says which checks did not pass */
    CVMIN_APPRAISE_INVALID_ARGUMENT = 2, /* the call itself: NULL, sizes, options that contradict each other */
    CVMIN_APPRAISE_INVALID_POLICY = 3,   /* the policy's text; `error` names the member */
    CVMIN_APPRAISE_UNSUPPORTED = 4,      /* a member set that this version does not know */
    CVMIN_APPRAISE_TOO_LARGE = 5,        /* above one of the limits of this header */
    CVMIN_APPRAISE_MALFORMED = 6,        /* a certificate or list of the caller's own that cannot be read */
    CVMIN_APPRAISE_BUFFER_TOO_SMALL = 7, /* for the verdict; *verdict_size says what is needed */
    CVMIN_APPRAISE_NO_MEMORY = 8,
    CVMIN_APPRAISE_INTERNAL = 9
};

/* What `evidence` is. 0 is no value: what was forgotten is refused and not guessed. */
enum cvmin_appraise_subject {
    CVMIN_APPRAISE_SUBJECT_REPORT = 1,  /* an ATTESTATION_REPORT of 1184 bytes, fetched by any tool */
    CVMIN_APPRAISE_SUBJECT_EVIDENCE = 2 /* evidence of cvmin's agent: report, certificates, claims */
};

/* What the caller does not want to say; the verdict then shows the check as skipped. */
#define CVMIN_APPRAISE_SKIP_REPORT_DATA 1u /* REPORT */
#define CVMIN_APPRAISE_SKIP_EXPORTER 2u    /* EVIDENCE: of a connection that is not ours, or is over */
#define CVMIN_APPRAISE_SKIP_PEER_KEY 4u    /* EVIDENCE */

/* Memory of the caller, only read. {NULL, 0} is absent; no input may be empty. */
struct cvmin_appraise_bytes {
    const void *data;
    size_t size;
};

/* Fill it from CVMIN_APPRAISE_OPTIONS_INIT. Later versions append members; struct_size tells which the caller knows. A
 * library that is older than its caller accepts the longer structure as long as what it does not know is zero, and else
 * answers UNSUPPORTED. Certificates and lists are DER or PEM. */
struct cvmin_appraise_options {
    size_t struct_size; /* sizeof(struct cvmin_appraise_options) */
    uint32_t subject;   /* enum cvmin_appraise_subject */
    uint32_t skip;      /* CVMIN_APPRAISE_SKIP_... */
    int64_t time;       /* as of when certificates are judged: seconds since 1970 UTC, above 0 */
    struct cvmin_appraise_bytes evidence;
    struct cvmin_appraise_bytes policy;       /* JSON, as docs/policy.schema.json has it */
    struct cvmin_appraise_bytes measurements; /* acceptable launch digests: 48 bytes each, one after the other. Absent
                                                 where the policy lists some, or names a signer, who then vouches, or
                                                 skips them for a REPORT */
    struct cvmin_appraise_bytes vek;          /* REPORT: its VCEK or VLEK certificate ... */
    struct cvmin_appraise_bytes ask;          /* ... the ASK or ASVK, if it is not the one built in ... */
    struct cvmin_appraise_bytes ark;          /* ... and the root, which must be a trusted one all the same; */
    struct cvmin_appraise_bytes certificates; /* or a certificate table (GHCB) with these, instead of the three */
    struct cvmin_appraise_bytes crl;          /* revocation list, always looked at if there is one */
    struct cvmin_appraise_bytes emulated_ark; /* an emulated root to trust; never in production */
    struct cvmin_appraise_bytes report_data;  /* REPORT: what REPORT_DATA must be, 64 bytes; or skip it,
                                                 here or in the policy */
    struct cvmin_appraise_bytes nonce;        /* EVIDENCE: the caller's own, 32 to 64 bytes */
    struct cvmin_appraise_bytes exporter;     /* EVIDENCE: TLS exporter of the connection, 32 bytes; or skip it */
    struct cvmin_appraise_bytes peer_key;     /* EVIDENCE: X and Y of the connection's P-384 key; or skip it */
    /* Appended later: whoever does not know it passes the structure up to here. */
    struct cvmin_appraise_bytes manifest; /* SHA-256 of the computation manifest, 32 bytes: HOST_DATA must be it, and
                                             EVIDENCE's claims name it */
};
/* What a structure without the members that came later has. */
#define CVMIN_APPRAISE_OPTIONS_LEAST_SIZE offsetof(struct cvmin_appraise_options, manifest)
#define CVMIN_APPRAISE_OPTIONS_INIT                                                                                    \
    {sizeof(struct cvmin_appraise_options),                                                                            \
     CVMIN_APPRAISE_SUBJECT_REPORT,                                                                                    \
     0,                                                                                                                \
     0,                                                                                                                \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0}}

/* Appraises, and answers an enum cvmin_appraise_status.
 * `verdict` gets the verdict as JSON (docs/verdict.schema.json) with a NUL at its end, and *verdict_size its length
 * without the NUL. Before the call *verdict_size is the buffer's size. If that is too small, the answer is
 * BUFFER_TOO_SMALL and *verdict_size the size needed (with the NUL): call again. Who wants no verdict passes NULL and
 * NULL. After any status but ACCEPTED and REFUSED the buffer, if it has a size, holds an empty text.
 * `error` (may be NULL with error_size 0) gets one line that says what was wrong with the call, cut to its size, always
 * with a NUL; it is empty after ACCEPTED and REFUSED. 256 bytes are enough. */
CVMIN_APPRAISE_API int cvmin_appraise(const struct cvmin_appraise_options *options, char *verdict, size_t *verdict_size,
                                      char *error, size_t error_size);

/* What a status means: static text, never NULL. */
CVMIN_APPRAISE_API const char *cvmin_appraise_status_text(int status);

/* Version of the library, as in "0.1.0". */
CVMIN_APPRAISE_API const char *cvmin_appraise_version(void);

#ifdef __cplusplus
}
#endif

#endif
