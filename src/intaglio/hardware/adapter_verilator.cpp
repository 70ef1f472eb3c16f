// The device under test as Verilator builds it. Ports narrower than 65 bits are integers, wider ones are VlWide.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "Vdut.h"
#include "verilated.h"

// Verilator ends the process on these; the Python that loaded us must live on. The runtime is built with VL_USER_*.
void vl_finish(const char*, int, const char*) {}
void vl_stop(const char* file, int line, const char*) {
    throw std::runtime_error(std::string("assertion failed at ") + file + ":" + std::to_string(line));
}
// A memory file that is missing is only a warning to Verilator.
void vl_warn(const char* file, int, const char*, const char* message) {
    throw std::runtime_error(std::string(file) + ": " + message);
}
void vl_fatal(const char* file, int line, const char*, const char* message) {
    throw std::runtime_error(std::string(message) + " at " + file + ":" + std::to_string(line));
}

template <class T>
void put(T& port, const uint32_t* words) {
    uint64_t value = words[0];
    if constexpr (sizeof(T) == 8) value |= static_cast<uint64_t>(words[1]) << 32;
    port = static_cast<T>(value);
}
template <std::size_t N>
void put(VlWide<N>& port, const uint32_t* words) {
    for (std::size_t i = 0; i < N; ++i) port[i] = words[i];
}
template <class T>
void get(const T& port, uint32_t* words) {
    words[0] = static_cast<uint32_t>(port);
    if constexpr (sizeof(T) == 8) words[1] = static_cast<uint32_t>(static_cast<uint64_t>(port) >> 32);
}
template <std::size_t N>
void get(const VlWide<N>& port, uint32_t* words) {
    for (std::size_t i = 0; i < N; ++i) words[i] = port[i];
}

class Dut {
  public:
    // `initial` blocks run here, with `directory` as the working directory: $readmemh has bare file names.
    Dut(const char* directory, uint64_t seed, bool randomise) {
        context_.randReset(randomise ? 2 : 0);
        context_.randSeed(static_cast<int>(seed % 0x7ffffffe) + 1);
        top_ = std::make_unique<Vdut>(&context_);
        const int home = open(".", O_RDONLY);
        if (chdir(directory) != 0) throw std::runtime_error(std::string("no directory ") + directory);
        std::string error;
        try {
            top_->clk_i = 0;
            top_->eval();
        } catch (const std::exception& e) {
            error = e.what();
        }
        if (home >= 0) {
            if (fchdir(home) != 0 && error.empty()) error = "the working directory is gone";
            close(home);
        }
        if (!error.empty()) throw std::runtime_error(error);
    }

    void drive(bool rst_n, const Offers& offers, const Readies& readies) {
        top_->clk_i = 0;
        top_->rst_ni = rst_n;
#define IG_DRIVE(k, prefix)                \
    top_->prefix##valid_i = offers[k].valid; \
    put(top_->prefix##data_i, offers[k].data); \
    top_->prefix##last_i = offers[k].last;
        IG_IN(IG_DRIVE)
#define IG_DRIVE_READY(k, prefix) top_->prefix##ready_i = readies[k];
        IG_OUT(IG_DRIVE_READY)
        top_->eval();
    }
    void edge() {
        top_->clk_i = 1;
        top_->eval();
    }
#define IG_READY(k, prefix) case k: return top_->prefix##ready_o;
#define IG_VALID(k, prefix) case k: return top_->prefix##valid_o;
#define IG_LAST(k, prefix) case k: return top_->prefix##last_o;
#define IG_DATA(k, prefix) case k: get(top_->prefix##data_o, words); break;
    bool ready(int stream) const {
        switch (stream) { IG_IN(IG_READY) }
        return false;
    }
    bool valid(int stream) const {
        switch (stream) { IG_OUT(IG_VALID) }
        return false;
    }
    bool last(int stream) const {
        switch (stream) { IG_OUT(IG_LAST) }
        return false;
    }
    void data(int stream, uint32_t* words) const {
        switch (stream) { IG_OUT(IG_DATA) }
    }

  private:
    VerilatedContext context_;
    std::unique_ptr<Vdut> top_;
};
