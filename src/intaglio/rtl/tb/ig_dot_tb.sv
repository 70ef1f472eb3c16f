// Bench of ig_dot: both forms against a loop, after exactly the stated latency.
module ig_dot_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_dot"), .ROUNDS(6)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_dot_case #(.SIMD(1), .A_BITS(8), .A_SIGNED(0), .W_BITS(8)) u_1 (.clk);
  ig_dot_case #(.SIMD(1), .A_BITS(1), .A_SIGNED(0), .W_BITS(1)) u_1b (.clk);
  ig_dot_case #(.SIMD(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(1)) u_2 (.clk);
  ig_dot_case #(.SIMD(3), .A_BITS(8), .A_SIGNED(1), .W_BITS(5)) u_3 (.clk);
  ig_dot_case #(.SIMD(5), .A_BITS(2), .A_SIGNED(0), .W_BITS(2)) u_5 (.clk);
  ig_dot_case #(.SIMD(8), .A_BITS(8), .A_SIGNED(0), .W_BITS(8)) u_8 (.clk);
  ig_dot_case #(.SIMD(9), .A_BITS(3), .A_SIGNED(1), .W_BITS(4)) u_9 (.clk);
  ig_dot_case #(.SIMD(16), .A_BITS(6), .A_SIGNED(0), .W_BITS(3)) u_16 (.clk);
endmodule

module ig_dot_case #(
  parameter int unsigned SIMD = 1,
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 0,
  parameter int unsigned W_BITS = 8
) (
  input logic clk
);
  localparam int unsigned Latency = 1 + ($clog2(SIMD) + 1) / 2;
  localparam int unsigned SumBits = A_BITS + (W_BITS > 2 ? W_BITS : 2) + $clog2(SIMD);
  logic [SIMD-1:0][A_BITS-1:0] a = '0;
  logic [SIMD-1:0][W_BITS-1:0] w = '0;
  logic [1:0][SumBits-1:0] sum;
  longint expected[Latency+1];
  int unsigned cycle = 0;

  for (genvar d = 0; d < 2; d++) begin : g_dsp
    ig_dot #(
      .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .W_BITS(W_BITS), .DSP(d)
    ) u_dut (
      .clk_i(clk), .a_i(a), .w_i(w), .sum_o(sum[d])
    );
  end

  always @(posedge clk) begin
    longint total;
    total = 0;
    for (int s = 0; s < SIMD; s++) begin
      total += (A_SIGNED != 0 ? longint'(signed'(a[s])) : longint'(a[s])) * longint'(signed'(w[s]));
      a[s] <= cycle[4] ? A_BITS'({1'b1, 32'h0} >> (33 - A_BITS)) : A_BITS'($urandom);
      w[s] <= cycle[5] ? {1'b1, {(W_BITS - 1){1'b0}}} : W_BITS'($urandom);
    end
    for (int i = Latency; i > 0; i--) expected[i] = expected[i-1];
    expected[0] = total;
    cycle <= cycle + 1;
    for (int d = 0; d < 2; d++) begin
      if (cycle >= Latency && sum[d] !== SumBits'(expected[Latency])) begin
        $fatal(1, "%m: DSP=%0d: %h, not %h", d, sum[d], expected[Latency]);
      end
    end
  end
endmodule
