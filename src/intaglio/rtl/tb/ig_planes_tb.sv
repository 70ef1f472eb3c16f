// Bench of ig_planes: beats that stay for all their planes, with gaps between them, against their bits in order.
module ig_planes_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_planes"), .ROUNDS(30), .DRAIN(100)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_planes_case #(.LANES(1), .BITS(1)) u_smallest (.*);
  ig_planes_case #(.LANES(3), .BITS(2)) u_2 (.*);
  ig_planes_case #(.LANES(1), .BITS(5)) u_5 (.*);
  ig_planes_case #(.LANES(4), .BITS(8)) u_8 (.*);
endmodule

module ig_planes_case #(
  parameter int unsigned LANES = 4,
  parameter int unsigned BITS = 8
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  logic beat_valid, beat_last, in_valid, in_last, in_end, move = 1'b0, cut = 1'b0, out_valid, out_end, out_last;
  logic [LANES-1:0][BITS-1:0] in_data;
  logic [LANES-1:0] out_data, want;
  int unsigned plane = 0;

  ig_tb_source #(.WIDTH(LANES * BITS), .BEATS(3)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(beat_valid), .ready_i(move && plane == BITS - 1), .data_o(in_data), .last_o(beat_last)
  );
  assign in_valid = beat_valid && move;
  assign in_last = beat_last && plane == BITS - 1;
  assign in_end = cut;

  ig_planes #(.LANES(LANES), .BITS(BITS)) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .end_i(in_end), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .end_o(out_end), .last_o(out_last)
  );
  ig_tb_line #(.WIDTH(LANES + 2), .LATENCY(0)) u_line (
    .clk_i(clk), .rst_ni(rst_n), .idle_i(idle), .want_valid_i(in_valid), .want_i({in_end, in_last, want}),
    .valid_i(out_valid), .data_i({out_end, out_last, out_data})
  );

  always_comb for (int l = 0; l < LANES; l++) want[l] = 1'(in_data[l] >> plane);
  always @(posedge clk) begin
    cut <= $urandom_range(3) == 0;
    move <= $urandom_range(3) != 0;
    if (!rst_n) plane <= 0;
    else if (in_valid) plane <= (plane + 1) % BITS;
  end
endmodule
