// The device under test as Yosys' write_cxxrtl writes it; IG_TOP is the mangled name of its class. Memory contents are part
// of the generated code.
#include <cstdint>
#include <stdexcept>

#include "dut.cc"

class Dut {
  public:
    Dut(const char*, uint64_t, bool randomise) {
        if (randomise) throw std::runtime_error("CXXRTL has no random initial state");
        top_.step();
    }
    void drive(bool rst_n, bool valid, const uint32_t* data, bool last, bool ready) {
        top_.p_clk__i.set<bool>(false);
        top_.p_rst__ni.set<bool>(rst_n);
        top_.p_valid__i.set<bool>(valid);
        for (std::size_t i = 0; i < top_.p_data__i.chunks; ++i) top_.p_data__i.data[i] = data[i];
        top_.p_last__i.set<bool>(last);
        top_.p_ready__i.set<bool>(ready);
        top_.step();
    }
    void edge() {
        top_.p_clk__i.set<bool>(true);
        top_.step();
    }
    bool ready() const { return top_.p_ready__o.get<bool>(); }
    bool valid() const { return top_.p_valid__o.get<bool>(); }
    bool last() const { return top_.p_last__o.get<bool>(); }
    void data(uint32_t* words) const {
        for (std::size_t i = 0; i < top_.p_data__o.chunks; ++i) words[i] = top_.p_data__o.data[i];
    }

  private:
    cxxrtl_design::IG_TOP top_;
};
