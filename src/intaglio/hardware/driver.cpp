// Drives frames through a stream design, checks the protocol on its outputs and records when beats were accepted.
//
// Cycle t: inputs settle with the clock low, transfers are observed, then the clock rises. Cycle 0 is the first one after the
// opening reset. Defined before this file: IG_ADAPTER, the file that defines `class Dut`; IG_IN(X) and IG_OUT(X), which
// call X(stream, prefix of its ports) for every stream in and out; IG_INS and IG_OUTS, how many there are.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

// What a stream in, and a stream out, is driven with in a cycle.
struct Offer {
    bool valid;
    const uint32_t* data;
    bool last;
};
using Offers = std::array<Offer, IG_INS>;
using Readies = std::array<bool, IG_OUTS>;

#include IG_ADAPTER

namespace {

// What went wrong on an output; the order is that of _RULES in simulate.py.
enum Rule { kWithdrawn, kChanged, kLast, kSpurious, kCombinational, kRules };

// Inputs of a run; mirrored by _Config in simulate.py.
struct Config {
    int64_t frames, reset_count, max_cycles, patience, silence;
    int64_t isolated, probe, randomise;
    uint64_t seed, stall_in, stall_out;  // a side stalls when a random 32-bit number is below its figure
    const int64_t* resets;
};

// Results of a run; mirrored by _Result in simulate.py. stream: the output that broke a rule first, -1 for no single one.
struct Result {
    int64_t cycles, frames_done;
    int64_t count[kRules], first[kRules], stream[kRules];
    char message[512];
};

// One stream, first those in, then those out; mirrored by _Port in simulate.py. times: when frames began to enter, or
// had left. every: when beats moved; may be null.
struct Port {
    int64_t beats, words, bits;
    uint32_t* data;
    int64_t *times, *every;
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

// Where a stream is: the next beat of the next frame.
struct Place {
    const Port* port = nullptr;
    int64_t frame = 0, beat = 0;

    int64_t index() const { return frame * port->beats + beat; }
    void restart(int64_t at) {
        frame = at;
        beat = 0;
    }
    // Moves one beat on; true when that was the last of its frame.
    bool next() {
        if (++beat < port->beats) return false;
        beat = 0;
        ++frame;
        return true;
    }
};

struct Source : Place {
    Random random{0};
    std::vector<uint32_t> junk;
    bool offering = false;

    // The word to offer, or, while nothing is offered, its complement: a design must not look at it.
    const uint32_t* word(int64_t frames) {
        const uint32_t* next = port->data + (frame < frames ? index() * port->words : 0);
        if (offering) return next;
        for (int64_t i = 0; i < port->words; ++i) {
            const int64_t bits = port->bits - 32 * i;
            junk[i] = ~next[i] & (bits >= 32 ? ~0u : (1u << bits) - 1);
        }
        return junk.data();
    }
    void accept(int64_t cycle) {
        offering = false;
        if (beat == 0) port->times[frame] = cycle;
        if (port->every) port->every[index()] = cycle;
        next();
    }
};

struct Sink : Place {
    Random random{0};
    std::vector<uint32_t> seen, held, probed;
    bool stalled = false, held_last = false;
    int probed_state = 0;
};

class Run {
  public:
    Run(Dut& dut, const Config& config, const Port* ports, Result& result) : dut_(dut), c_(config), r_(result) {
        for (uint64_t k = 0; k < IG_INS; ++k) {
            sources_[k].port = ports + k;
            sources_[k].random = Random(config.seed * 2 + (k << 32));
            sources_[k].junk.resize(ports[k].words);
        }
        for (uint64_t k = 0; k < IG_OUTS; ++k) {
            Sink& sink = sinks_[k];
            sink.port = ports + IG_INS + k;
            sink.random = Random(config.seed * 2 + 1 + (k << 32));
            for (auto* words : {&sink.seen, &sink.held, &sink.probed}) words->resize(sink.port->words);
        }
    }

    void operator()() {
        for (int i = 0; i < 2; ++i) {
            for (int k = 0; k < IG_INS; ++k) offers_[k] = {false, sources_[k].word(c_.frames), false};
            dut_.drive(false, offers_, Readies{});
            dut_.edge();
        }
        for (cycle_ = 0; !finished(); ++cycle_) {
            if (cycle_ == c_.max_cycles || idle_ > c_.patience) break;
            step();
            dut_.edge();
        }
        r_.frames_done = done_;
        if (done_ < c_.frames) r_.cycles = cycle_;
    }

  private:
    bool finished() const { return done_ == c_.frames && quiet_ >= c_.silence; }

    // How many frames may be sent: an isolated one waits for an empty, quiet pipe.
    void open() {
        if (!c_.isolated) opened_ = c_.frames;
        else if (opened_ < c_.frames && opened_ == done_ && (opened_ == 0 || quiet_ >= c_.silence)) ++opened_;
    }

