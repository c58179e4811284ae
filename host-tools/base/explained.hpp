// An error with a sentence: for failures whose reason cannot be a static text ("QEMU 7.2.0 found, 10.0 needed").
#pragma once

#include "common/error.hpp"

#include <cstring>
#include <expected>
#include <string>

namespace cvmin {

struct Failure {
    Errc code; // decides the exit code
    std::string text;
};
template <class T> using Explained = std::expected<T, Failure>;

inline std::unexpected<Failure> explain(Errc code, std::string text) {
    return std::unexpected(Failure{code, std::move(text)});
}
inline std::unexpected<Failure> explain(const Error &error, std::string_view subject) {
    std::string text{subject};
    text += ": " + to_string(error);
    if ((error.code == Errc::system || error.code == Errc::missing) && error.detail != 0)
        text += std::string{": "} + std::strerror(static_cast<int>(error.detail));
    return std::unexpected(Failure{error.code, std::move(text)});
}

} // namespace cvmin
