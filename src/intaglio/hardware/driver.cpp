// Drives frames through a stream design, checks the protocol on its output and records when beats were accepted.
//
// Cycle t: inputs settle with the clock low, transfers are observed, then the clock rises. Cycle 0 is the first one after the
// opening reset. IG_ADAPTER names the file that defines `class Dut`;
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include IG_ADAPTER

namespace {

// What went wrong on the output; the order is that of _RULES in simulate.py.
enum Rule { kWithdrawn, kChanged, kLast, kSpurious, kCombinational, kRules };

// Inputs of a run; mirrored by _Config in simulate.py.
struct Config {
    int64_t frames, in_beats, in_words, in_bits, out_beats, out_words;
    int64_t reset_count, max_cycles, patience, silence;
    int64_t isolated, probe, randomise;
    uint64_t seed, stall_in, stall_out;  // a side stalls when a random 32-bit number is below its figure
};

// Results of a run; mirrored by _Result in simulate.py.
struct Result {
    int64_t cycles, frames_done;
    int64_t count[kRules], first[kRules];
    char message[512];
};

struct Buffers {
    const uint32_t* in;
    uint32_t* out;
    int64_t *first_in, *last_out, *beats_in, *beats_out;  // the last two may be null
    const int64_t* resets;
};

class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u) {}
    uint64_t next() {  // splitmix64
        uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    bool below(uint64_t figure) { return figure != 0 && (next() >> 32) < figure; }

  private:
    uint64_t state_;
};

class Run {
  public:
    Run(Dut& dut, const Config& config, const Buffers& buffers, Result& result)
        : dut_(dut), c_(config), b_(buffers), r_(result), random_in_(config.seed * 2), random_out_(config.seed * 2 + 1),
          junk_(config.in_words), seen_(config.out_words), held_(config.out_words), probed_(config.out_words) {}

    void operator()() {
        for (int i = 0; i < 2; ++i) {
            dut_.drive(false, false, word(), false, false);
            dut_.edge();
        }
        for (cycle_ = 0; !finished(); ++cycle_) {
            if (cycle_ == c_.max_cycles || idle_ > c_.patience) break;
            step();
            dut_.edge();
        }
        r_.frames_done = out_frame_;
        if (out_frame_ < c_.frames) r_.cycles = cycle_;
    }

  private:
    bool finished() const { return out_frame_ == c_.frames && quiet_ >= c_.silence; }

    // The word to offer, or, while nothing is offered, its complement: a design must not look at it.
    const uint32_t* word() {
        const bool more = in_frame_ < c_.frames;
        const uint32_t* next = b_.in + (more ? (in_frame_ * c_.in_beats + in_beat_) * c_.in_words : 0);
        if (offering_) return next;
        for (int64_t i = 0; i < c_.in_words; ++i) {
            const int64_t bits = c_.in_bits - 32 * i;
            junk_[i] = ~next[i] & (bits >= 32 ? ~0u : (1u << bits) - 1);
        }
        return junk_.data();
    }

    // Whether the next beat may be offered: an isolated frame waits for an empty, quiet pipe.
    bool pending() const {
        if (in_frame_ == c_.frames) return false;
        return !c_.isolated || in_beat_ > 0 || (out_frame_ == in_frame_ && (in_frame_ == 0 || quiet_ >= c_.silence));
    }

    void step() {
        const bool reset = reset_ < c_.reset_count && b_.resets[reset_] == cycle_;
        if (!offering_) offering_ = pending() && !random_in_.below(c_.stall_in);
        const bool ready = !random_out_.below(c_.stall_out);
        const bool last = offering_ ? in_beat_ == c_.in_beats - 1 : true;
        const uint32_t* data = word();
        if (c_.probe) probe(!reset, data, last, ready);
        dut_.drive(!reset, offering_, data, last, ready);
        ++idle_;
        ++quiet_;
        if (reset) {
            ++reset_;
            restart();
            return;
        }
        const bool accepted = offering_ && dut_.ready();
        if (c_.probe && followed_ready()) broken(kCombinational);
        if (accepted) accept();
        observe(ready);
    }

