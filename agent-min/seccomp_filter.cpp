#include "agent-min/seccomp_filter.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace cvmin::agent {

namespace {

constexpr std::uint32_t x32_bit = 0x4000'0000; // __X32_SYSCALL_BIT, which marks the calls of a third architecture
// One past the largest number that is listed; the numbers above are all unknown.
constexpr std::size_t number_limit = [] {
    std::size_t limit = 0;
    for (const SyscallRule &rule : syscall_rules)
        limit = std::max<std::size_t>(limit, rule.number + 1u);
    for (const ArgumentRule &rule : argument_rules)
        limit = std::max<std::size_t>(limit, rule.number + 1u);
    return limit;
}();

// A call that is listed twice would be treated as its last line says, whatever a reader finds first.
constexpr bool each_number_once = [] {
    std::array<std::uint8_t, number_limit> lines{};
    for (const SyscallRule &rule : syscall_rules)
        ++lines[rule.number];
    for (const ArgumentRule &rule : argument_rules)
        ++lines[rule.number];
    return std::ranges::max(lines) == 1;
}();
static_assert(each_number_once);

constexpr sock_filter statement(std::uint16_t code, std::uint32_t value) {
    return {code, 0, 0, value};
}
constexpr sock_filter jump(std::uint16_t code, std::uint32_t value, std::uint8_t if_true, std::uint8_t if_false) {
    return {code, if_true, if_false, value};
}
constexpr std::uint16_t load = BPF_LD | BPF_W | BPF_ABS;
constexpr std::uint16_t jump_equal = BPF_JMP | BPF_JEQ | BPF_K;
constexpr std::uint16_t jump_bits = BPF_JMP | BPF_JSET | BPF_K;
constexpr std::uint16_t jump_not_below = BPF_JMP | BPF_JGE | BPF_K;
constexpr std::uint16_t give = BPF_RET | BPF_K;

struct Program {
    std::array<sock_filter, 1024> code{}; // about 300 are used; the compiler complains of too many
    std::size_t size = 0;
    constexpr void add(sock_filter instruction) { code[size++] = instruction; }
};

// Numbers in order, neighbours of one action together: a run ends where the next one begins, and whoever is below its
// end is in it.
constexpr Program program = [] {
    std::array<std::uint32_t, number_limit> action{};
    std::array<const ArgumentRule *, number_limit> by_argument{};
    action.fill(on_call::absent);
    for (const SyscallRule &rule : syscall_rules)
        action[rule.number] = rule.action;
    for (const ArgumentRule &rule : argument_rules)
        by_argument[rule.number] = &rule;

    Program out;
    out.add(statement(load, offsetof(seccomp_data, arch)));
    out.add(jump(jump_equal, AUDIT_ARCH_X86_64, 1, 0));
    out.add(statement(give, on_call::kill));
    out.add(statement(load, offsetof(seccomp_data, nr)));
    out.add(jump(jump_bits, x32_bit, 0, 1));
    out.add(statement(give, on_call::kill));
    for (std::size_t start = 0; start < number_limit;) {
        std::size_t end = start + 1;
        if (const ArgumentRule *rule = by_argument[start]; rule != nullptr) {
            const auto tests = static_cast<std::uint8_t>(rule->values.size());
            out.add(jump(jump_not_below, static_cast<std::uint32_t>(end), static_cast<std::uint8_t>(tests + 3), 0));
            // the lower half: x86-64 is little-endian
            out.add(statement(load, offsetof(seccomp_data, args) + std::uint32_t{8} * rule->argument));
            for (std::uint8_t i = 0; i < tests; ++i)
                out.add(jump(rule->test == ArgumentRule::Test::one_of ? jump_equal : jump_bits, rule->values[i],
                             static_cast<std::uint8_t>(tests - i), 0));
            out.add(statement(give, rule->otherwise));
            out.add(statement(give, rule->then));
        } else {
            while (end < number_limit && by_argument[end] == nullptr && action[end] == action[start])
                ++end;
            out.add(jump(jump_not_below, static_cast<std::uint32_t>(end), 1, 0));
            out.add(statement(give, action[start]));
        }
        start = end;
    }
    out.add(statement(give, on_call::absent));
    return out;
}();

constexpr auto filter = [] {
    std::array<sock_filter, program.size> exact{};
    std::ranges::copy_n(program.code.begin(), program.size, exact.begin());
    return exact;
}();
static_assert(filter.size() <= BPF_MAXINSNS);

} // namespace

std::span<const sock_filter> algorithm_filter() {
    return filter;
}

} // namespace cvmin::agent
