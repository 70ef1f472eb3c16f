// Bench of ig_supply_codebook: random pulses and resets; pulse n since reset with the values whose numbers word
// n / REPEAT has, three cycles later.
module ig_supply_codebook_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_supply_codebook"), .ROUNDS(30), .DRAIN(60)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_supply_codebook_case #(.DATA_BITS(1), .LANES(1), .INDEX_BITS(1), .VALUE_BITS(1), .ENTRIES(2), .STEPS(1),
    .FILE("random_1x1.mem"), .TABLE_FILE("random_1x2.mem")) u_smallest (.*);
  ig_supply_codebook_case #(.DATA_BITS(8), .LANES(5), .INDEX_BITS(3), .VALUE_BITS(7), .ENTRIES(8), .STEPS(7),
    .FILE("random_15x7.mem"), .TABLE_FILE("random_7x8.mem")) u_plain (.*);
  ig_supply_codebook_case #(.DATA_BITS(3), .DATA_SIDE(2), .LANES(2), .INDEX_BITS(4), .VALUE_BITS(9), .ENTRIES(16),
    .STEPS(40), .FILE("random_8x40.mem"), .TABLE_FILE("random_9x16.mem"), .BLOCK(1)) u_side (.*);
  ig_supply_codebook_case #(.DATA_BITS(2), .DATA_SIDE(1), .LANES(3), .INDEX_BITS(2), .VALUE_BITS(4), .ENTRIES(4),
    .STEPS(5), .REPEAT(3), .FILE("random_6x5.mem"), .TABLE_FILE("random_4x4.mem")) u_repeat (.*);
endmodule

module ig_supply_codebook_case #(
  parameter int unsigned DATA_BITS = 8,
  parameter int unsigned DATA_SIDE = 0,
  parameter int unsigned LANES = 4,
  parameter int unsigned INDEX_BITS = 4,
  parameter int unsigned VALUE_BITS = 8,
  parameter int unsigned ENTRIES = 16,
  parameter int unsigned STEPS = 16,
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter TABLE_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned BLOCK = 0,
  parameter int unsigned REPEAT = 1
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned InBits = DATA_SIDE + DATA_BITS;
  localparam int unsigned OutBits = InBits + LANES * VALUE_BITS;

  logic in_valid, in_last, in_end = 1'b0, out_valid, out_end, out_last;
  logic [InBits-1:0] in_data;
  logic [OutBits-1:0] out_data, want;
  logic [LANES*INDEX_BITS-1:0] words[STEPS], word;
  logic [VALUE_BITS-1:0] entries[ENTRIES];
  int unsigned pulses = 0;  // since reset

  ig_tb_source #(.WIDTH(InBits), .BEATS(STEPS), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(in_data), .last_o(in_last)
  );
  ig_supply_codebook #(
    .DATA_BITS(DATA_BITS), .DATA_SIDE(DATA_SIDE), .LANES(LANES), .INDEX_BITS(INDEX_BITS),
    .VALUE_BITS(VALUE_BITS), .ENTRIES(ENTRIES), .STEPS(STEPS), .FILE(FILE), .TABLE_FILE(TABLE_FILE),
    .BLOCK(BLOCK), .REPEAT(REPEAT)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .end_i(in_end), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .end_o(out_end), .last_o(out_last)
  );
  ig_tb_line #(.WIDTH(OutBits + 2), .LATENCY(3)) u_line (
    .clk_i(clk), .rst_ni(rst_n), .idle_i(idle), .want_valid_i(in_valid), .want_i({in_end, in_last, want}),
    .valid_i(out_valid), .data_i({out_end, out_last, out_data})
  );

  initial $readmemh(FILE, words);
  initial $readmemh(TABLE_FILE, entries);
  // Bit by bit: the beat, the values, the side.
  always_comb begin
    word = words[pulses / REPEAT % STEPS];
    for (int i = 0; i < OutBits; i++) begin
      if (i < DATA_BITS) want[i] = in_data[i];
      else if (i >= DATA_BITS + LANES * VALUE_BITS) want[i] = in_data[i-LANES*VALUE_BITS];
      else begin
        want[i] = entries[word[(i-DATA_BITS)/VALUE_BITS*INDEX_BITS+:INDEX_BITS]][(i-DATA_BITS)%VALUE_BITS];
      end
    end
  end
  always @(posedge clk) begin
    in_end <= $urandom_range(3) == 0;
    if (!rst_n) pulses <= 0;
    else if (in_valid) pulses <= pulses + 1;
  end
endmodule
