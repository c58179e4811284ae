/* The launch digest of a confidential VM, as AMD's Secure Processor will report it. C interface of libcvmin_launch, for
 * programs in C and for every language that can call C. See docs/library.md.
 *
 * Rules that hold for all functions: no global state, so any number of threads may call at once; nothing is read,
 * written or printed but what is passed in; nothing is kept after the return; no exception leaves; memory used beyond
 * the arguments is below 1 MiB whatever they hold. Inputs may be hostile, sizes must be true.
 *
 * x86-64 only, as everything that launches such VMs. */
#ifndef CVMIN_LAUNCH_H
#define CVMIN_LAUNCH_H

#include <stddef.h>
#include <stdint.h>

/* Version of this header; cvmin_launch_version() tells the library's. While MAJOR is 0, MINOR changes may break. */
#define CVMIN_LAUNCH_VERSION_MAJOR 0
#define CVMIN_LAUNCH_VERSION_MINOR 1
#define CVMIN_LAUNCH_VERSION_PATCH 0

#define CVMIN_LAUNCH_MAX_VCPUS 255
#define CVMIN_LAUNCH_SNP_DIGEST_SIZE 48            /* SHA-384 */
#define CVMIN_LAUNCH_SEV_DIGEST_SIZE 32            /* SHA-256 */
#define CVMIN_LAUNCH_MAX_FIRMWARE_SIZE (64u << 20) /* also of an SVSM image, and of vars_size */
#define CVMIN_LAUNCH_MAX_CMDLINE_SIZE (64u << 10)  /* x86 kernels read 2 KiB */

#if defined(__GNUC__)
#define CVMIN_LAUNCH_API __attribute__((visibility("default")))
#else
#define CVMIN_LAUNCH_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a function answers. Values never change their meaning; new ones may come. */
enum cvmin_launch_status {
    CVMIN_LAUNCH_OK = 0,
    CVMIN_LAUNCH_INVALID_ARGUMENT = 1, /* the call itself: NULL, sizes, options that contradict each other */
    CVMIN_LAUNCH_TRUNCATED = 2,        /* firmware or SVSM: ends too early */
    CVMIN_LAUNCH_TRAILING = 3,         /* has bytes after its end */
    CVMIN_LAUNCH_MALFORMED = 4,        /* is not well-formed; a NUL inside of the command line */
    CVMIN_LAUNCH_UNSUPPORTED = 5,      /* a section type, metadata version, mode or option that this version lacks */
    CVMIN_LAUNCH_OUT_OF_RANGE = 6,     /* vcpus; addresses and sizes in the firmware */
    CVMIN_LAUNCH_TOO_LARGE = 7,        /* above one of the limits of this header */
    CVMIN_LAUNCH_MISMATCH = 8,         /* parts of the firmware contradict each other */
    CVMIN_LAUNCH_MISSING = 9,          /* the firmware lacks what this launch needs */
    CVMIN_LAUNCH_NO_MEMORY = 10,
    CVMIN_LAUNCH_INTERNAL = 11
};

/* In the four enumerations 0 is no value: what was forgotten is refused and not guessed. */
enum cvmin_launch_mode {
    CVMIN_LAUNCH_MODE_SNP = 1,
    CVMIN_LAUNCH_MODE_SNP_FIRMWARE = 2, /* the digest after the firmware's pages: sev-snp-measure's snp:ovmf-hash */
    CVMIN_LAUNCH_MODE_SNP_SVSM = 3,     /* with a Coconut SVSM */
    CVMIN_LAUNCH_MODE_SEV_ES = 4,
    CVMIN_LAUNCH_MODE_SEV = 5
};

enum cvmin_launch_vmm {
    CVMIN_LAUNCH_VMM_QEMU = 1,
    CVMIN_LAUNCH_VMM_EC2 = 2,
    CVMIN_LAUNCH_VMM_EC2_LEGACY = 3, /* as public tools had it until 2025: RDX 0 */
    CVMIN_LAUNCH_VMM_GCE = 4,
    CVMIN_LAUNCH_VMM_KRUN = 5
};

enum cvmin_launch_fpu { /* MXCSR and FCW in the VMSA; only QEMU's */
                        CVMIN_LAUNCH_FPU_RESET =
                            1, /* 0x1f80, 0x37f: KVM for VMs of KVM_SEV_INIT2; take this unless you know better */
                        CVMIN_LAUNCH_FPU_ZERO = 2,      /* 0, 0: older hosts */
                        CVMIN_LAUNCH_FPU_MXCSR_ONLY = 3 /* 0x1f80, 0: sev-snp-measure 0.0.13 in SVSM mode */
};

