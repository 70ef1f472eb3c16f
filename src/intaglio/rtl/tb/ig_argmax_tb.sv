// Bench of ig_argmax: groups with many ties; index and cycle of every result.
module ig_argmax_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_argmax"), .ROUNDS(40), .CYCLES(600), .DRAIN(100)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_argmax_case #(.LANES(1), .BITS(8), .BEATS(10), .OUT_BITS(4)) u_serial (.*);
  ig_argmax_case #(.LANES(10), .BITS(3), .BEATS(1), .OUT_BITS(4)) u_parallel (.*);
  ig_argmax_case #(.LANES(5), .BITS(2), .SIGNED(0), .BEATS(3), .OUT_BITS(4)) u_both (.*);
  ig_argmax_case #(.LANES(4), .BITS(1), .SIGNED(0), .BEATS(2), .OUT_BITS(8)) u_bits (.*);
  ig_argmax_case #(.LANES(2), .BITS(24), .BEATS(5), .OUT_BITS(4), .FRAME(5)) u_wide (.*);
  ig_argmax_case #(.LANES(1), .BITS(4), .BEATS(1), .OUT_BITS(1)) u_single (.*);
  ig_argmax_case #(.LANES(2), .BITS(4), .BEATS(4), .FRAME(6), .OUT_BITS(3)) u_short (.*);
endmodule

module ig_argmax_case #(
  parameter int unsigned LANES = 1,
  parameter int unsigned BITS = 8,
  parameter int unsigned SIGNED = 1,
  parameter int unsigned BEATS = 1,
  parameter int unsigned OUT_BITS = 8,
  parameter int unsigned FRAME = 2 * BEATS  // a short group at its end counts as one
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  logic in_valid, in_last, out_valid, out_last;
  logic [LANES*BITS-1:0] in_data;
  logic [OUT_BITS-1:0] out_data;
  logic [2:1][OUT_BITS+1:0] line;  // {valid, last, index} expected so many cycles later
  int unsigned beat;
  int unsigned best_index;
  longint best;

  ig_tb_source #(.WIDTH(LANES * BITS), .BEATS(FRAME), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(in_data), .last_o(in_last)
  );
  ig_argmax #(
    .LANES(LANES), .BITS(BITS), .SIGNED(SIGNED), .BEATS(BEATS), .OUT_BITS(OUT_BITS)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .last_o(out_last)
  );

  always @(posedge clk) begin
    automatic longint most = best;
    automatic longint x;
    automatic int unsigned most_index = best_index;
    if (rst_n) begin
      if (out_valid !== line[2][OUT_BITS+1]) $fatal(1, "%m: valid_o is wrong");
      if (out_valid && {out_last, out_data} !== line[2][OUT_BITS:0]) $fatal(1, "%m: wrong data");
      if (idle && (out_valid || beat != 0)) $fatal(1, "%m: does not drain");
      for (int unsigned i = 0; i < LANES; i++) begin
        x = 64'(in_data[i*BITS+:BITS]);
        if (SIGNED != 0 && in_data[(i+1)*BITS-1]) x -= 64'sd1 << BITS;
        if ((beat == 0 && i == 0) || x > most) begin
          most = x;
          most_index = beat * LANES + i;
        end
      end
      line <= {line[1], in_valid && (in_last || beat == BEATS - 1), in_last, OUT_BITS'(most_index)};
      if (in_valid) begin
        best       <= most;
        best_index <= most_index;
        beat       <= in_last ? 0 : (beat + 1) % BEATS;
      end
    end else begin
      line <= '0;
      beat <= 0;
    end
  end
endmodule
