// Bench of ig_fork: one queue per branch; ready_o, data and cycles are compared in every cycle.
module ig_fork_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_fork"), .ROUNDS(60), .DRAIN(600)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_fork_case #(.WIDTH(8), .N(2), .DEPTHS({16'd2, 16'd2})) u_2 (.*);
  ig_fork_case #(.WIDTH(5), .N(2), .DEPTHS({16'd16, 16'd1})) u_uneven (.*);
  ig_fork_case #(.WIDTH(16), .N(3), .DEPTHS({16'd17, 16'd2, 16'd3})) u_3 (.*);
  ig_fork_case #(.WIDTH(1), .N(1), .DEPTHS(16'd2)) u_1 (.*);
endmodule

module ig_fork_case #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned N = 2,
  parameter logic [N*16-1:0] DEPTHS = {N{16'd2}}
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  logic in_valid, in_ready, in_last;
  logic [WIDTH-1:0] in_data;
  logic [N-1:0] out_valid, out_ready, out_last, room;
  logic [N*WIDTH-1:0] out_data;

  ig_tb_source #(.WIDTH(WIDTH), .BEATS(7)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(in_ready), .data_o(in_data), .last_o(in_last)
  );
  ig_fork #(.WIDTH(WIDTH), .N(N), .DEPTHS(DEPTHS)) u_dut (
    .clk_i(clk), .rst_ni(rst_n),
    .valid_i(in_valid), .ready_o(in_ready), .data_i(in_data), .last_i(in_last),
    .valid_o(out_valid), .ready_i(out_ready), .data_o(out_data), .last_o(out_last)
  );

  for (genvar i = 0; i < N; i++) begin : g_branch
    logic [WIDTH:0] queue[$];
    int unsigned held = 0;
    assign room[i] = held != 32'(DEPTHS[16*i+:16]);

    ig_tb_sink #(.WIDTH(WIDTH)) u_sink (
      .clk_i(clk), .rst_ni(rst_n), .enable_i(enable), .valid_i(out_valid[i]),
      .ready_o(out_ready[i]), .data_i(out_data[WIDTH*i+:WIDTH]), .last_i(out_last[i])
    );
    always @(posedge clk) begin
      if (rst_n) begin
        if (in_ready !== &room) $fatal(1, "%m: ready_o is wrong");
        if (out_valid[i] !== (held != 0)) $fatal(1, "%m: valid_o is wrong");
        if (out_valid[i] && {out_last[i], out_data[WIDTH*i+:WIDTH]} !== queue[0]) begin
          $fatal(1, "%m: wrong data");
        end
        if (idle && held != 0) $fatal(1, "%m: does not drain");
        if (out_valid[i] && out_ready[i]) void'(queue.pop_front());
        if (in_valid && &room) queue.push_back({in_last, in_data});
        held <= queue.size();
      end else begin
        queue.delete();
        held <= 0;
      end
    end
  end
endmodule
