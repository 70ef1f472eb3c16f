// Bench of ig_requantize: every pulse against 128-bit arithmetic, 4 cycles later. The cases cover
// signed and unsigned inputs, no multiplier, no shift, a shift past the sum, bounds that are and
// are not powers of two, constants and tables, several lanes, both multipliers and bounds beyond 32
// bits.
module ig_requantize_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_requantize"), .ROUNDS(40), .CYCLES(600), .DRAIN(100)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_requantize_case #(
    .IN_BITS(20), .M_BITS(8), .O_BITS(16), .SHIFT(14), .LOW(-128), .HIGH(127)
  ) u_plain (.*);
  ig_requantize_case #(
    .LANES(3), .IN_BITS(9), .IN_SIGNED(0), .OUT_BITS(4), .OUT_SIGNED(0), .M_BITS(5), .O_BITS(12),
    .SHIFT(6), .LOW(0), .HIGH(15), .WORDS(5), .DSP(0)
  ) u_table (.*);
  ig_requantize_case #(
    .LANES(2), .IN_BITS(7), .OUT_BITS(9), .M_BITS(0), .O_BITS(6), .SHIFT(0), .LOW(-77), .HIGH(91),
    .WORDS(4), .FRAME(6)
  ) u_offset (.*);
  ig_requantize_case #(
    .IN_BITS(6), .IN_SIGNED(0), .OUT_BITS(12), .M_BITS(4), .O_BITS(4), .SHIFT(0), .LOW(-2048),
    .HIGH(2047), .WORDS(1), .DSP(0)
  ) u_wide_output (.*);
  ig_requantize_case #(
    .IN_BITS(8), .OUT_BITS(3), .M_BITS(3), .O_BITS(20), .SHIFT(40), .LOW(-1), .HIGH(3),
    .WORDS(2)
  ) u_sign (.*);
  ig_requantize_case #(
    .LANES(2), .IN_BITS(30), .OUT_BITS(40), .M_BITS(12), .O_BITS(36), .SHIFT(1),
    .LOW(-64'sd300000000000), .HIGH(64'sd400000000001), .WORDS(3), .DSP(0)
  ) u_long (.*);
  ig_requantize_case #(
    .LANES(1), .IN_BITS(1), .IN_SIGNED(0), .OUT_BITS(1), .OUT_SIGNED(0), .M_BITS(0), .O_BITS(2),
    .SHIFT(0), .LOW(0), .HIGH(1), .WORDS(2)
  ) u_bit (.*);
endmodule

module ig_requantize_case #(
  parameter int unsigned LANES = 1,
  parameter int unsigned IN_BITS = 16,
  parameter int unsigned IN_SIGNED = 1,
  parameter int unsigned OUT_BITS = 8,
  parameter int unsigned OUT_SIGNED = 1,
  parameter int unsigned M_BITS = 8,
  parameter int unsigned O_BITS = 16,
  parameter int unsigned SHIFT = 8,
  parameter longint LOW = -128,
  parameter longint HIGH = 127,
  parameter int unsigned WORDS = 1,
  parameter int unsigned DSP = 1,
  parameter int unsigned FRAME = 3 * WORDS  // a frame that is not whole periods starts anew
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned Pair = M_BITS + O_BITS;
  localparam int unsigned Out = LANES * OUT_BITS;

  logic in_valid, in_last, out_valid, out_last;
  logic [LANES*IN_BITS-1:0] in_data;
  logic [Out-1:0] out_data;
  logic [4:1][Out+1:0] line;  // {valid, last, data} expected so many cycles later
  logic [LANES*Pair-1:0] words[WORDS];
  int unsigned number;

  ig_tb_source #(.WIDTH(LANES * IN_BITS), .BEATS(FRAME), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(in_data), .last_o(in_last)
  );
  ig_requantize #(
    .LANES(LANES), .IN_BITS(IN_BITS), .IN_SIGNED(IN_SIGNED), .OUT_BITS(OUT_BITS),
    .OUT_SIGNED(OUT_SIGNED), .M_BITS(M_BITS), .O_BITS(O_BITS), .SHIFT(SHIFT), .LOW(LOW),
    .HIGH(HIGH), .WORDS(WORDS), .FILE("/dev/null"), .DSP(DSP)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .last_o(out_last)
  );

  // Random constants, written straight into the ROM.
  initial begin
    #1;
    for (int unsigned w = 0; w < WORDS; w++) begin
      for (int unsigned b = 0; b < LANES * Pair; b++) words[w][b] = 1'($urandom);
      u_dut.u_rom.g_logic.words[w] = words[w];
    end
  end

  function automatic logic [Out-1:0] expected(input logic [LANES*IN_BITS-1:0] data,
                                              input logic [LANES*Pair-1:0] word);
    logic signed [127:0] x, m, o, r;
    for (int unsigned i = 0; i < LANES; i++) begin
      x = 0;
      for (int unsigned b = 0; b < 128; b++) begin  // sign extension, bit by bit
        x[b] = b < IN_BITS ? data[i*IN_BITS+b] : IN_SIGNED != 0 && data[(i+1)*IN_BITS-1];
        m[b] = M_BITS == 0 ? b == 0 : word[i*Pair+(b < M_BITS ? b : M_BITS - 1)];
        o[b] = word[i*Pair+M_BITS+(b < O_BITS ? b : O_BITS - 1)];
      end
      r = (x * m + o) >>> SHIFT;
      if (r < 128'(LOW)) r = 128'(LOW);
      if (r > 128'(HIGH)) r = 128'(HIGH);
      expected[i*OUT_BITS+:OUT_BITS] = r[OUT_BITS-1:0];
    end
  endfunction

  always @(posedge clk) begin
    if (rst_n) begin
      if (out_valid !== line[4][Out+1]) $fatal(1, "%m: valid_o is wrong");
      if (out_valid && {out_last, out_data} !== line[4][Out:0]) $fatal(1, "%m: wrong data");
      if (idle && (out_valid || number != 0)) $fatal(1, "%m: does not drain");
      line <= {line[3:1], in_valid, in_last, expected(in_data, words[number])};
      if (in_valid) number <= in_last ? 0 : (number + 1) % WORDS;
    end else begin
      line   <= '0;
      number <= 0;
    end
  end
endmodule
