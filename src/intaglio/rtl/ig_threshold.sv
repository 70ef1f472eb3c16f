// Counts thresholds: y = BASE + number of thresholds t_k with x >= t_k, per channel.
//
// Pulses in, pulses out; latency 4 cycles, one pulse per cycle, no stall. Thresholds are signed,
// have IN_BITS + 1 bits and must ascend (t_0 <= t_1 <= ...; equal ones count each): simulation
// asserts it. Pulse number n of a frame uses word n mod WORDS of FILE, which holds COUNT thresholds
// for every lane, lane 0 and t_0 lowest. With WORDS = 1 they are constants.
//
// The comparisons of ascending thresholds form a thermometer code, so a binary search through it
// replaces the adders. OUT_BITS must hold BASE and BASE + COUNT: it does not saturate.
module ig_threshold #(
  parameter int unsigned LANES      = 1,
  parameter int unsigned IN_BITS    = 16,
  parameter int unsigned IN_SIGNED  = 1,
  parameter int unsigned COUNT      = 3,   // thresholds per channel, >= 1
  parameter int          BASE       = 0,   // y below every threshold
  parameter int unsigned OUT_BITS   = 2,
  parameter int unsigned OUT_SIGNED = 0,
  parameter int unsigned WORDS      = 1,   // pulses per period of the thresholds
  // $readmemh file of WORDS words
  parameter FILE = ""  // verilog_lint: waive explicit-parameter-storage-type
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
  localparam int unsigned TBits = IN_BITS + 1;
  localparam int unsigned Address = WORDS > 1 ? $clog2(WORDS) : 1;
  localparam int unsigned Levels = $clog2(COUNT + 1);  // bits of the count

  logic [3:0] valid_q, last_q;
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[2:0], valid_i} : '0;
    last_q  <= {last_q[2:0], last_i};
  end
  assign valid_o = valid_q[3];
  assign last_o  = last_q[3];

  // Thresholds: addressed in the cycle of the pulse, here two cycles later.
  logic [Address-1:0] address;
  logic [LANES-1:0][COUNT-1:0][TBits-1:0] word;

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
    .WIDTH(LANES * COUNT * TBits), .DEPTH(WORDS), .FILE(FILE), .BLOCK(0)
  ) u_rom (
    .clk_i, .addr_i(address), .data_o(word)
  );

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    logic signed [TBits-1:0] x1_q, x2_q;
    logic [COUNT-1:0] reached, reached_q;
    logic [Levels-1:0] count;
    logic [OUT_BITS-1:0] y_q;

    if (IN_SIGNED != 0) begin : g_signed
      always_ff @(posedge clk_i) x1_q <= {data_i[IN_BITS*(i+1)-1], data_i[IN_BITS*i+:IN_BITS]};
    end else begin : g_unsigned
      always_ff @(posedge clk_i) x1_q <= {1'b0, data_i[IN_BITS*i+:IN_BITS]};
    end
    for (genvar k = 0; k < COUNT; k++) begin : g_compare
      assign reached[k] = x2_q >= signed'(word[i][k]);
    end
    always_ff @(posedge clk_i) begin
      x2_q      <= x1_q;
      reached_q <= reached;
      y_q       <= OUT_BITS'(BASE) + OUT_BITS'(count);
    end

    // Number of ones of a code that is all ones below and all zeros above: from the highest bit of
    // the count down, look at the middle of what is left and keep the half in which the edge lies.
    always_comb begin
      logic [(1<<Levels)-1:0] code;
      code = (1 << Levels)'(reached_q);
      for (int l = int'(Levels) - 1; l >= 0; l--) begin
        count[l] = code[(1<<l)-1];
        if (count[l]) code = code >> (1 << l);
      end
    end
    assign data_o[OUT_BITS*i+:OUT_BITS] = y_q;

`ifndef SYNTHESIS
    always @(posedge clk_i) begin
      if (rst_ni && valid_q[2]) begin
        assert ((reached_q & (reached_q + 1'b1)) == '0)
        else $fatal(1, "%m: the thresholds do not ascend");
      end
    end
`endif
  end

`ifndef SYNTHESIS
  localparam longint Lowest = OUT_SIGNED != 0 ? -(64'sd1 <<< (OUT_BITS - 1)) : 0;
  localparam longint Highest = (64'sd1 <<< (OUT_SIGNED != 0 ? OUT_BITS - 1 : OUT_BITS)) - 1;
  initial begin
    assert (Lowest <= 64'(BASE) && 64'(BASE) + 64'(signed'({1'b0, COUNT})) <= Highest)
    else $fatal(1, "%m: BASE and COUNT do not suit OUT_BITS and OUT_SIGNED");
  end
`endif
endmodule
