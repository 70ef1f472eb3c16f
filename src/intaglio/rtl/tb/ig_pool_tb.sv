// Bench of ig_pool: random pulses, windows of random length and resets against a loop, to the exact cycle.
module ig_pool_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_pool"), .ROUNDS(40), .DRAIN(40)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_pool_case #(.LANES(1), .IN_BITS(8), .SIGNED(0), .OUT_BITS(8), .SUM(0)) u_max (.*);
  ig_pool_case #(.LANES(3), .IN_BITS(5), .SIGNED(1), .OUT_BITS(5), .SUM(0)) u_max_signed (.*);
  ig_pool_case #(.LANES(2), .IN_BITS(8), .SIGNED(0), .OUT_BITS(13), .SUM(1)) u_sum (.*);
  ig_pool_case #(.LANES(1), .IN_BITS(4), .SIGNED(1), .OUT_BITS(9), .SUM(1)) u_sum_signed (.*);
endmodule

module ig_pool_case #(
  parameter int unsigned LANES = 1,
  parameter int unsigned IN_BITS = 8,
  parameter int unsigned SIGNED = 0,
  parameter int unsigned OUT_BITS = 8,
  parameter int unsigned SUM = 0
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  logic in_valid, in_last, in_end, cut = 1'b0, out_valid, out_last;
  logic [LANES-1:0][IN_BITS-1:0] in_data;
  logic [LANES-1:0][OUT_BITS-1:0] out_data;
  longint total[LANES];
  logic [LANES-1:0][OUT_BITS-1:0] expected;
  bit fresh = 1'b1, due = 1'b0, due_last = 1'b0;

  ig_tb_source #(.WIDTH(LANES * IN_BITS), .BEATS(20), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(in_data), .last_o(in_last)
  );
  assign in_end = in_last || cut;
  ig_pool #(
    .LANES(LANES), .IN_BITS(IN_BITS), .SIGNED(SIGNED), .OUT_BITS(OUT_BITS), .SUM(SUM)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n),
    .valid_i(in_valid), .data_i(in_data), .end_i(in_end), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .last_o(out_last)
  );

  always @(posedge clk) begin
    cut <= $urandom_range(3) == 0;
    if (!rst_n) begin
      {fresh, due} = 2'b10;
    end else begin
      if (out_valid !== due) $fatal(1, "%m: valid_o is wrong");
      if (due && {out_last, out_data} !== {due_last, expected}) $fatal(1, "%m: wrong %h", out_data);
      if (in_valid) begin
        for (int l = 0; l < LANES; l++) begin
          longint value;
          value = SIGNED != 0 ? longint'(signed'(in_data[l])) : longint'(in_data[l]);
          if (fresh) total[l] = value;
          else if (SUM != 0) total[l] += value;
          else if (value > total[l]) total[l] = value;
          expected[l] = OUT_BITS'(total[l]);
        end
        fresh = in_end;
      end
      due = in_valid && in_end;
      due_last = in_last;
    end
  end
endmodule
