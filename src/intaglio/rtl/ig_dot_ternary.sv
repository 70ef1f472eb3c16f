// Dot products of one beat with weights of -1, 0 and +1, plus a constant of the weights. Bit 0 of a weight says that
// it is not zero, bit 1 that it is negative (01: +1, 11: -1, 00: 0, 10 must not occur):
//   sum[p] = sum over s of (w[p][s][0] ? (w[p][s][1] ? ~a[s] : a[s]) : 0) = sum over s of w[p][s] * a[s] + K * (number of -1),
// where ~a is the complement within A_BITS: K = 2^A_BITS - 1 for unsigned activations, -1 for signed ones.
//
// Pulses in, pulses out, one per cycle, no stall; latency 1 + ceil(clog2(SIMD) / 2) cycles. The side travels beside.
module ig_dot_ternary #(
  parameter int unsigned PE = 1,         // rows
  parameter int unsigned SIMD = 8,       // lanes of a row
  parameter int unsigned A_BITS = 8,     // bits of an activation
  parameter int unsigned A_SIGNED = 0,   // 1: activations are two's complement, 0: unsigned
  parameter int unsigned SIDE_BITS = 0,  // bits on top of data_i that travel beside
  // bits of a sum; enough for each by default, else truncated or sign-extended
  parameter int unsigned SUM_BITS = A_BITS + $clog2(SIMD) + 1,
  localparam int unsigned WBits = 2,
  localparam int unsigned UsedBits = (A_BITS + PE * WBits) * SIMD,
  localparam int unsigned InBits = SIDE_BITS + UsedBits,
  localparam int unsigned OutBits = SIDE_BITS + PE * SUM_BITS
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // pulses in: {side, weights of each row, activations}, row 0 and lane 0 lowest
  input  logic               valid_i,
  input  logic [InBits-1:0]  data_i,
  input  logic               end_i,   // last pulse of a reduction
  input  logic               last_i,  // last pulse of the frame
  // pulses out: {side, sums}, each two's complement
  output logic               valid_o,
  output logic [OutBits-1:0] data_o,
  output logic               end_o,
  output logic               last_o
);
  localparam int unsigned Depth = $clog2(SIMD);
  localparam int unsigned PlaneBits = A_BITS + Depth;
  // Registers behind levels 1, 3, 5, .. and behind the last level of the adder tree.
  localparam int unsigned Registers = Depth == 0 ? 0 : 32'hAAAA_AAAA | (1 << (Depth - 1));

  logic [PE-1:0][SUM_BITS-1:0] sums;

  for (genvar p = 0; p < PE; p++) begin : g_row
    logic [PlaneBits-1:0] sum;
    ig_plane #(
      .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .KIND(2), .REGISTERS(Registers)
    ) u_plane (
      .clk_i, .a_i(data_i[SIMD*A_BITS-1:0]),
      .w_i(data_i[SIMD*(A_BITS+p*WBits)+:SIMD*WBits]), .sum_o(sum)
    );
    assign sums[p] = SUM_BITS'(signed'({A_SIGNED != 0 && sum[PlaneBits-1], sum}));
  end

  logic [SIDE_BITS+1:0] flags;
  ig_delay #(
    .WIDTH(SIDE_BITS + 2), .CYCLES(1 + (Depth + 1) / 2)
  ) u_delay (
    .clk_i, .rst_ni, .valid_i, .data_i((SIDE_BITS + 2)'({data_i >> UsedBits, end_i, last_i})),
    .valid_o, .data_o(flags)
  );
  assign {end_o, last_o} = flags[1:0];
  assign data_o = OutBits'({flags >> 2, sums});
endmodule
