// A dot product of powers of two for ECP5: both exponents are added, and the sum opens one register of 15, in four
// groups of four, whose reset and whose bit are two of its digits. The lanes, one bit at its place and inverted where
// the weight is negative, are added as words: one full adder per place and lane, for the count of every exponent.
//
// Activations {exponent, nonzero}, weights {negative, exponent}; each negative weight takes one off the sum.
// Latency: 2 + ceil(clog2(SIMD) / 2) cycles.
module lane_places #(
  parameter int unsigned SIMD = 8,
  parameter int unsigned A_BITS = 4,
  localparam int unsigned W_BITS = 4,
  localparam int unsigned LaneBits = 16,
  localparam int unsigned SumBits = LaneBits + $clog2(SIMD)
) (
  input  logic                         clk_i,
  input  logic [SIMD-1:0][A_BITS-1:0]  a_i,
  input  logic [SIMD-1:0][W_BITS-1:0]  w_i,
  output logic [SumBits-1:0]           sum_o
);
  localparam int unsigned Depth = $clog2(SIMD);
  logic [SIMD-1:0][LaneBits-1:0] lanes_x, lanes_y;

  for (genvar s = 0; s < SIMD; s++) begin : g_lane
    logic [2:0] a, w;
    logic [3:0] open, digit_q;
    logic [15:0] places;
    logic [1:0] digit;
    logic bit_1, carry, negative_q, negative2_q;

    assign {a, w} = {a_i[s][3:1], w_i[s][2:0]};
    assign digit = {a_i[s][0] && (a[0] ^ w[0]), a_i[s][0] && !(a[0] ^ w[0])};
    assign bit_1 = a[1] ^ w[1] ^ (a[0] & w[0]);
    assign carry = (a[1] & w[1]) | ((a[1] | w[1]) & a[0] & w[0]);
    lane_gate #(.BITS(2)) u_digit (.clk_i, .gate_i(bit_1), .d_i(digit), .q_o(digit_q[1:0]));
    lane_gate #(.BITS(2), .GATE(0)) u_digit_2 (
      .clk_i, .gate_i(bit_1), .d_i(digit), .q_o(digit_q[3:2])
    );
    lane_decode u_decode (
      .clk_i, .code_i({(a[2] & w[2]) | ((a[2] | w[2]) & carry), a[2] ^ w[2] ^ carry}), .open_o(open)
    );
    for (genvar k = 0; k < 4; k++) begin : g_group
      lane_gate #(.BITS(4), .GATE(k % 2 == 0)) u_places (
        .clk_i, .gate_i(open[k]), .d_i(digit_q), .q_o(places[4*k+:4])
      );
    end
    always_ff @(posedge clk_i) begin
      negative_q <= w_i[s][3];
      negative2_q <= negative_q;
    end
    assign lanes_x[s] = {negative2_q, places[14:0]};
    assign lanes_y[s] = {1'b1, {15{negative2_q}}};
  end

  ig_chains #(
    .SIMD(SIMD), .BITS(LaneBits), .GATE(0), .OFFSET(-(SumBits'(SIMD) << (LaneBits - 1))),
    .REGISTERS(Depth == 0 ? 0 : 32'hAAAA_AAAA | (1 << (Depth - 1)))
  ) u_sum (
    .clk_i, .x_i(lanes_x), .y_i(lanes_y), .sum_o
  );
endmodule
