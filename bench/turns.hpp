// What the benchmarks in one process share: several ways to do something, in turns, so that whatever else the machine
// does falls on all of them; and the floor of P-384 that some of them stand beside. Prints nothing.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <span>
#include <vector>

#include <openssl/ec.h>
#include <openssl/evp.h>

namespace cvmin::bench {

inline double seconds() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time); // other work on a busy machine is not ours
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

inline void must(bool holds, const char *what) {
    if (holds)
        return;
    std::fprintf(stderr, "bench: %s\n", what);
    std::exit(1);
}

struct Run {
    const char *name;
    std::function<bool()> call; // false would be a wrong answer, and stops everything
    bool left_out = false;
    std::vector<double> times{}; // seconds per call; sorted by in_turns()
    double least() const { return times.front(); }
    double median() const { return times[times.size() / 2]; }
};

// Each `calls` times in every round. `rounds` is a command line's word.
inline void in_turns(std::span<Run> runs, int calls, const char *rounds) {
    const long wanted = std::strtol(rounds, nullptr, 10);
    must(wanted > 0, "wanted at least one round");
    for (long round = 0; round <= wanted; ++round) // the first only warms the caches
        for (Run &run : runs) {
            if (run.left_out)
                continue;
            const double began = seconds();
            for (int i = 0; i < calls; ++i)
                must(run.call(), run.name);
            if (round > 0)
                run.times.push_back((seconds() - began) / calls);
        }
    for (Run &run : runs)
        std::ranges::sort(run.times);
}

inline void print_microseconds(std::span<const Run> runs) {
    for (const Run &run : runs)
        std::printf("%s\t%.2f\t%.2f\n", run.name, run.least() * 1e6, run.median() * 1e6);
}

class P384Floor { // by libcrypto's EVP, its key ready
  public:
    P384Floor() {
        std::size_t size = sizeof signature_;
        must(EVP_PKEY_sign_init(sign_) == 1 && EVP_PKEY_sign(sign_, signature_, &size, digest_, sizeof digest_) == 1,
             "libcrypto cannot sign");
        size_ = size;
        must(EVP_PKEY_verify_init(verify_) == 1, "libcrypto cannot verify");
    }
    P384Floor(const P384Floor &) = delete;
    P384Floor &operator=(const P384Floor &) = delete;
    ~P384Floor() {
        EVP_PKEY_CTX_free(sign_);
        EVP_PKEY_CTX_free(verify_);
        EVP_PKEY_free(key_);
    }
    bool verify() { return EVP_PKEY_verify(verify_, signature_, size_, digest_, sizeof digest_) == 1; }
    bool sign() {
        unsigned char again[sizeof signature_];
        std::size_t written = sizeof again;
        return EVP_PKEY_sign(sign_, again, &written, digest_, sizeof digest_) == 1;
    }

  private:
    EVP_PKEY *key_ = EVP_EC_gen("P-384");
    EVP_PKEY_CTX *sign_ = EVP_PKEY_CTX_new(key_, nullptr), *verify_ = EVP_PKEY_CTX_new(key_, nullptr);
    unsigned char digest_[48] = {1}, signature_[128];
    std::size_t size_ = 0;
};

} // namespace cvmin::bench
