// Bench of ig_supply_rom: random pulses and resets; pulse n since reset with word n / REPEAT, two cycles later.
module ig_supply_rom_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_supply_rom"), .ROUNDS(30), .DRAIN(60)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_supply_rom_case #(.DATA_BITS(1), .WORD_BITS(1), .STEPS(1), .FILE("random_1x1.mem")) u_smallest (.*);
  ig_supply_rom_case #(.DATA_BITS(8), .WORD_BITS(24), .STEPS(7), .FILE("random_24x7.mem")) u_plain (.*);
  ig_supply_rom_case #(.DATA_BITS(3), .DATA_SIDE(2), .WORD_BITS(5), .STEPS(8), .FILE("random_5x8.mem")) u_data_side (.*);
  ig_supply_rom_case #(.DATA_BITS(4), .WORD_BITS(6), .WORD_SIDE(3), .STEPS(2), .FILE("random_9x2.mem"),
    .BLOCK(1)) u_word_side (.*);
  ig_supply_rom_case #(.DATA_BITS(5), .DATA_SIDE(1), .WORD_BITS(30), .WORD_SIDE(7), .STEPS(40),
    .FILE("random_37x40.mem"), .BLOCK(1)) u_sides (.*);
  ig_supply_rom_case #(.DATA_BITS(2), .WORD_BITS(3), .STEPS(1), .REPEAT(2), .FILE("random_3x1.mem")) u_1_twice (.*);
  ig_supply_rom_case #(.DATA_BITS(2), .DATA_SIDE(3), .WORD_BITS(3), .WORD_SIDE(1), .STEPS(5), .REPEAT(3),
    .FILE("random_4x5.mem")) u_repeat (.*);
  ig_supply_rom_case #(.DATA_BITS(1), .WORD_BITS(16), .STEPS(6), .REPEAT(8), .FILE("random_16x6.mem"),
    .BLOCK(1)) u_8_times (.*);
endmodule

module ig_supply_rom_case #(
  parameter int unsigned DATA_BITS = 8,
  parameter int unsigned DATA_SIDE = 0,
  parameter int unsigned WORD_BITS = 8,
  parameter int unsigned WORD_SIDE = 0,
  parameter int unsigned STEPS = 16,
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned BLOCK = 0,
  parameter int unsigned REPEAT = 1
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned InBits = DATA_SIDE + DATA_BITS;
  localparam int unsigned OutBits = InBits + WORD_SIDE + WORD_BITS;

  logic in_valid, in_last, in_end = 1'b0, out_valid, out_end, out_last;
  logic [InBits-1:0] in_data;
  logic [OutBits-1:0] out_data, want;
  logic [WORD_SIDE+WORD_BITS-1:0] words[STEPS], word;
  int unsigned pulses = 0;  // since reset

  ig_tb_source #(.WIDTH(InBits), .BEATS(STEPS), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(in_data), .last_o(in_last)
  );
  ig_supply_rom #(
    .DATA_BITS(DATA_BITS), .DATA_SIDE(DATA_SIDE), .WORD_BITS(WORD_BITS), .WORD_SIDE(WORD_SIDE),
    .STEPS(STEPS), .FILE(FILE), .BLOCK(BLOCK), .REPEAT(REPEAT)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .end_i(in_end), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .end_o(out_end), .last_o(out_last)
  );
  ig_tb_line #(.WIDTH(OutBits + 2), .LATENCY(2)) u_line (
    .clk_i(clk), .rst_ni(rst_n), .idle_i(idle), .want_valid_i(in_valid), .want_i({in_end, in_last, want}),
    .valid_i(out_valid), .data_i({out_end, out_last, out_data})
  );

  initial $readmemh(FILE, words);
  // Bit by bit: the beat, the word, what is left of the beat, what is left of the word.
  always_comb begin
    word = words[pulses / REPEAT % STEPS];
    for (int i = 0; i < OutBits; i++) begin
      if (i < DATA_BITS) want[i] = in_data[i];
      else if (i < DATA_BITS + WORD_BITS) want[i] = word[i-DATA_BITS];
      else if (i < InBits + WORD_BITS) want[i] = in_data[i-WORD_BITS];
      else want[i] = word[i-InBits];
    end
  end
  always @(posedge clk) begin
    in_end <= $urandom_range(3) == 0;
    if (!rst_n) pulses <= 0;
    else if (in_valid) pulses <= pulses + 1;
  end
endmodule
