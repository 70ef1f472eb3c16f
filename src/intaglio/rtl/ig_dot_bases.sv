// Dot products of one beat with weights that are sums of a few coefficients: bit k of a weight chooses plane k,
//   sum[p] = sum over k of COEFFICIENTS[k] * sum over s of lane[p][s][k],
//   UNIPOLAR = 0: lane[p][s][k] = w[p][s][k] ? a[s] : ~a[s], for w = sum over k of c[k] * b[k] with b[k] in {-1, +1}
//                 (multi-base); it exceeds the product by K * c[k] for each bit 0 of plane k, where
//                 K = 2^A_BITS - 1 for unsigned activations, -1 for signed ones;
//   UNIPOLAR = 1: lane[p][s][k] = w[p][s][k] ? a[s] : 0, for w = sum over k of c[k] * b[k] with b[k] in {0, 1}; exact.
// Weights {-n, 0, +p} (trained ternary) are unipolar planes with coefficients p and -n.
//
// Pulses in, pulses out, one per cycle, no stall; latency 2 + ceil(clog2(SIMD) / 2) cycles. The side travels beside.
module ig_dot_bases #(
  parameter int unsigned PE = 1,         // rows
  parameter int unsigned SIMD = 8,       // lanes of a row
  parameter int unsigned A_BITS = 8,     // bits of an activation
  parameter int unsigned A_SIGNED = 0,   // 1: activations are two's complement, 0: unsigned
  parameter int unsigned W_BITS = 2,     // planes
  parameter int unsigned UNIPOLAR = 0,   // 1: a bit is 0 or 1, 0: it is -1 or +1
  parameter logic [32*W_BITS-1:0] COEFFICIENTS = {W_BITS{32'd1}},  // signed, plane 0 lowest
  parameter int unsigned SIDE_BITS = 0,  // bits on top of data_i that travel beside
  // bits of a sum; enough for each by default, else truncated or sign-extended
  parameter int unsigned SUM_BITS = A_BITS + $clog2(SIMD) + 32 + $clog2(W_BITS),
  localparam int unsigned UsedBits = (A_BITS + PE * W_BITS) * SIMD,
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
  // Registers behind levels 1, 3, 5, .. and behind the last level of the adder tree.
  localparam int unsigned Registers = Depth == 0 ? 0 : 32'hAAAA_AAAA | (1 << (Depth - 1));
  localparam int unsigned PlaneBits = A_BITS + Depth;
  localparam int unsigned ProductBits = PlaneBits + magnitude_bits() + 1;
  localparam int unsigned TotalBits = ProductBits + $clog2(W_BITS);  // enough

  // Smallest n such that no coefficient is larger than 2^n in magnitude.
  function automatic int unsigned magnitude_bits();
    magnitude_bits = 0;
    for (int unsigned k = 0; k < W_BITS; k++) begin
      while (signed'(COEFFICIENTS[32*k+:32]) > 1 << magnitude_bits ||
             signed'(COEFFICIENTS[32*k+:32]) < -(1 << magnitude_bits)) begin
        magnitude_bits = magnitude_bits + 1;
      end
    end
  endfunction

  logic [SIMD-1:0][A_BITS-1:0] a;
  logic [PE*SIMD-1:0][W_BITS-1:0] w;
  logic [PE-1:0][SUM_BITS-1:0] sums;
  assign {w, a} = data_i[UsedBits-1:0];

  for (genvar p = 0; p < PE; p++) begin : g_row
    logic [W_BITS*ProductBits-1:0] product_d, product_q;
    logic [TotalBits-1:0] total;
    for (genvar k = 0; k < W_BITS; k++) begin : g_plane
      logic [SIMD-1:0] bits;
      logic [PlaneBits-1:0] sum;
      for (genvar s = 0; s < SIMD; s++) begin : g_bit
        assign bits[s] = w[p*SIMD+s][k];
      end
      ig_plane #(
        .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .KIND(32'(UNIPOLAR == 0)),
        .REGISTERS(Registers)
      ) u_plane (
        .clk_i, .a_i(a), .w_i(bits), .sum_o(sum)
      );
      ig_scale #(
        .IN_BITS(PlaneBits), .IN_SIGNED(A_SIGNED), .MULTIPLIER(int'(COEFFICIENTS[32*k+:32])),
        .OUT_BITS(ProductBits)
      ) u_scale (
        .data_i(sum), .data_o(product_d[k*ProductBits+:ProductBits])
      );
    end
    always_ff @(posedge clk_i) product_q <= product_d;
    ig_tree #(
      .COUNT(W_BITS), .BITS(ProductBits), .SIGNED(1), .SHIFT(0), .NEGATE(0), .REGISTERS(0)
    ) u_sum (
      .clk_i, .x_i(product_q), .sum_o(total)
    );
    assign sums[p] = SUM_BITS'(signed'(total));
  end

  logic [SIDE_BITS+1:0] flags;
  ig_delay #(
    .WIDTH(SIDE_BITS + 2), .CYCLES(2 + (Depth + 1) / 2)
  ) u_delay (
    .clk_i, .rst_ni, .valid_i, .data_i((SIDE_BITS + 2)'({data_i >> UsedBits, end_i, last_i})),
    .valid_o, .data_o(flags)
  );
  assign {end_o, last_o} = flags[1:0];
  assign data_o = OutBits'({flags >> 2, sums});
endmodule
