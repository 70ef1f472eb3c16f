// Bench of ig_tree: random sums against a loop, after exactly as many cycles as there are registers.
module ig_tree_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_tree"), .ROUNDS(4)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_tree_case #(.COUNT(1), .BITS(3), .SIGNED(1), .REGISTERS(0)) u_1 (.clk);
  ig_tree_case #(.COUNT(2), .BITS(3), .SIGNED(0), .REGISTERS(0)) u_2 (.clk);
  ig_tree_case #(.COUNT(3), .BITS(8), .SIGNED(1), .REGISTERS(2)) u_3 (.clk);
  ig_tree_case #(.COUNT(7), .BITS(5), .SIGNED(0), .REGISTERS(5)) u_7 (.clk);
  ig_tree_case #(.COUNT(16), .BITS(9), .SIGNED(1), .REGISTERS(10)) u_16 (.clk);
  ig_tree_case #(.COUNT(6), .BITS(1), .SIGNED(0), .REGISTERS(2)) u_6b (.clk);
  ig_tree_case #(.COUNT(9), .BITS(2), .SIGNED(0), .REGISTERS(5)) u_9c (.clk);
  ig_tree_case #(.COUNT(2), .BITS(1), .SIGNED(0), .SHIFT(1), .NEGATE(1), .REGISTERS(1)) u_s2 (.clk);
  ig_tree_case #(.COUNT(3), .BITS(1), .SIGNED(1), .SHIFT(1), .NEGATE(1), .REGISTERS(0)) u_s3 (.clk);
  ig_tree_case #(.COUNT(5), .BITS(4), .SIGNED(0), .SHIFT(1), .NEGATE(1), .REGISTERS(4)) u_s5 (.clk);
  ig_tree_case #(.COUNT(6), .BITS(4), .SIGNED(1), .SHIFT(1), .NEGATE(1), .REGISTERS(6)) u_s6 (.clk);
  ig_tree_case #(.COUNT(7), .BITS(6), .SIGNED(0), .SHIFT(1), .NEGATE(1), .REGISTERS(7)) u_s7 (.clk);
  ig_tree_case #(.COUNT(9), .BITS(6), .SIGNED(1), .SHIFT(1), .NEGATE(1), .REGISTERS(8)) u_s9 (.clk);
  ig_tree_case #(.COUNT(8), .BITS(6), .SIGNED(0), .SHIFT(1), .NEGATE(0), .REGISTERS(1)) u_u8 (.clk);
endmodule

module ig_tree_case #(
  parameter int unsigned COUNT = 4,
  parameter int unsigned BITS = 8,
  parameter int unsigned SIGNED = 1,
  parameter int unsigned SHIFT = 0,
  parameter int unsigned NEGATE = 0,
  parameter int unsigned REGISTERS = 0
) (
  input logic clk
);
  localparam int unsigned Latency = $countones(REGISTERS);
  localparam int unsigned SumBits = BITS + (SHIFT != 0 && COUNT > 1 ? COUNT : $clog2(COUNT));
  logic [COUNT-1:0][BITS-1:0] x = '0;
  logic [SumBits-1:0] sum;
  longint expected[Latency+1];
  int unsigned cycle = 0;

  ig_tree #(
    .COUNT(COUNT), .BITS(BITS), .SIGNED(SIGNED), .SHIFT(SHIFT), .NEGATE(NEGATE), .REGISTERS(REGISTERS)
  ) u_dut (
    .clk_i(clk), .x_i(x), .sum_o(sum)
  );

  always @(posedge clk) begin
    longint total;
    total = 0;
    for (int i = 0; i < COUNT; i++) begin
      longint value;
      value = (SIGNED != 0 ? longint'(signed'(x[i])) : longint'(x[i])) <<< (SHIFT * i);
      total += NEGATE != 0 && i == COUNT - 1 ? -value : value;
      x[i] <= $urandom_range(3) == 0 ? {1'b1, {(BITS - 1){1'b0}}} : BITS'($urandom);
    end
    for (int i = Latency; i > 0; i--) expected[i] = expected[i-1];
    expected[0] = total;
    cycle <= cycle + 1;
    if (cycle >= Latency && sum !== SumBits'(expected[Latency])) $fatal(1, "%m: wrong sum %h", sum);
  end
endmodule
