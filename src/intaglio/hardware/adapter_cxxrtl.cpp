// The device under test as Yosys' write_cxxrtl writes it; IG_TOP is the mangled name of its class, the prefixes are mangled, too. Memory contents are part
// of the generated code.
#include <cstdint>
#include <stdexcept>

#include "dut.cc"

template <class Port>
void put(Port& port, const uint32_t* words) {
    for (std::size_t i = 0; i < Port::chunks; ++i) port.data[i] = words[i];
}
template <class Port>
void get(const Port& port, uint32_t* words) {
    for (std::size_t i = 0; i < Port::chunks; ++i) words[i] = port.data[i];
}

class Dut {
  public:
    Dut(const char*, uint64_t, bool randomise) {
        if (randomise) throw std::runtime_error("CXXRTL has no random initial state");
        top_.step();
    }
    void drive(bool rst_n, const Offers& offers, const Readies& readies) {
        top_.p_clk__i.set<bool>(false);
        top_.p_rst__ni.set<bool>(rst_n);
#define IG_DRIVE(k, prefix)                               \
    top_.p_##prefix##valid__i.set<bool>(offers[k].valid); \
    put(top_.p_##prefix##data__i, offers[k].data);        \
    top_.p_##prefix##last__i.set<bool>(offers[k].last);
        IG_IN(IG_DRIVE)
#define IG_DRIVE_READY(k, prefix) top_.p_##prefix##ready__i.set<bool>(readies[k]);
        IG_OUT(IG_DRIVE_READY)
        top_.step();
    }
    void edge() {
        top_.p_clk__i.set<bool>(true);
        top_.step();
    }
#define IG_READY(k, prefix) case k: return top_.p_##prefix##ready__o.get<bool>();
#define IG_VALID(k, prefix) case k: return top_.p_##prefix##valid__o.get<bool>();
#define IG_LAST(k, prefix) case k: return top_.p_##prefix##last__o.get<bool>();
#define IG_DATA(k, prefix) case k: get(top_.p_##prefix##data__o, words); break;
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
    cxxrtl_design::IG_TOP top_;
};
