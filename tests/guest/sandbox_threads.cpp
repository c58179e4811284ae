// An ordinary program with threads, for the sandbox to run: a static one of glibc and libstdc++.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

int main() {
    std::vector<unsigned> numbers(1 << 16);
    std::mt19937 generator{std::random_device{}()};
    std::ranges::generate(numbers, generator);
    std::atomic<unsigned> sorted = 0;
    std::vector<std::thread> threads;
    const std::size_t part = numbers.size() / 8;
    for (std::size_t i = 0; i < 8; ++i)
        threads.emplace_back([&, i] {
            const auto first = numbers.begin() + static_cast<std::ptrdiff_t>(i * part);
            std::sort(first, first + static_cast<std::ptrdiff_t>(part));
            sorted += std::is_sorted(first, first + static_cast<std::ptrdiff_t>(part));
            std::this_thread::sleep_for(std::chrono::milliseconds{5});
        });
    for (std::thread &thread : threads)
        thread.join();
    try {
        std::ifstream in{"/in/numbers"};
        int total = 0;
        for (int value = 0; in >> value;)
            total += value;
        std::ofstream{"/out/total"} << total << '\n';
        throw std::runtime_error("exceptions work");
    } catch (const std::exception &error) {
        std::cout << sorted << " threads, " << error.what() << std::endl;
    }
}
