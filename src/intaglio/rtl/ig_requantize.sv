// Scales, shifts and clips: y = clip((x * m + o) >>> SHIFT, LOW, HIGH), m and o per channel.
//
// Pulses in, pulses out; latency 4 cycles, one pulse per cycle, no stall. m and o are signed. Pulse
// number n of a frame uses word n mod WORDS of FILE, which holds {o, m} for every lane, lane 0
// lowest and m in the low bits. With WORDS = 1 both are constants and the tools reduce the
// arithmetic to what they need.
//
// All intermediate values are wide enough: nothing overflows. The shift rounds down; to round half
// up, put half a unit into o. It does not check that LOW and HIGH suit OUT_BITS (simulation
// asserts).
module ig_requantize #(
  parameter int unsigned LANES      = 1,
  parameter int unsigned IN_BITS    = 16,
  parameter int unsigned IN_SIGNED  = 1,
  parameter int unsigned OUT_BITS   = 8,
  parameter int unsigned OUT_SIGNED = 1,
  parameter int unsigned M_BITS     = 8,   // bits of m; 0: m = 1, and FILE holds only o
  parameter int unsigned O_BITS     = 16,  // bits of o, >= 1
  parameter int unsigned SHIFT      = 8,   // may be 0, or more than the width of the sum
  // Untyped, so that literals of 32 and of 64 bits are both accepted.
  parameter LOW  = -128,  // verilog_lint: waive explicit-parameter-storage-type
  parameter HIGH = 127,   // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned WORDS      = 1,   // pulses per period of m and o
  // $readmemh file of WORDS words
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned DSP        = 1,   // 1: multiplier blocks, 0: adders
  parameter int unsigned BLOCK      = 0    // 1: constants in block RAM, 0: in logic
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,
  // pulses in
  input  logic                      valid_i,
  input  logic [LANES*IN_BITS-1:0]  data_i,
  input  logic                      last_i,
  // pulses out
  output logic                      valid_o,
  output logic [LANES*OUT_BITS-1:0] data_o,
  output logic                      last_o
);
  localparam int unsigned XBits = IN_BITS + 32'(IN_SIGNED == 0);  // x as a signed number
  localparam int unsigned PBits = M_BITS == 0 ? XBits : IN_BITS + M_BITS;
  localparam int unsigned SumBits = (PBits > O_BITS ? PBits : O_BITS) + 1;
  localparam int unsigned Kept = SHIFT < SumBits ? SumBits - SHIFT : 1;  // bits after the shift
  localparam int unsigned RBits = Kept > OUT_BITS + 1 ? Kept : OUT_BITS + 1;
  localparam int unsigned Address = WORDS > 1 ? $clog2(WORDS) : 1;
  localparam int unsigned Pair = M_BITS + O_BITS;
  localparam longint Low = 64'(LOW);
  localparam longint High = 64'(HIGH);
  // Bounds of the form -2^k and 2^k - 1 need no comparison, only the bits above k.
  localparam logic LowIsPower = Low <= 0 && (-Low & (-Low - 1)) == 0;
  localparam logic HighIsPower = High >= 0 && (High & (High + 1)) == 0;

  logic [3:0] valid_q, last_q;
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[2:0], valid_i} : '0;
    last_q  <= {last_q[2:0], last_i};
  end
  assign valid_o = valid_q[3];
  assign last_o  = last_q[3];

  // Constants: addressed in the cycle of the pulse, here two cycles later.
  logic [Address-1:0] address;
  logic [LANES-1:0][Pair-1:0] word;

  if (WORDS == 1) begin : g_constant
    assign address = '0;
  end else begin : g_address
    logic [Address-1:0] address_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) address_q <= '0;
      else if (valid_i) begin
        address_q <= (address_q == Address'(WORDS - 1) || last_i) ? '0 : address_q + 1'b1;
      end
    end
    assign address = address_q;
  end
  ig_rom #(
    .WIDTH(LANES * Pair), .DEPTH(WORDS), .FILE(FILE), .BLOCK(BLOCK)
  ) u_rom (
    .clk_i, .addr_i(address), .data_o(word)
  );

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    logic signed [XBits-1:0] x1_q, x2_q;
    logic signed [O_BITS-1:0] o;
    logic signed [SumBits-1:0] sum;  // in the fourth cycle, before its register
    logic signed [RBits-1:0] r;
    logic [OUT_BITS-1:0] y_q;
    logic under, over;

    if (IN_SIGNED != 0) begin : g_signed
      always_ff @(posedge clk_i) x1_q <= data_i[IN_BITS*i+:IN_BITS];
    end else begin : g_unsigned
      always_ff @(posedge clk_i) x1_q <= {1'b0, data_i[IN_BITS*i+:IN_BITS]};
    end
    always_ff @(posedge clk_i) x2_q <= x1_q;
    assign o = word[i][Pair-1:M_BITS];

    if (M_BITS == 0) begin : g_offset
      logic signed [SumBits-1:0] sum_q;
      always_ff @(posedge clk_i) sum_q <= SumBits'(x2_q) + SumBits'(o);
      assign sum = sum_q;
    end else begin : g_scale
      logic [PBits-1:0] product;
      logic signed [PBits-1:0] product_q;
      logic signed [O_BITS-1:0] o_q;

      ig_multiply #(
        .A_BITS(IN_BITS), .A_SIGNED(IN_SIGNED), .B_BITS(M_BITS), .B_SIGNED(1), .DSP(DSP)
      ) u_multiply (
        .a_i(x2_q[IN_BITS-1:0]), .b_i(word[i][M_BITS-1:0]), .p_o(product)
      );
      always_ff @(posedge clk_i) begin
        product_q <= product;
        o_q       <= o;
      end
      assign sum = SumBits'(product_q) + SumBits'(o_q);
    end

    assign r = RBits'(sum >>> SHIFT);
    if (LowIsPower) begin : g_low_bits
      assign under = r[RBits-1] && (Low == 0 || (~r >> $clog2(-Low)) != '0);
    end else begin : g_low
      assign under = r < RBits'(Low);
    end
    if (HighIsPower) begin : g_high_bits
      assign over = !r[RBits-1] && (r >> $clog2(High + 1)) != '0;
    end else begin : g_high
      assign over = r > RBits'(High);
    end

    always_ff @(posedge clk_i) begin
      y_q <= under ? OUT_BITS'(Low) : over ? OUT_BITS'(High) : r[OUT_BITS-1:0];
    end
    assign data_o[OUT_BITS*i+:OUT_BITS] = y_q;
  end

`ifndef SYNTHESIS
  localparam longint Lowest = OUT_SIGNED != 0 ? -(64'sd1 <<< (OUT_BITS - 1)) : 0;
  localparam longint Highest = (64'sd1 <<< (OUT_SIGNED != 0 ? OUT_BITS - 1 : OUT_BITS)) - 1;
  initial begin
    assert (Lowest <= Low && Low <= High && High <= Highest)
    else $fatal(1, "%m: LOW and HIGH do not suit OUT_BITS and OUT_SIGNED");
  end
`endif
endmodule
