// Bench of ig_threshold: every pulse against a count, 4 cycles later. Thresholds are random and
// ascend; some are equal and some beyond the range of x.
module ig_threshold_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_threshold"), .ROUNDS(40), .CYCLES(600), .DRAIN(100)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_threshold_case #(.IN_BITS(6), .COUNT(3), .OUT_BITS(2)) u_plain (.*);
  ig_threshold_case #(.IN_BITS(4), .IN_SIGNED(0), .COUNT(1), .OUT_BITS(1)) u_bit (.*);
  ig_threshold_case #(
    .LANES(3), .IN_BITS(5), .IN_SIGNED(0), .COUNT(10), .BASE(-3), .OUT_BITS(4), .OUT_SIGNED(1),
    .WORDS(5)
  ) u_table (.*);
  ig_threshold_case #(
    .LANES(2), .IN_BITS(7), .COUNT(15), .BASE(-8), .OUT_BITS(4), .OUT_SIGNED(1),
    .WORDS(2), .FRAME(3)
  ) u_partial (.*);
  ig_threshold_case #(.IN_BITS(5), .COUNT(6), .BASE(-8), .OUT_BITS(4), .OUT_SIGNED(1)) u_below (.*);
  ig_threshold_case #(.IN_BITS(8), .COUNT(64), .BASE(100), .OUT_BITS(8), .WORDS(3)) u_many (.*);
endmodule

module ig_threshold_case #(
  parameter int unsigned LANES = 1,
  parameter int unsigned IN_BITS = 16,
  parameter int unsigned IN_SIGNED = 1,
  parameter int unsigned COUNT = 3,
  parameter int BASE = 0,
  parameter int unsigned OUT_BITS = 2,
  parameter int unsigned OUT_SIGNED = 0,
  parameter int unsigned WORDS = 1,
  parameter int unsigned FRAME = 3 * WORDS  // a frame that is not whole periods starts anew
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned TBits = IN_BITS + 1;
  localparam int unsigned Out = LANES * OUT_BITS;

  logic in_valid, in_last, out_valid, out_last;
  logic [LANES*IN_BITS-1:0] in_data;
  logic [Out-1:0] out_data;
  logic [4:1][Out+1:0] line;  // {valid, last, data} expected so many cycles later
  int thresholds[WORDS][LANES][COUNT];
  int unsigned number;

  ig_tb_source #(.WIDTH(LANES * IN_BITS), .BEATS(FRAME), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(in_data), .last_o(in_last)
  );
  ig_threshold #(
    .LANES(LANES), .IN_BITS(IN_BITS), .IN_SIGNED(IN_SIGNED), .COUNT(COUNT), .BASE(BASE),
    .OUT_BITS(OUT_BITS), .OUT_SIGNED(OUT_SIGNED), .WORDS(WORDS), .FILE("/dev/null")
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .last_o(out_last)
  );

  // Random ascending thresholds, written straight into the ROM.
  initial begin
    int unsigned t[$];  // plus 1 << IN_BITS, since sort() takes it as unsigned
    #1;
    for (int unsigned w = 0; w < WORDS; w++) begin
      for (int unsigned i = 0; i < LANES; i++) begin
        t.delete();
        repeat (COUNT) t.push_back($urandom_range((2 << IN_BITS) - 1));
        t.sort();
        for (int unsigned k = 0; k < COUNT; k++) begin
          thresholds[w][i][k] = int'(t[k]) - (1 << IN_BITS);
          u_dut.u_rom.g_logic.words[w][(i*COUNT+k)*TBits+:TBits] = TBits'(thresholds[w][i][k]);
        end
      end
    end
  end

  function automatic logic [Out-1:0] expected();
    int x, y;
    for (int unsigned i = 0; i < LANES; i++) begin
      x = 32'(in_data[i*IN_BITS+:IN_BITS]);
      if (IN_SIGNED != 0 && in_data[(i+1)*IN_BITS-1]) x -= 1 << IN_BITS;
      y = BASE;
      for (int unsigned k = 0; k < COUNT; k++) if (x >= thresholds[number][i][k]) y++;
      expected[i*OUT_BITS+:OUT_BITS] = y[OUT_BITS-1:0];
    end
  endfunction

  always @(posedge clk) begin
    if (rst_n) begin
      if (out_valid !== line[4][Out+1]) $fatal(1, "%m: valid_o is wrong");
      if (out_valid && {out_last, out_data} !== line[4][Out:0]) $fatal(1, "%m: wrong data");
      if (idle && (out_valid || number != 0)) $fatal(1, "%m: does not drain");
      line <= {line[3:1], in_valid, in_last, expected()};
      if (in_valid) number <= in_last ? 0 : (number + 1) % WORDS;
    end else begin
      line   <= '0;
      number <= 0;
    end
  end
endmodule
