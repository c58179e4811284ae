// One request to an agent and the answer that it must have.
#pragma once

#include "host-tools/base/explained.hpp"
#include "host-tools/session/session.hpp"

namespace cvmin {

// refused: the agent's own words; malformed: another kind of answer; the errors of Session::request.
template <class Answer> Explained<Answer> ask(Session &session, const Request &request, Deadline deadline) {
    auto answer = session.request(request, deadline);
    if (!answer)
        return explain(answer.error(), "the agent");
    if (const auto *refusal = std::get_if<response::Failure>(&*answer))
        return explain(Errc::refused, "the agent answered " + std::string{name(refusal->code)} + ": " + refusal->text);
    auto *wanted = std::get_if<Answer>(&*answer);
    if (wanted == nullptr)
        return explain(Errc::malformed, "the agent gave another answer than was asked for");
    return std::move(*wanted);
}

} // namespace cvmin
