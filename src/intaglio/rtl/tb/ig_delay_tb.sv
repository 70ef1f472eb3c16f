// Bench of ig_delay: every pulse after exactly CYCLES cycles, and none that a reset met.
module ig_delay_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_delay"), .ROUNDS(30), .DRAIN(60)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_delay_case #(.WIDTH(1), .CYCLES(1)) u_smallest (.*);
  ig_delay_case #(.WIDTH(2), .CYCLES(2)) u_2 (.*);
  ig_delay_case #(.WIDTH(7), .CYCLES(3)) u_3 (.*);
  ig_delay_case #(.WIDTH(65), .CYCLES(10)) u_10 (.*);
endmodule

module ig_delay_case #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned CYCLES = 1
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  logic in_valid, in_last, out_valid;
  logic [WIDTH-1:0] in_data, out_data;

  ig_tb_source #(.WIDTH(WIDTH), .BEATS(4), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(in_data), .last_o(in_last)
  );
  ig_delay #(.WIDTH(WIDTH), .CYCLES(CYCLES)) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .valid_o(out_valid), .data_o(out_data)
  );
  ig_tb_line #(.WIDTH(WIDTH), .LATENCY(CYCLES)) u_line (
    .clk_i(clk), .rst_ni(rst_n), .idle_i(idle),
    .want_valid_i(in_valid), .want_i(in_data), .valid_i(out_valid), .data_i(out_data)
  );
endmodule
