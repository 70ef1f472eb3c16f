// Dot products of one beat: for every row p, sum[p] = sum over s of a[s] * w[p][s], exact.
//
// Pulses in, pulses out, one per cycle, no stall; latency 1 + ceil(clog2(SIMD) / 2) cycles. The side travels beside.
//
// DSP = 1: one `ig_multiply` per lane, products registered, then an adder tree with a register every second level.
// DSP = 0: bit planes. For each bit j of the weights, the sum over s of (w[s][j] ? a[s] : 0) by `ig_plane`; then the
// planes are added with weights 2^j, the sign's negative.
module ig_dot #(
  parameter int unsigned PE = 1,         // rows
  parameter int unsigned SIMD = 8,       // lanes of a row
  parameter int unsigned A_BITS = 8,     // bits of an activation
  parameter int unsigned A_SIGNED = 0,   // 1: activations are two's complement, 0: unsigned
  parameter int unsigned W_BITS = 8,     // bits of a weight, two's complement
  parameter int unsigned DSP = 0,        // 1: multipliers, 0: adders
  parameter int unsigned SIDE_BITS = 0,  // bits on top of data_i that travel beside
  // bits of a sum; enough for each by default, else truncated or sign-extended
  parameter int unsigned SUM_BITS = A_BITS + (W_BITS > 2 ? W_BITS : 2) + $clog2(SIMD),
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
  localparam int unsigned Levels = (Depth + 1) / 2;  // with a register

  // Bit i: whether a register stands behind level i, when `Levels` of them are spread over `levels`.
  function automatic int unsigned spread(input int unsigned levels);
    spread = 0;
    for (int unsigned i = 0; i < levels; i++) begin
      if ((i + 1) * Levels / levels > i * Levels / levels) spread = spread | (1 << i);
    end
  endfunction

  logic [SIMD-1:0][A_BITS-1:0] a;
  logic [PE*SIMD-1:0][W_BITS-1:0] w;
  logic [PE-1:0][SUM_BITS-1:0] sums;
  assign {w, a} = data_i[UsedBits-1:0];

  if (DSP != 0) begin : g_multipliers
    localparam int unsigned PBits = A_BITS + W_BITS;
    for (genvar p = 0; p < PE; p++) begin : g_row
      logic [SIMD*PBits-1:0] product_d, product_q;
      logic [PBits+Depth-1:0] sum;
      for (genvar s = 0; s < SIMD; s++) begin : g_lane
        ig_multiply #(
          .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .B_BITS(W_BITS), .B_SIGNED(1), .DSP(1)
        ) u_multiply (
          .a_i(a[s]), .b_i(w[p*SIMD+s]), .p_o(product_d[s*PBits+:PBits])
        );
      end
      always_ff @(posedge clk_i) product_q <= product_d;
      // Registers behind levels 1, 3, 5, .. and behind the last level.
      ig_tree #(
        .COUNT(SIMD), .BITS(PBits), .SIGNED(1), .SHIFT(0), .NEGATE(0),
        .REGISTERS(Depth == 0 ? 0 : 32'hAAAA_AAAA | (1 << (Depth - 1)))
      ) u_tree (
        .clk_i, .x_i(product_q), .sum_o(sum)
      );
      assign sums[p] = SUM_BITS'(signed'(sum));
    end
  end else begin : g_planes
    localparam int unsigned Planes = W_BITS > 2 ? W_BITS : 2;
    localparam int unsigned Across = $clog2(Planes);
    localparam int unsigned PlaneBits = A_BITS + Depth;
    localparam int unsigned Registers = spread(Depth + Across);
    for (genvar p = 0; p < PE; p++) begin : g_row
      logic [Planes*PlaneBits-1:0] plane;
      logic [PlaneBits+Planes-1:0] sum;
      for (genvar j = 0; j < Planes; j++) begin : g_plane
        logic [SIMD-1:0] bits;
        for (genvar s = 0; s < SIMD; s++) begin : g_bit
          assign bits[s] = w[p*SIMD+s][j < W_BITS ? j : W_BITS - 1];
        end
        ig_plane #(
          .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .KIND(0), .REGISTERS(Registers)
        ) u_plane (
          .clk_i, .a_i(a), .w_i(bits), .sum_o(plane[j*PlaneBits+:PlaneBits])
        );
      end
      ig_tree #(
        .COUNT(Planes), .BITS(PlaneBits), .SIGNED(A_SIGNED), .SHIFT(1), .NEGATE(1),
        .REGISTERS(Registers >> Depth)
      ) u_across (
        .clk_i, .x_i(plane), .sum_o(sum)
      );
      assign sums[p] = SUM_BITS'(signed'(sum));
    end
  end

  logic [SIDE_BITS+1:0] flags;
  ig_delay #(
    .WIDTH(SIDE_BITS + 2), .CYCLES(1 + Levels)
  ) u_delay (
    .clk_i, .rst_ni, .valid_i, .data_i((SIDE_BITS + 2)'({data_i >> UsedBits, end_i, last_i})),
    .valid_o, .data_o(flags)
  );
  assign {end_o, last_o} = flags[1:0];
  assign data_o = OutBits'({flags >> 2, sums});
endmodule
