// Dot product of one beat with weights of -1 and +1, plus a constant of the weights. A weight is one bit, 1: +1, 0: -1:
//   sum_o = sum over s of (w[s] ? a[s] : ~a[s]) = sum over s of (+-) a[s] + K * (number of -1),
// where ~a is the complement within A_BITS: K = 2^A_BITS - 1 for unsigned activations, -1 for signed ones. With
// unsigned A_BITS = 1 it counts the lanes in which a = w.
//
// Latency: 1 + ceil(clog2(SIMD) / 2) cycles. No handshake, no reset: a new beat may enter every cycle.
module ig_dot_binary #(
  parameter int unsigned SIMD = 8,      // lanes
  parameter int unsigned A_BITS = 1,    // bits of an activation
  parameter int unsigned A_SIGNED = 0,  // 1: activations are two's complement, 0: unsigned
  localparam int unsigned WBits = 1,
  localparam int unsigned SumBits = A_BITS + $clog2(SIMD) + 1
) (
  input  logic                        clk_i,
  input  logic [SIMD-1:0][A_BITS-1:0] a_i,
  input  logic [SIMD-1:0][WBits-1:0]  w_i,
  output logic [SumBits-1:0]          sum_o  // two's complement
);
  localparam int unsigned Depth = $clog2(SIMD);
  // Registers behind levels 1, 3, 5, .. and behind the last level of the adder tree.
  localparam int unsigned Registers = Depth == 0 ? 0 : 32'hAAAA_AAAA | (1 << (Depth - 1));

  logic [SumBits-2:0] sum;

  ig_plane #(
    .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .KIND(1), .REGISTERS(Registers)
  ) u_plane (
    .clk_i, .a_i, .w_i, .sum_o(sum)
  );
  assign sum_o = {A_SIGNED != 0 && sum[SumBits-2], sum};
endmodule