/* Memory of the caller, only read. {NULL, 0} is absent; an empty file that is there is {address, 0}. */
struct cvmin_launch_bytes {
    const void *data;
    size_t size;
};

/* Fill it from CVMIN_LAUNCH_OPTIONS_INIT (or zero it and set the first six members), then say what is launched.
 * Later versions append members; struct_size tells which the caller knows. A library that is older than its caller
 * accepts the longer structure as long as what it does not know is zero, and else answers UNSUPPORTED. */
struct cvmin_launch_options {
    size_t struct_size;      /* sizeof(struct cvmin_launch_options) */
    uint32_t mode;           /* enum cvmin_launch_mode */
    uint32_t vmm;            /* enum cvmin_launch_vmm */
    uint32_t fpu;            /* enum cvmin_launch_fpu */
    uint32_t vcpus;          /* 1..CVMIN_LAUNCH_MAX_VCPUS; not looked at by SEV and SNP_FIRMWARE, which measure none */
    uint64_t guest_features; /* SEV_FEATURES in the VMSA. SNP: bit 0 must be set; SEV-ES: bit 0 is left out */
    const char *vcpu_type;   /* "EPYC-v4" as after QEMU's -cpu, or NULL */
    uint32_t vcpu_signature; /* CPUID leaf 1 EAX, when vcpu_type is NULL. QEMU needs one of both */
    uint32_t reserved;       /* 0 */
    struct cvmin_launch_bytes firmware; /* the whole OVMF file */
    struct cvmin_launch_bytes
        firmware_digest;               /* SNP: 48 bytes that stand for hashing the firmware's pages, or absent */
    struct cvmin_launch_bytes kernel;  /* measured direct boot (kernel-hashes=on), or absent */
    struct cvmin_launch_bytes initrd;  /* with a kernel only */
    struct cvmin_launch_bytes cmdline; /* with a kernel only; without the NUL at its end */
    struct cvmin_launch_bytes svsm;    /* SNP_SVSM: the SVSM's image */
    uint64_t vars_size;                /* SNP_SVSM: size of OVMF's variable store */
};
#define CVMIN_LAUNCH_OPTIONS_INIT                                                                                      \
    {sizeof(struct cvmin_launch_options),                                                                              \
     CVMIN_LAUNCH_MODE_SNP,                                                                                            \
     CVMIN_LAUNCH_VMM_QEMU,                                                                                            \
     CVMIN_LAUNCH_FPU_RESET,                                                                                           \
     0,                                                                                                                \
     1,                                                                                                                \
     NULL,                                                                                                             \
     0,                                                                                                                \
     0,                                                                                                                \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     {NULL, 0},                                                                                                        \
     0}

/* Writes the launch digest to `digest`, whose size must be exactly that of the mode: 48 bytes for the SNP modes, 32 for
 * SEV and SEV-ES. Answers an enum cvmin_launch_status; after anything but OK `digest` is zeroed.
 * `error` (may be NULL with error_size 0) gets one line that names what was wrong, cut to its size, always with a NUL;
 * it is empty after OK. 128 bytes are enough. */
CVMIN_LAUNCH_API int cvmin_launch_digest(const struct cvmin_launch_options *options, unsigned char *digest,
                                         size_t digest_size, char *error, size_t error_size);

/* The same for 1, 2, ... options->vcpus vCPUs in one pass: `digests` has vcpus * 48 bytes, digest n - 1 is that of n.
 * SNP and SNP_SVSM only. */
CVMIN_LAUNCH_API int cvmin_launch_digests(const struct cvmin_launch_options *options, unsigned char *digests,
                                          size_t digests_size, char *error, size_t error_size);

/* 48, 32, or 0 for what is not a mode. */
CVMIN_LAUNCH_API size_t cvmin_launch_digest_size(uint32_t mode);

/* What a status means: static text, never NULL. */
CVMIN_LAUNCH_API const char *cvmin_launch_error_text(int status);

/* The vCPU types in the order of their names: static text, NULL from the end on. `signature` may be NULL. */
CVMIN_LAUNCH_API const char *cvmin_launch_vcpu_type(size_t index, uint32_t *signature);

/* Version of the library, as in "0.1.0". */
CVMIN_LAUNCH_API const char *cvmin_launch_version(void);

#ifdef __cplusplus
}
#endif

#endif
