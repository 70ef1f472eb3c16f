// Bench of ig_dot: both forms against a loop, to the exact cycle, with gaps and resets.
module ig_dot_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_dot"), .ROUNDS(16), .DRAIN(40)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_dot_case #(.SIMD(1), .A_BITS(8), .W_BITS(8)) u_1 (.*);
  ig_dot_case #(.SIMD(1), .A_BITS(1), .W_BITS(1)) u_1b (.*);
  ig_dot_case #(.PE(3), .SIMD(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(1), .SIDE_BITS(1)) u_2 (.*);
  ig_dot_case #(.PE(2), .SIMD(3), .A_BITS(8), .A_SIGNED(1), .W_BITS(5), .SIDE_BITS(9), .GROW(5)) u_3 (.*);
  ig_dot_case #(.PE(5), .SIMD(5), .A_BITS(2), .W_BITS(2), .GROW(-3)) u_5 (.*);
  ig_dot_case #(.PE(2), .SIMD(8), .A_BITS(8), .W_BITS(8)) u_8 (.*);
  ig_dot_case #(.SIMD(9), .A_BITS(3), .A_SIGNED(1), .W_BITS(4), .SIDE_BITS(40), .GROW(-10)) u_9 (.*);
  ig_dot_case #(.PE(3), .SIMD(16), .A_BITS(6), .W_BITS(3), .GROW(1)) u_16 (.*);
endmodule

module ig_dot_case #(
  parameter int unsigned PE = 1,
  parameter int unsigned SIMD = 1,
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 0,
  parameter int unsigned W_BITS = 8,
  parameter int unsigned SIDE_BITS = 0,
  parameter int GROW = 0  // bits of a sum beyond those that it needs
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned Latency = 1 + ($clog2(SIMD) + 1) / 2;
  localparam int unsigned SumBits = A_BITS + (W_BITS > 2 ? W_BITS : 2) + $clog2(SIMD) + GROW;
  localparam int unsigned InBits = SIDE_BITS + SIMD * (A_BITS + PE * W_BITS);
  localparam int unsigned OutBits = SIDE_BITS + PE * SumBits;

  logic valid = 1'b0, ends = 1'b0, last = 1'b0;
  logic [SIDE_BITS:0] side = '0;  // one bit too many: there may be none
  logic [SIMD-1:0][A_BITS-1:0] a = '0;
  logic [PE-1:0][SIMD-1:0][W_BITS-1:0] w = '0;
  logic [PE-1:0][SumBits-1:0] sums;
  int unsigned cycle = 0;

  for (genvar d = 0; d < 2; d++) begin : g_dsp
    logic out_valid, out_end, out_last;
    logic [OutBits-1:0] out_data;
    ig_dot #(
      .PE(PE), .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .W_BITS(W_BITS), .DSP(d), .SUM_BITS(SumBits),
      .SIDE_BITS(SIDE_BITS)
    ) u_dut (
      .clk_i(clk), .rst_ni(rst_n), .valid_i(valid), .data_i(InBits'({side, w, a})), .end_i(ends), .last_i(last),
      .valid_o(out_valid), .data_o(out_data), .end_o(out_end), .last_o(out_last)
    );
    ig_tb_line #(.WIDTH(OutBits + 2), .LATENCY(Latency)) u_line (
      .clk_i(clk), .rst_ni(rst_n), .idle_i(idle), .want_valid_i(valid),
      .want_i({ends, last, OutBits'({side, sums})}), .valid_i(out_valid), .data_i({out_end, out_last, out_data})
    );
  end

  always_comb begin
    longint total;
    for (int p = 0; p < PE; p++) begin
      total = 0;
      for (int s = 0; s < SIMD; s++) begin
        total += (A_SIGNED != 0 ? longint'(signed'(a[s])) : longint'(a[s])) * longint'(signed'(w[p][s]));
      end
      sums[p] = SumBits'(total);
    end
  end
  // Random, or all of them the lowest or the largest.
  always @(posedge clk) begin
    for (int s = 0; s < SIMD; s++) begin
      a[s] <= cycle[4] ? A_BITS'({1'b1, 32'h0} >> (33 - A_BITS)) : A_BITS'($urandom);
      for (int p = 0; p < PE; p++) w[p][s] <= cycle[5] ? {1'b1, {(W_BITS - 1){1'b0}}} : W_BITS'($urandom);
    end
    valid <= enable && (cycle[7] || $urandom_range(3) != 0);
    {ends, last} <= 2'($urandom);
    side <= (SIDE_BITS + 1)'({$urandom, $urandom});
    cycle <= cycle + 1;
  end
endmodule
