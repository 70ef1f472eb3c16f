// Bench of ig_rows: every output in every cycle against the formulas, under random gaps, steps and resets.
module ig_rows_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_rows"), .ROUNDS(40), .CYCLES(600), .DRAIN(1000)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_rows_case #(.WORDS(1), .HEIGHT(1), .EXTENT(1), .STRIDE(1), .PAD(0), .ROWS(2)) u_dense (.*);
  ig_rows_case #(.WORDS(4), .HEIGHT(5), .EXTENT(3), .STRIDE(1), .PAD(1), .ROWS(4)) u_same (.*);
  ig_rows_case #(.WORDS(1), .HEIGHT(9), .EXTENT(4), .STRIDE(3), .PAD(2), .ROWS(7)) u_stride (.*);
  ig_rows_case #(.WORDS(3), .HEIGHT(7), .EXTENT(1), .STRIDE(2), .PAD(0), .ROWS(4)) u_skip (.*);
  ig_rows_case #(.WORDS(2), .HEIGHT(3), .EXTENT(3), .STRIDE(1), .PAD(0), .ROWS(4)) u_single (.*);
  ig_rows_case #(.WORDS(5), .HEIGHT(2), .EXTENT(5), .STRIDE(1), .PAD(3), .ROWS(6)) u_small (.*);
endmodule

module ig_rows_case #(
  parameter int unsigned WORDS = 4,
  parameter int unsigned HEIGHT = 4,
  parameter int unsigned EXTENT = 3,
  parameter int unsigned STRIDE = 1,
  parameter int unsigned PAD = 1,
  parameter int unsigned ROWS = 4
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int H = int'(HEIGHT);
  localparam int OutHeight = (H + 2 * int'(PAD) - int'(EXTENT)) / int'(STRIDE) + 1;

  logic in_valid, in_ready, in_last, we, step, ok, last;
  logic [7:0] unused_data;
  logic [$clog2(ROWS*WORDS)-1:0] waddr;
  logic [$clog2(ROWS)-1:0] slot;
  logic signed [$clog2(HEIGHT+2*PAD+STRIDE):0] top;
  bit wish = 1'b0;
  int row = 0, frame_row = 0, beat = 0, held = 0, first, begins, follows, stops;

  ig_tb_source #(.WIDTH(8), .BEATS(HEIGHT * WORDS)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(in_ready), .data_o(unused_data), .last_o(in_last)
  );
  ig_rows #(
    .WORDS(WORDS), .HEIGHT(HEIGHT), .EXTENT(EXTENT), .STRIDE(STRIDE), .PAD(PAD), .ROWS(ROWS)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .ready_o(in_ready), .last_i(in_last),
    .we_o(we), .waddr_o(waddr),
    .step_i(step), .ok_o(ok), .slot_o(slot), .top_o(top), .last_o(last)
  );
  assign step = ok && wish;

  always_comb begin
    first = row * int'(STRIDE) - int'(PAD);
    begins = first < 0 ? 0 : first;
    follows = row == OutHeight - 1 ? H : first + int'(STRIDE) < 0 ? 0 : first + int'(STRIDE);
    stops = first + int'(EXTENT) > H ? H : first + int'(EXTENT);
    if (stops < follows) stops = follows;
  end

  always @(posedge clk) begin
    wish <= $urandom_range(3) == 0;
    if (!rst_n) begin
      {row, frame_row, beat, held} = '0;
    end else begin
      if (in_ready !== (held != ROWS)) $fatal(1, "%m: ready_o is wrong");
      if (ok !== (begins + held >= stops)) $fatal(1, "%m: ok_o is wrong in row %0d", row);
      if (last !== (row == OutHeight - 1)) $fatal(1, "%m: last_o is wrong");
      if (int'(top) !== first) $fatal(1, "%m: top_o is %0d, not %0d", top, first);
      if (int'(slot) !== (frame_row + first + 8 * int'(ROWS)) % int'(ROWS)) $fatal(1, "%m: slot_o");
      if (we !== (in_valid && in_ready)) $fatal(1, "%m: we_o is wrong");
      if (we && int'(waddr) !== beat) $fatal(1, "%m: waddr_o is wrong");
      if (idle && (held != 0 || row != 0)) $fatal(1, "%m: does not drain");
      if (we) beat = (beat + 1) % int'(ROWS * WORDS);
      if (we && beat % int'(WORDS) == 0) held++;
      if (step) begin
        held -= follows - begins;
        row = (row + 1) % OutHeight;
        if (row == 0) frame_row = (frame_row + H) % int'(ROWS);
      end
    end
  end
endmodule