    // Settles once with ready_i inverted: no output may follow it.
    void probe(bool rst_n, const uint32_t* data, bool last, bool ready) {
        dut_.drive(rst_n, offering_, data, last, !ready);
        probed_state_ = state();
        dut_.data(probed_.data());
    }
    bool followed_ready() {
        dut_.data(seen_.data());
        return probed_state_ != state() || (dut_.valid() && seen_ != probed_);
    }
    int state() const { return dut_.ready() | dut_.valid() << 1 | dut_.last() << 2; }

    void accept() {
        idle_ = 0;
        offering_ = false;
        if (in_beat_ == 0) b_.first_in[in_frame_] = cycle_;
        if (b_.beats_in) b_.beats_in[in_frame_ * c_.in_beats + in_beat_] = cycle_;
        started_ = in_frame_ + 1;
        if (++in_beat_ == c_.in_beats) {
            in_beat_ = 0;
            ++in_frame_;
        }
    }

    void observe(bool ready) {
        const bool valid = dut_.valid();
        const bool last = dut_.last();
        if (stalled_ && !valid) broken(kWithdrawn);
        if (!valid) {
            stalled_ = false;
            return;
        }
        quiet_ = 0;
        dut_.data(seen_.data());
        if (stalled_ && (last != held_last_ || seen_ != held_)) broken(kChanged);
        stalled_ = !ready;
        held_last_ = last;
        if (stalled_) held_ = seen_;
        if (ready) take(last);
    }

    void take(bool last) {
        if (out_frame_ >= started_) {  // no input of this frame was accepted yet, or there is no such frame
            broken(kSpurious);
            return;
        }
        idle_ = 0;
        const int64_t beat = out_frame_ * c_.out_beats + out_beat_;
        std::memcpy(b_.out + beat * c_.out_words, seen_.data(), 4 * c_.out_words);
        if (b_.beats_out) b_.beats_out[beat] = cycle_;
        const bool final_beat = out_beat_ == c_.out_beats - 1;
        if (last != final_beat) broken(kLast);
        ++out_beat_;
        if (!final_beat) return;
        b_.last_out[out_frame_] = cycle_;
        r_.cycles = cycle_ + 1;
        out_beat_ = 0;
        ++out_frame_;
    }

    // After a reset everything in flight is gone: start again with the first frame whose output is not complete.
    void restart() {
        offering_ = stalled_ = false;
        in_frame_ = started_ = out_frame_;
        in_beat_ = out_beat_ = 0;
        idle_ = 0;
    }

    void broken(Rule rule) {
        if (r_.count[rule]++ == 0) r_.first[rule] = cycle_;
    }

    Dut& dut_;
    const Config& c_;
    const Buffers& b_;
    Result& r_;
    Random random_in_, random_out_;
    std::vector<uint32_t> junk_, seen_, held_, probed_;
    int64_t cycle_ = 0, idle_ = 0, quiet_ = 0, reset_ = 0, started_ = 0;
    int64_t in_frame_ = 0, in_beat_ = 0, out_frame_ = 0, out_beat_ = 0;
    int probed_state_ = 0;
    bool offering_ = false, stalled_ = false, held_last_ = false;
};

}  // namespace

#define IG_PUBLIC extern "C" __attribute__((visibility("default")))

namespace {

// Runs `body`; an exception (a failed assertion, a missing memory file) becomes the result's message and `failed`.
template <class Value, class Body>
Value guarded(Result* result, Value failed, Body body) {
    try {
        return body();
    } catch (const std::exception& error) {
        std::snprintf(result->message, sizeof result->message, "%s", error.what());
        return failed;
    }
}

}  // namespace

// A powered-up design, or null. Not thread-safe: the working directory changes for a moment.
IG_PUBLIC Dut* ig_create(const char* directory, const Config* config, Result* result) {
    return guarded<Dut*>(result, nullptr, [&] { return new Dut(directory, config->seed, config->randomise != 0); });
}

// Returns 0, or 1 when the design stopped itself.
IG_PUBLIC int ig_run(Dut* dut, const Config* config, const Buffers* buffers, Result* result) {
    return guarded(result, 1, [&] {
        Run(*dut, *config, *buffers, *result)();
        return 0;
    });
}

IG_PUBLIC void ig_destroy(Dut* dut) { delete dut; }
