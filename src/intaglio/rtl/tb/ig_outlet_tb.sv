// Bench of ig_outlet: an issuer that takes credits at random feeds a pipeline of some latency.
// Grants, data and cycles are compared with a credit count and a queue.
module ig_outlet_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_outlet"), .ROUNDS(60), .DRAIN(600)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_outlet_case #(.WIDTH(8), .DEPTH(1), .LATENCY(0)) u_1 (.*);
  ig_outlet_case #(.WIDTH(8), .DEPTH(1), .LATENCY(5)) u_1_late (.*);
  ig_outlet_case #(.WIDTH(3), .DEPTH(2), .LATENCY(0)) u_2 (.*);
  ig_outlet_case #(.WIDTH(12), .DEPTH(3), .LATENCY(1)) u_3 (.*);
  ig_outlet_case #(.WIDTH(33), .DEPTH(16), .LATENCY(14)) u_16 (.*);
  ig_outlet_case #(.WIDTH(8), .DEPTH(17), .LATENCY(7)) u_17 (.*);
endmodule

module ig_outlet_case #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned DEPTH = 2,
  parameter int unsigned LATENCY = 1
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  logic in_valid, in_last, take, grant, pulse, out_valid, out_ready, out_last;
  logic [WIDTH-1:0] in_data, out_data;
  logic [LATENCY:0][WIDTH+1:0] line;  // {valid, last, data}; [0] is the issuer
  logic [WIDTH:0] queue[$];
  int unsigned credits;

  ig_tb_source #(.WIDTH(WIDTH), .BEATS(3)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(grant), .data_o(in_data), .last_o(in_last)
  );
  assign take = in_valid && grant;
  assign line[0] = {take, in_last, in_data};
  assign pulse = line[LATENCY][WIDTH+1];
  for (genvar i = 1; i <= LATENCY; i++) begin : g_line
    always @(posedge clk) line[i] <= rst_n ? line[i-1] : '0;
  end
  ig_outlet #(.WIDTH(WIDTH), .DEPTH(DEPTH)) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .take_i(take), .grant_o(grant),
    .valid_i(pulse), .data_i(line[LATENCY][WIDTH-1:0]), .last_i(line[LATENCY][WIDTH]),
    .valid_o(out_valid), .ready_i(out_ready), .data_o(out_data), .last_o(out_last)
  );
  ig_tb_sink #(.WIDTH(WIDTH)) u_sink (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_i(out_valid), .ready_o(out_ready), .data_i(out_data), .last_i(out_last)
  );

  always @(posedge clk) begin
    if (rst_n) begin
      if (grant !== (credits != 0)) $fatal(1, "%m: grant_o is wrong");
      if (out_valid !== (queue.size() != 0)) $fatal(1, "%m: valid_o is wrong");
      if (out_valid && {out_last, out_data} !== queue[0]) $fatal(1, "%m: wrong data");
      if (idle && (queue.size() != 0 || credits != DEPTH)) $fatal(1, "%m: does not drain");
      if (out_valid && out_ready) void'(queue.pop_front());
      if (pulse) queue.push_back(line[LATENCY][WIDTH:0]);
      credits <= credits - 32'(take) + 32'(out_valid && out_ready);
    end else begin
      queue.delete();
      credits <= DEPTH;
    end
  end
endmodule
