// ig_plane for ECP5: the same sums, with the choice of a lane inside the carry cells (ig_chains).
//
// Signed activations have their highest bit inverted: each is 2^(A_BITS - 1) more then, which is taken back at the end.
module ig_plane #(
  parameter int unsigned SIMD = 8,       // lanes
  parameter int unsigned A_BITS = 8,     // bits of an activation
  parameter int unsigned A_SIGNED = 0,   // 1: activations are two's complement, 0: unsigned
  parameter int unsigned KIND = 0,       // 0: gate, 1: bipolar, 2: ternary
  parameter int unsigned REGISTERS = 0,  // bit l: a register behind level l of the adder tree
  localparam int unsigned WBits = KIND == 2 ? 2 : 1,
  localparam int unsigned SumBits = A_BITS + $clog2(SIMD)
) (
  input  logic                        clk_i,
  input  logic [SIMD-1:0][A_BITS-1:0] a_i,
  input  logic [SIMD-1:0][WBits-1:0]  w_i,
  output logic [SumBits-1:0]          sum_o  // signed if activations are
);
  // The register that REGISTERS does not name: in front (ternary), else behind the first level without one, else last.
  localparam int unsigned Levels = (1 << $clog2(SIMD)) - 1;
  localparam int unsigned Named = REGISTERS & Levels;
  localparam int unsigned Unnamed = KIND == 2 ? 0 : ~Named & Levels;
  localparam bit Last = KIND != 2 && Unnamed == 0;

  logic [SIMD-1:0][A_BITS-1:0] x, y;
  logic [SumBits-1:0] sum;

  for (genvar s = 0; s < SIMD; s++) begin : g_lane
    logic [A_BITS-1:0] lane_x, lane_y;
    if (KIND == 2) begin : g_ternary
      // Zero is the synchronous reset, active low, of these flip-flops: Yosys would put an inverter there.
      logic negative_q;
      always_ff @(posedge clk_i) negative_q <= w_i[s][1];
      assign lane_y = {A_BITS{negative_q}};
      for (genvar i = 0; i < A_BITS; i++) begin : g_bit
        TRELLIS_FF #(
          .GSR("DISABLED"), .CEMUX("1"), .CLKMUX("CLK"), .LSRMUX("INV"), .REGSET("RESET"),
          .SRMODE("LSR_OVER_CE")
        ) u_gate (
          .CLK(clk_i), .LSR(w_i[s][0]), .DI(a_i[s][i]), .Q(lane_x[i])
        );
      end
    end else begin : g_one
      assign lane_x = a_i[s];
      assign lane_y = {A_BITS{w_i[s]}};
    end
    if (A_SIGNED == 0) begin : g_unsigned
      assign {x[s], y[s]} = {lane_x, lane_y};
    end else if (KIND == 0) begin : g_signed_gate
      localparam logic [A_BITS-1:0] Sign = A_BITS'(1) << (A_BITS - 1);
      assign x[s] = (lane_x & (lane_y | ~Sign)) ^ Sign;
      assign y[s] = lane_y | Sign;
    end else begin : g_signed
      assign x[s] = lane_x ^ (A_BITS'(1) << (A_BITS - 1));
      assign y[s] = lane_y;
    end
  end

  ig_chains #(
    .SIMD(SIMD), .BITS(A_BITS), .GATE(32'(KIND == 0)), .COMPLEMENT(32'(KIND == 1)),
    .OFFSET(A_SIGNED != 0 ? -(SumBits'(SIMD) << (A_BITS - 1)) : '0),
    .REGISTERS(Named | (Unnamed & (~Unnamed + 1)))
  ) u_sum (
    .clk_i, .x_i(x), .y_i(y), .sum_o(sum)
  );

  if (Last) begin : g_last
    always_ff @(posedge clk_i) sum_o <= sum;
  end else begin : g_result
    assign sum_o = sum;
  end
endmodule
