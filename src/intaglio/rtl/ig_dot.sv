// Dot product of one beat: sum_o = sum over s of a[s] * w[s], exact.
//
// Latency: 1 + ceil(clog2(SIMD) / 2) cycles, in both forms. No handshake, no reset: a new beat may enter every cycle.
//
// DSP = 1: one `ig_multiply` per lane, products registered, then an adder tree with a register every second level.
// DSP = 0: bit planes. For each bit j of the weights, the sum over s of (w[s][j] ? a[s] : 0) by `ig_plane`; then the
// planes are added with weights 2^j, the sign's negative.
module ig_dot #(
  parameter int unsigned SIMD = 8,      // lanes
  parameter int unsigned A_BITS = 8,    // bits of an activation
  parameter int unsigned A_SIGNED = 0,  // 1: activations are two's complement, 0: unsigned
  parameter int unsigned W_BITS = 8,    // bits of a weight, two's complement
  parameter int unsigned DSP = 0,       // 1: multipliers, 0: adders
  localparam int unsigned Planes = W_BITS > 2 ? W_BITS : 2,
  localparam int unsigned SumBits = A_BITS + Planes + $clog2(SIMD)
) (
  input  logic                          clk_i,
  input  logic [SIMD-1:0][A_BITS-1:0]   a_i,
  input  logic [SIMD-1:0][W_BITS-1:0]   w_i,
  output logic [SumBits-1:0]            sum_o
);
  localparam int unsigned Depth = $clog2(SIMD);
  localparam int unsigned Latency = (Depth + 1) / 2;

  // Bit i: whether a register stands behind level i, when `Latency` of them are spread over `levels`.
  function automatic int unsigned spread(input int unsigned levels);
    spread = 0;
    for (int unsigned i = 0; i < levels; i++) begin
      if ((i + 1) * Latency / levels > i * Latency / levels) spread = spread | (1 << i);
    end
  endfunction

  if (DSP != 0) begin : g_multipliers
    localparam int unsigned PBits = A_BITS + W_BITS;
    logic [SIMD*PBits-1:0] product_d, product_q;
    logic [PBits+Depth-1:0] sum;
    for (genvar s = 0; s < SIMD; s++) begin : g_lane
      ig_multiply #(
        .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .B_BITS(W_BITS), .B_SIGNED(1), .DSP(1)
      ) u_multiply (
        .a_i(a_i[s]), .b_i(w_i[s]), .p_o(product_d[s*PBits+:PBits])
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
    assign sum_o = SumBits'(signed'(sum));
  end else begin : g_planes
    localparam int unsigned Across = $clog2(Planes);
    localparam int unsigned PlaneBits = A_BITS + Depth;
    localparam int unsigned Registers = spread(Depth + Across);

    logic [Planes*PlaneBits-1:0] plane;
    for (genvar j = 0; j < Planes; j++) begin : g_plane
      logic [SIMD-1:0] bits;
      for (genvar s = 0; s < SIMD; s++) begin : g_bit
        assign bits[s] = w_i[s][j < W_BITS ? j : W_BITS - 1];
      end
      ig_plane #(
        .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .KIND(0), .REGISTERS(Registers)
      ) u_plane (
        .clk_i, .a_i, .w_i(bits), .sum_o(plane[j*PlaneBits+:PlaneBits])
      );
    end

    ig_tree #(
      .COUNT(Planes), .BITS(PlaneBits), .SIGNED(A_SIGNED), .SHIFT(1), .NEGATE(1),
      .REGISTERS(Registers >> Depth)
    ) u_across (
      .clk_i, .x_i(plane), .sum_o(sum_o)
    );
  end
endmodule
