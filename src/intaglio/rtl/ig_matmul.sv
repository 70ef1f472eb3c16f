// Folded matrix-vector product: PE dot products of SIMD lanes per beat, accumulated over the beats of one reduction:
//   acc[p] = sum over the beats up to end_i, and over s, of a[s] * w[beat][p][s].
//
// Latency: 2 (weight memory) + 1 (products) + ceil(clog2(SIMD) / 2) (adder tree) + 1 (accumulator) cycles from the
// pulse with end_i to the one pulse with the PE results. Pulses in, pulses out; it never stalls.
//
// Beat k since reset (or since the last wrap) uses weight word k; the count wraps at STEPS, so that a frame must
// bring a multiple of STEPS beats. Weight w[p][s] stands at bits (p * SIMD + s) * W_BITS of its word.
module ig_matmul #(
  parameter int unsigned SIMD = 4,       // activations per beat
  parameter int unsigned PE = 2,         // results computed at once
  parameter int unsigned A_BITS = 8,     // bits of an activation
  parameter int unsigned A_SIGNED = 0,   // 1: activations are two's complement, 0: unsigned
  parameter int unsigned W_BITS = 8,     // bits of a weight, two's complement
  parameter int unsigned ACC_BITS = 24,  // bits of a result, two's complement; enough for each
  parameter int unsigned STEPS = 16,     // words of the weight memory FILE
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned DSP = 0,        // 1: multipliers, 0: adders (see ig_dot)
  parameter int unsigned BLOCK = 0       // 1: weights in block RAM, 0: in logic
) (
  input  logic                            clk_i,
  input  logic                            rst_ni,
  // in
  input  logic                            valid_i,
  input  logic [SIMD-1:0][A_BITS-1:0]     data_i,
  input  logic                            end_i,   // last beat of a reduction
  input  logic                            last_i,  // last beat of the frame
  // out
  output logic                            valid_o,
  output logic [PE-1:0][ACC_BITS-1:0]     data_o,
  output logic                            last_o
);
  localparam int unsigned RomLatency = 2;
  localparam int unsigned DotLatency = 1 + ($clog2(SIMD) + 1) / 2;
  localparam int unsigned Latency = RomLatency + DotLatency + 1;
  localparam int unsigned AddrBits = STEPS > 1 ? $clog2(STEPS) : 1;
  localparam int unsigned DotBits = A_BITS + (W_BITS > 2 ? W_BITS : 2) + $clog2(SIMD);

  // Weights: the memory counts beats.
  logic [AddrBits-1:0] step_q;
  logic [PE-1:0][SIMD-1:0][W_BITS-1:0] weights;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) step_q <= '0;
    else if (valid_i) step_q <= step_q == AddrBits'(STEPS - 1) ? '0 : step_q + 1'b1;
  end

  ig_rom #(
    .WIDTH(PE * SIMD * W_BITS), .DEPTH(STEPS), .FILE(FILE), .BLOCK(BLOCK)
  ) u_weights (
    .clk_i, .addr_i(step_q), .data_o(weights)
  );

  // Activations wait for their weights; the flags for the dot products.
  logic [RomLatency-1:0][SIMD-1:0][A_BITS-1:0] data_q;
  logic [Latency-2:0] valid_q, end_q, last_q;

  always_ff @(posedge clk_i) begin
    data_q <= {data_q[RomLatency-2:0], data_i};
    end_q  <= {end_q[Latency-3:0], end_i};
    last_q <= {last_q[Latency-3:0], last_i};
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[Latency-3:0], valid_i};
  end

  // Accumulators: a reduction's first beat loads, the others add.
  logic add, add_end, first_q;
  assign add = valid_q[Latency-2];
  assign add_end = add && end_q[Latency-2];

  always_ff @(posedge clk_i) begin
    last_o <= last_q[Latency-2];
    if (!rst_ni) begin
      first_q <= 1'b1;
      valid_o <= 1'b0;
    end else begin
      if (add) first_q <= add_end;
      valid_o <= add_end;
    end
  end

  for (genvar p = 0; p < PE; p++) begin : g_pe
    logic [DotBits-1:0] dot;
    logic [ACC_BITS-1:0] acc_q;
    ig_dot #(
      .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .W_BITS(W_BITS), .DSP(DSP)
    ) u_dot (
      .clk_i, .a_i(data_q[RomLatency-1]), .w_i(weights[p]), .sum_o(dot)
    );
    always_ff @(posedge clk_i) begin
      if (add) acc_q <= (first_q ? '0 : acc_q) + ACC_BITS'(signed'(dot));
    end
    assign data_o[p] = acc_q;
  end
endmodule