    void step() {
        const bool reset = reset_ < c_.reset_count && c_.resets[reset_] == cycle_;
        open();
        for (int k = 0; k < IG_INS; ++k) {
            Source& source = sources_[k];
            if (!source.offering) source.offering = source.frame < opened_ && !source.random.below(c_.stall_in);
            const bool last = source.offering ? source.beat == source.port->beats - 1 : true;
            offers_[k] = {source.offering, source.word(c_.frames), last};
        }
        for (int k = 0; k < IG_OUTS; ++k) readies_[k] = !sinks_[k].random.below(c_.stall_out);
        if (c_.probe) probe(!reset);
        dut_.drive(!reset, offers_, readies_);
        ++idle_;
        ++quiet_;
        if (reset) {
            ++reset_;
            restart();
            return;
        }
        if (c_.probe && followed_ready()) broken(kCombinational, -1);
        for (int k = 0; k < IG_INS; ++k) {
            if (!sources_[k].offering || !dut_.ready(k)) continue;
            idle_ = 0;
            started_ = std::max(started_, sources_[k].frame + 1);
            sources_[k].accept(cycle_);
        }
        for (int k = 0; k < IG_OUTS; ++k) observe(k);
    }

    // Settles once with every ready_i inverted: no output may follow it.
    void probe(bool rst_n) {
        Readies other;
        for (int k = 0; k < IG_OUTS; ++k) other[k] = !readies_[k];
        dut_.drive(rst_n, offers_, other);
        for (int k = 0; k < IG_INS; ++k) probed_ready_[k] = dut_.ready(k);
        for (int k = 0; k < IG_OUTS; ++k) {
            sinks_[k].probed_state = state(k);
            dut_.data(k, sinks_[k].probed.data());
        }
    }
    bool followed_ready() {
        bool followed = false;
        for (int k = 0; k < IG_INS; ++k) followed |= probed_ready_[k] != dut_.ready(k);
        for (int k = 0; k < IG_OUTS; ++k) {
            Sink& sink = sinks_[k];
            dut_.data(k, sink.seen.data());
            followed |= sink.probed_state != state(k) || (dut_.valid(k) && sink.seen != sink.probed);
        }
        return followed;
    }
    int state(int k) const { return dut_.valid(k) | dut_.last(k) << 1; }

    void observe(int k) {
        Sink& sink = sinks_[k];
        const bool valid = dut_.valid(k), last = dut_.last(k);
        if (sink.stalled && !valid) broken(kWithdrawn, k);
        if (!valid) {
            sink.stalled = false;
            return;
        }
        quiet_ = 0;
        dut_.data(k, sink.seen.data());
        if (sink.stalled && (last != sink.held_last || sink.seen != sink.held)) broken(kChanged, k);
        sink.stalled = !readies_[k];
        sink.held_last = last;
        if (sink.stalled) sink.held = sink.seen;
        if (!sink.stalled) take(k, last);
    }

    void take(int k, bool last) {
        Sink& sink = sinks_[k];
        if (sink.frame >= started_) {  // no input of this frame was accepted yet, or there is no such frame
            broken(kSpurious, k);
            return;
        }
        idle_ = 0;
        const Port& port = *sink.port;
        std::memcpy(port.data + sink.index() * port.words, sink.seen.data(), 4 * port.words);
        if (port.every) port.every[sink.index()] = cycle_;
        const int64_t frame = sink.frame;
        const bool final_beat = sink.next();
        if (last != final_beat) broken(kLast, k);
        if (!final_beat) return;
        port.times[frame] = cycle_;
        r_.cycles = cycle_ + 1;
        done_ = c_.frames;
        for (const Sink& other : sinks_) done_ = std::min(done_, other.frame);
    }

    // After a reset everything in flight is gone: start again with the first frame that has not left by every output.
    void restart() {
        for (Source& source : sources_) {
            source.offering = false;
            source.restart(done_);
        }
        for (Sink& sink : sinks_) {
            sink.stalled = false;
            sink.restart(done_);
        }
        started_ = opened_ = done_;
        idle_ = 0;
    }

    void broken(Rule rule, int64_t stream) {
        if (r_.count[rule]++ != 0) return;
        r_.first[rule] = cycle_;
        r_.stream[rule] = stream;
    }

    Dut& dut_;
    const Config& c_;
    Result& r_;
    std::array<Source, IG_INS> sources_;
    std::array<Sink, IG_OUTS> sinks_;
    Offers offers_{};
    Readies readies_{};
    std::array<bool, IG_INS> probed_ready_{};
    int64_t cycle_ = 0, idle_ = 0, quiet_ = 0, reset_ = 0;
    int64_t started_ = 0, opened_ = 0, done_ = 0;  // frames that have begun to enter, that may, that have left
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
IG_PUBLIC int ig_run(Dut* dut, const Config* config, const Port* ports, Result* result) {
    return guarded(result, 1, [&] {
        Run(*dut, *config, ports, *result)();
        return 0;
    });
}

IG_PUBLIC void ig_destroy(Dut* dut) { delete dut; }
