// Bench of ig_serial: random sums of planes with gaps and resets, against a sum of powers of two.
module ig_serial_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_serial"), .ROUNDS(30), .DRAIN(60)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_serial_case #(.PE(1), .IN_BITS(1), .PLANES(1)) u_smallest (.*);
  ig_serial_case #(.PE(1), .IN_BITS(1), .PLANES(1), .SIGNED(1)) u_smallest_signed (.*);
  ig_serial_case #(.PE(2), .IN_BITS(1), .PLANES(4), .SIGNED(1), .SIDE_BITS(1)) u_bits (.*);
  ig_serial_case #(.PE(2), .IN_BITS(6), .PLANES(1), .SIGNED(1), .SIDE_BITS(3)) u_one (.*);
  ig_serial_case #(.PE(3), .IN_BITS(5), .PLANES(2)) u_two (.*);
  ig_serial_case #(.PE(1), .IN_BITS(9), .PLANES(3), .SIGNED(1)) u_three (.*);
  ig_serial_case #(.PE(2), .IN_BITS(7), .PLANES(8), .SIDE_BITS(13)) u_eight (.*);
  ig_serial_case #(.PE(2), .IN_BITS(7), .PLANES(8), .SIGNED(1)) u_eight_signed (.*);
endmodule

module ig_serial_case #(
  parameter int unsigned PE = 2,
  parameter int unsigned IN_BITS = 8,
  parameter int unsigned PLANES = 8,
  parameter int unsigned SIGNED = 0,
  parameter int unsigned SIDE_BITS = 0
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned InBits = SIDE_BITS + PE * IN_BITS;
  localparam int unsigned SumBits = IN_BITS + PLANES;
  localparam int unsigned OutBits = SIDE_BITS + PE * SumBits;

  logic in_valid, in_last, in_end = 1'b0, out_valid, out_end, out_last;
  logic [InBits-1:0] in_data;
  logic [OutBits-1:0] out_data;
  logic [PE-1:0][SumBits-1:0] sums;
  longint earlier[PE], total[PE];  // without and with this plane
  int unsigned plane = 0;

  ig_tb_source #(.WIDTH(InBits), .BEATS(3 * PLANES), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(in_data), .last_o(in_last)
  );
  ig_serial #(
    .PE(PE), .IN_BITS(IN_BITS), .PLANES(PLANES), .SIGNED(SIGNED), .SIDE_BITS(SIDE_BITS)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .end_i(in_end), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .end_o(out_end), .last_o(out_last)
  );
  ig_tb_line #(.WIDTH(OutBits + 2), .LATENCY(1)) u_line (
    .clk_i(clk), .rst_ni(rst_n), .idle_i(idle),
    .want_valid_i(in_valid && plane == PLANES - 1),
    .want_i({in_end, in_last, OutBits'({in_data >> (PE * IN_BITS), sums})}),
    .valid_i(out_valid), .data_i({out_end, out_last, out_data})
  );

  always_comb begin
    longint weight;
    weight = SIGNED != 0 && plane == PLANES - 1 ? -(64'sd1 << plane) : 64'sd1 << plane;
    for (int p = 0; p < PE; p++) begin
      total[p] = (plane == 0 ? 0 : earlier[p]) + longint'(signed'(in_data[p*IN_BITS+:IN_BITS])) * weight;
      sums[p] = SumBits'(total[p]);
    end
  end
  always @(posedge clk) begin
    in_end <= $urandom_range(3) == 0;
    if (in_valid) earlier <= total;
    if (!rst_n) plane <= 0;
    else if (in_valid) plane <= (plane + 1) % PLANES;
  end
endmodule
