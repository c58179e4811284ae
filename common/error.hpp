// Error values of cvmin: one table makes the enum, the messages, the exit codes and the documentation.
// An Error means "could not do it"; a refusal by appraisal is a Verdict and not an Error.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace cvmin {

// name, message, exit code (DESIGN: 2 usage, 3 bad input, 4 system, 5 peer)
#define CVMIN_ERRC_TABLE(X)                                                                                            \
    X(truncated, "ends too early", 3)                                                                                  \
    X(trailing, "has bytes after its end", 3)                                                                          \
    X(malformed, "is not well-formed", 3)                                                                              \
    X(unsupported, "is of a kind this version does not support", 3)                                                    \
    X(out_of_range, "is out of range", 3)                                                                              \
    X(too_large, "is larger than its limit", 3)                                                                        \
    X(mismatch, "does not match", 3)                                                                                   \
    X(missing, "is missing", 3)                                                                                        \
    X(usage, "is not a valid argument", 2)                                                                             \
    X(crypto, "failed in the crypto library", 4)                                                                       \
    X(system, "failed in the operating system", 4)                                                                     \
    X(tpm, "failed in the TPM", 4)                                                                                     \
    X(busy, "is in use", 4)                                                                                            \
    X(refused, "was refused by the peer", 5)                                                                           \
    X(unreachable, "could not be reached", 5)                                                                          \
    X(timed_out, "timed out", 5)

enum class Errc : std::uint8_t {
#define X(name, message, exit_code) name,
    CVMIN_ERRC_TABLE(X)
#undef X
};

struct Error {
    Errc code;
    std::string_view where;   // static text naming the thing: "snp_report.version"
    std::uint64_t detail = 0; // offset for parse errors, errno for system, library code for crypto, TSS2_RC for tpm

    friend bool operator==(const Error &, const Error &) = default;
};

template <class T> using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(Errc code, std::string_view where, std::uint64_t detail = 0) {
    return std::unexpected(Error{code, where, detail});
}

std::string_view message(Errc code);
int exit_code(Errc code);
std::string_view name(Errc code);

// One line: "snp_report.version is of a kind this version does not support (7)".
std::string to_string(const Error &error);

} // namespace cvmin

// CVMIN_TRY(var, expr): var = value of a Result, or return its error. CVMIN_CHECK(expr): for Result<void>.
#define CVMIN_CONCAT_(a, b) a##b
#define CVMIN_CONCAT(a, b) CVMIN_CONCAT_(a, b)
#define CVMIN_TRY(var, expr)                                                                                           \
    auto CVMIN_CONCAT(cvmin_try_, __LINE__) = (expr);                                                                  \
    if (!CVMIN_CONCAT(cvmin_try_, __LINE__))                                                                           \
        return std::unexpected(CVMIN_CONCAT(cvmin_try_, __LINE__).error());                                            \
    auto var = std::move(*CVMIN_CONCAT(cvmin_try_, __LINE__))
#define CVMIN_CHECK(expr)                                                                                              \
    do {                                                                                                               \
        if (auto cvmin_check_ = (expr); !cvmin_check_)                                                                 \
            return std::unexpected(cvmin_check_.error());                                                              \
    } while (0)
