// Bench of ig_gate: random grants; every output is compared in every cycle with a beat counter.
module ig_gate_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_gate"), .ROUNDS(60)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_gate_case #(.WIDTH(8), .BEATS(1), .FRAME(4)) u_1 (.*);
  ig_gate_case #(.WIDTH(9), .BEATS(2), .FRAME(6)) u_2 (.*);
  ig_gate_case #(.WIDTH(1), .BEATS(5), .FRAME(15)) u_5 (.*);
  ig_gate_case #(.WIDTH(8), .BEATS(4), .FRAME(4)) u_4 (.*);
  ig_gate_case #(.WIDTH(8), .BEATS(4), .FRAME(6)) u_broken (.*);  // frames of two groups, one short
endmodule

module ig_gate_case #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned BEATS = 2,
  parameter int unsigned FRAME = 2
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  logic in_valid, in_ready, in_last, grant, take, out_valid, out_end, out_last;
  logic [WIDTH-1:0] in_data, out_data;
  int unsigned beat;  // in the frame
  logic first, final_beat, moves;

  ig_tb_source #(.WIDTH(WIDTH), .BEATS(FRAME)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(in_ready), .data_o(in_data), .last_o(in_last)
  );
  ig_gate #(.WIDTH(WIDTH), .BEATS(BEATS)) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .grant_i(grant), .take_o(take),
    .valid_i(in_valid), .ready_o(in_ready), .data_i(in_data), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .end_o(out_end), .last_o(out_last)
  );

  assign first = beat % BEATS == 0;
  assign final_beat = beat % BEATS == BEATS - 1 || beat == FRAME - 1;
  assign moves = in_valid && (!first || grant);
  always @(posedge clk) begin
    grant <= 1'($urandom) || !enable;
    if (rst_n) begin
      if (in_ready !== (!first || grant)) $fatal(1, "%m: ready_o is wrong");
      if (out_valid !== moves) $fatal(1, "%m: valid_o is wrong");
      if (take !== (moves && first)) $fatal(1, "%m: take_o is wrong");
      if (moves && {out_end, out_last, out_data} !== {final_beat, in_last, in_data}) begin
        $fatal(1, "%m: wrong data");
      end
      if (idle && beat != 0) $fatal(1, "%m: does not drain");
      if (moves) beat <= (beat == FRAME - 1) ? 0 : beat + 1;
    end else begin
      beat <= 0;
    end
  end
endmodule
