// Bench of ig_fifo: data and cycles against a queue, for every storage form.
module ig_fifo_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_fifo"), .ROUNDS(60), .DRAIN(600)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_fifo_case #(.WIDTH(8), .DEPTH(1)) u_1 (.*);
  ig_fifo_case #(.WIDTH(1), .DEPTH(2)) u_2 (.*);
  ig_fifo_case #(.WIDTH(9), .DEPTH(3)) u_3 (.*);
  ig_fifo_case #(.WIDTH(16), .DEPTH(16)) u_16 (.*);
  ig_fifo_case #(.WIDTH(40), .DEPTH(17)) u_17 (.*);
  ig_fifo_case #(.WIDTH(24), .DEPTH(70)) u_70 (.*);  // block memory
  ig_fifo_case #(.WIDTH(10), .DEPTH(8), .BLOCK(1)) u_8 (.*);

  final $display("PASS ig_fifo");
endmodule

module ig_fifo_case #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned DEPTH = 2,
  parameter int unsigned BLOCK = 32'(DEPTH > 64)
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  logic in_valid, in_ready, in_last, out_valid, out_ready, out_last;
  logic [WIDTH-1:0] in_data, out_data;
  logic [WIDTH:0] queue[$];

  ig_tb_source #(.WIDTH(WIDTH), .BEATS(5)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(in_ready), .data_o(in_data), .last_o(in_last)
  );
  ig_fifo #(.WIDTH(WIDTH), .DEPTH(DEPTH), .BLOCK(BLOCK)) u_dut (
    .clk_i(clk), .rst_ni(rst_n),
    .valid_i(in_valid), .ready_o(in_ready), .data_i(in_data), .last_i(in_last),
    .valid_o(out_valid), .ready_i(out_ready), .data_o(out_data), .last_o(out_last)
  );
  ig_tb_sink #(.WIDTH(WIDTH)) u_sink (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_i(out_valid), .ready_o(out_ready), .data_i(out_data), .last_i(out_last)
  );

  always @(posedge clk) begin
    if (rst_n) begin
      if (in_ready !== (queue.size() != DEPTH)) $fatal(1, "%m: ready_o is wrong");
      if (out_valid !== (queue.size() != 0)) $fatal(1, "%m: valid_o is wrong");
      if (out_valid && {out_last, out_data} !== queue[0]) $fatal(1, "%m: wrong data");
      if (idle && queue.size() != 0) $fatal(1, "%m: does not drain");
      if (out_valid && out_ready) void'(queue.pop_front());
      if (in_valid && in_ready) queue.push_back({in_last, in_data});
    end else begin
      queue.delete();
    end
  end
endmodule
