// Bench of ig_dot_bases: multiples of sums of bit planes against a loop, to the exact cycle, with gaps and resets.
module ig_dot_bases_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_dot_bases"), .ROUNDS(8), .DRAIN(40)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  // SIMD 1, 2, 5, 8, 32; 1, 2, 4 or 8 bits; unsigned and signed; three planes; 1 or 2 rows; no side, or some bits.
  for (genvar i = 0; i < 5; i++) begin : g_simd
    for (genvar b = 0; b < 8; b++) begin : g_bits
      localparam int unsigned Simd = i < 2 ? i + 1 : i == 2 ? 5 : 8 << (2 * (i - 3));
      ig_dot_bases_case #(
        .PE(1 + b / 2 % 2), .SIMD(Simd), .A_BITS(1 << (b / 2)), .A_SIGNED(b % 2), .W_BITS(3), .UNIPOLAR(i % 2),
        .COEFFICIENTS({32'd1, 32'd0 - 32'd6, 32'd11}), .SIDE_BITS((i + b) % 4)
      ) u_case (.*);
    end
  end
  ig_dot_bases_case #(
    .SIMD(4), .A_BITS(3), .W_BITS(1), .UNIPOLAR(0), .COEFFICIENTS(32'd1), .GROW(-31)
  ) u_one (.*);
  ig_dot_bases_case #(
    .SIMD(3), .A_BITS(4), .W_BITS(1), .UNIPOLAR(1), .COEFFICIENTS(32'd0 - 32'd1)
  ) u_minus (.*);
  ig_dot_bases_case #(
    .PE(3), .SIMD(8), .A_BITS(8), .W_BITS(2), .UNIPOLAR(1), .COEFFICIENTS({32'd0 - 32'd128, 32'd127}), .GROW(-24)
  ) u_ternary (.*);
  ig_dot_bases_case #(
    .PE(2), .SIMD(9), .A_BITS(2), .A_SIGNED(1), .W_BITS(5), .UNIPOLAR(0),
    .COEFFICIENTS({32'd4096, 32'd0, 32'd0 - 32'd1000, 32'd77, 32'd3}), .GROW(4)
  ) u_five (.*);
endmodule

module ig_dot_bases_case #(
  parameter int unsigned PE = 1,
  parameter int unsigned SIMD = 1,
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 0,
  parameter int unsigned W_BITS = 2,
  parameter int unsigned UNIPOLAR = 0,
  parameter logic [32*W_BITS-1:0] COEFFICIENTS = {W_BITS{32'd1}},
  parameter int unsigned SIDE_BITS = 0,
  parameter int GROW = 0  // bits of a sum beyond those that it needs
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned Latency = 2 + ($clog2(SIMD) + 1) / 2;
  localparam int unsigned SumBits = A_BITS + $clog2(SIMD) + 32 + $clog2(W_BITS) + GROW;
  localparam int unsigned InBits = SIDE_BITS + SIMD * (A_BITS + PE * W_BITS);
  localparam int unsigned OutBits = SIDE_BITS + PE * SumBits;
  localparam longint Zero = UNIPOLAR != 0 ? 0 : A_SIGNED != 0 ? -1 : (1 << A_BITS) - 1;

  logic valid = 1'b0, ends = 1'b0, last = 1'b0;
  logic [SIDE_BITS:0] side = '0;  // one bit too many: there may be none
  logic [SIMD-1:0][A_BITS-1:0] a = '0;
  logic [PE-1:0][SIMD-1:0][W_BITS-1:0] w = '0;
  logic [PE-1:0][SumBits-1:0] sums;
  logic out_valid, out_end, out_last;
  logic [OutBits-1:0] out_data;
  int unsigned cycle = 0;

  ig_dot_bases #(
    .PE(PE), .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .W_BITS(W_BITS), .UNIPOLAR(UNIPOLAR),
    .COEFFICIENTS(COEFFICIENTS), .SUM_BITS(SumBits), .SIDE_BITS(SIDE_BITS)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(valid), .data_i(InBits'({side, w, a})), .end_i(ends), .last_i(last),
    .valid_o(out_valid), .data_o(out_data), .end_o(out_end), .last_o(out_last)
  );
  ig_tb_line #(.WIDTH(OutBits + 2), .LATENCY(Latency)) u_line (
    .clk_i(clk), .rst_ni(rst_n), .idle_i(idle), .want_valid_i(valid),
    .want_i({ends, last, OutBits'({side, sums})}), .valid_i(out_valid), .data_i({out_end, out_last, out_data})
  );

  // Activations and weights are random in some cycles, all zeros, ones or odd bits in others.
  function automatic int unsigned pattern(input int unsigned phase);
    case (phase)
      0: pattern = 0;
      1: pattern = 32'hFFFF_FFFF;
      2: pattern = 32'h5555_5555;
      default: pattern = $urandom;
    endcase
  endfunction

  always_comb begin
    longint total, value, low;  // low: what a bit 0 chooses
    for (int p = 0; p < PE; p++) begin
      total = 0;
      for (int s = 0; s < SIMD; s++) begin
        value = A_SIGNED != 0 ? longint'(signed'(a[s])) : longint'(a[s]);
        low = UNIPOLAR != 0 ? 0 : Zero - value;
        for (int k = 0; k < W_BITS; k++) begin
          total += longint'(signed'(COEFFICIENTS[32*k+:32])) * (w[p][s][k] ? value : low);
        end
      end
      sums[p] = SumBits'(total);
    end
  end
  always @(posedge clk) begin
    for (int s = 0; s < SIMD; s++) begin
      a[s] <= A_BITS'(pattern(32'(cycle[4:3])));
      for (int p = 0; p < PE; p++) w[p][s] <= W_BITS'(pattern(32'(cycle[6:5])));
    end
    valid <= enable && (cycle[7] || $urandom_range(3) != 0);
    {ends, last} <= 2'($urandom);
    side <= (SIDE_BITS + 1)'({$urandom, $urandom});
    cycle <= cycle + 1;
  end
endmodule
