// What a verifier service may answer: the first line as a Location, the rest as a session and as a problem document.
// What is taken is within limits, on the server that was asked, and harmless on a terminal.
#include "common/claims.hpp"
#include "host-tools/verifier_client/verifier_client.hpp"

#include <cstdlib>

using namespace cvmin;

static void check_printable(std::string_view text) {
    for (const char c : text)
        if (c < ' ' || c > '~')
            std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    const ByteView input = std::as_bytes(std::span{data, size});
    const std::string_view text = as_text(input);
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto url = resolve_on_origin("https://verifier.example/challenge-response/v1/newSession",
                                       std::string{text.substr(0, end)});
    if (url ? !url->starts_with("https://") : url.error().text.empty())
        std::abort();
    if (!url)
        check_printable(url.error().text);
    else if (std::ranges::any_of(*url, [](char c) { return c == '\r' || c == '\n'; }) ||
             !resolve_on_origin("https://verifier.example/", *url)) // still there when it is asked
        std::abort();

    const ByteView body = input.subspan(std::min(end + 1, size));
    if (const auto session = parse_session_document(body)) {
        if (session->nonce.size() < min_nonce_size || session->nonce.size() > max_nonce_size ||
            session->accept.size() > max_session_accept ||
            (session->status == SessionDocument::Status::complete) == session->result.empty())
            std::abort();
        for (const std::string &type : session->accept)
            if (type.size() > max_media_type_size)
                std::abort();
        check_printable(session->result);
    }
    const ProblemDetails problem = parse_problem_details(body);
    for (const std::string &words : {problem.type, problem.title, problem.detail}) {
        check_printable(words);
        if (words.size() > 400)
            std::abort();
    }
    return 0;
}
