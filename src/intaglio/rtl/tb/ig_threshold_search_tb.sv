// Bench of ig_threshold_search: every pulse against a count, after exactly the stated latency. Thresholds are random and
// ascend; some are equal and some beyond the range of x.
module ig_threshold_search_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_threshold_search"), .ROUNDS(40), .CYCLES(900), .DRAIN(150)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_threshold_search_case #(.IN_BITS(6), .COUNT(3), .OUT_BITS(2)) u_plain (.*);
  ig_threshold_search_case #(.IN_BITS(4), .IN_SIGNED(0), .COUNT(1), .OUT_BITS(1)) u_bit (.*);
  ig_threshold_search_case #(
    .LANES(3), .IN_BITS(5), .IN_SIGNED(0), .COUNT(10), .BASE(-3), .OUT_BITS(4), .OUT_SIGNED(1),
    .WORDS(5)
  ) u_table (.*);
  ig_threshold_search_case #(
    .LANES(2), .IN_BITS(7), .COUNT(15), .BASE(-8), .OUT_BITS(4), .OUT_SIGNED(1),
    .WORDS(2), .FRAME(3)
  ) u_partial (.*);
  ig_threshold_search_case #(.IN_BITS(5), .COUNT(6), .BASE(-8), .OUT_BITS(4), .OUT_SIGNED(1)) u_below (.*);
  ig_threshold_search_case #(.IN_BITS(8), .COUNT(64), .BASE(100), .OUT_BITS(8), .WORDS(3)) u_many (.*);
  ig_threshold_search_case #(.IN_BITS(2), .IN_SIGNED(0), .COUNT(2), .OUT_BITS(2), .WORDS(1)) u_small (.*);
  ig_threshold_search_case #(
    .LANES(2), .IN_BITS(9), .COUNT(255), .OUT_BITS(8), .WORDS(4), .BLOCK('hf0)
  ) u_deep (.*);
  ig_threshold_search_files u_files (.clk);
endmodule

// Each level holds the words of its own file.
module ig_threshold_search_files (
  input logic clk
);
  logic [17:0] unused;

  ig_threshold_search #(
    .LANES(2), .IN_BITS(6), .COUNT(200), .OUT_BITS(8), .WORDS(1), .BLOCK('hc0),
    .LEVEL0_FILE("random_14x1.mem"), .LEVEL1_FILE("random_14x2.mem"), .LEVEL2_FILE("random_14x4.mem"),
    .LEVEL3_FILE("random_14x8.mem"), .LEVEL4_FILE("random_14x16.mem"), .LEVEL5_FILE("random_14x32.mem"),
    .LEVEL6_FILE("random_14x64.mem"), .LEVEL7_FILE("random_14x128.mem")
  ) u_dut (
    .clk_i(clk), .rst_ni(1'b0), .valid_i(1'b0), .data_i('0), .last_i(1'b0),
    .valid_o(unused[0]), .data_o(unused[16:1]), .last_o(unused[17])
  );
  for (genvar l = 0; l < 8; l++) begin : g_level
    logic [13:0] expected[1<<l], found[1<<l];
    if (l < 6) begin : g_logic
      assign found = u_dut.g_lane[1].g_level[l].g_rom.u_rom.g_logic.words;
    end else begin : g_block
      assign found = u_dut.g_lane[1].g_level[l].g_rom.u_rom.g_block.words;
    end
    initial begin
      $readmemh($sformatf("random_14x%0d.mem", 1 << l), expected);
      #2;
      if (found != expected) $fatal(1, "%m: not the words of its file");
    end
  end
endmodule

module ig_threshold_search_case #(
  parameter int unsigned LANES = 1,
  parameter int unsigned IN_BITS = 16,
  parameter int unsigned IN_SIGNED = 1,
  parameter int unsigned COUNT = 3,
  parameter int BASE = 0,
  parameter int unsigned OUT_BITS = 2,
  parameter int unsigned OUT_SIGNED = 0,
  parameter int unsigned WORDS = 1,
  parameter int unsigned BLOCK = 0,
  parameter int unsigned FRAME = 3 * WORDS  // a frame that is not whole periods starts anew
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned TBits = IN_BITS + 1;
  localparam int unsigned Out = LANES * OUT_BITS;
  localparam int unsigned Levels = $clog2(COUNT + 1);
  localparam int unsigned Latency = 2 * Levels + 1;

  logic in_valid, in_last, out_valid, out_last;
  logic [LANES*IN_BITS-1:0] in_data;
  logic [Out-1:0] out_data;
  logic [Latency:1][Out+1:0] line;  // {valid, last, data} expected so many cycles later
  int thresholds[WORDS][LANES][COUNT];
  int unsigned number;

  ig_tb_source #(.WIDTH(LANES * IN_BITS), .BEATS(FRAME), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(in_data), .last_o(in_last)
  );
  ig_threshold_search #(
    .LANES(LANES), .IN_BITS(IN_BITS), .IN_SIGNED(IN_SIGNED), .COUNT(COUNT), .BASE(BASE),
    .OUT_BITS(OUT_BITS), .OUT_SIGNED(OUT_SIGNED), .WORDS(WORDS), .BLOCK(BLOCK),
    .LEVEL0_FILE("/dev/null"), .LEVEL1_FILE("/dev/null"), .LEVEL2_FILE("/dev/null"), .LEVEL3_FILE("/dev/null"),
    .LEVEL4_FILE("/dev/null"), .LEVEL5_FILE("/dev/null"), .LEVEL6_FILE("/dev/null"), .LEVEL7_FILE("/dev/null")
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .last_o(out_last)
  );

  // Random ascending thresholds, written straight into the ROMs.
  initial begin
    int unsigned t[$];  // plus 1 << IN_BITS, since sort() takes it as unsigned
    for (int unsigned w = 0; w < WORDS; w++) begin
      for (int unsigned i = 0; i < LANES; i++) begin
        t.delete();
        repeat (COUNT) t.push_back($urandom_range((2 << IN_BITS) - 1));
        t.sort();
        for (int unsigned k = 0; k < COUNT; k++) thresholds[w][i][k] = int'(t[k]) - (1 << IN_BITS);
      end
    end
  end

  // Word `address` of a level, for every lane.
  function automatic logic [LANES*TBits-1:0] content(input int unsigned level, input int unsigned address);
    int unsigned k;
    k = ((2 * (address % (1 << level)) + 1) << (Levels - 1 - level)) - 1;
    for (int unsigned i = 0; i < LANES; i++) begin
      content[i*TBits+:TBits] = k < COUNT ? TBits'(thresholds[address>>level][i][k]) : TBits'((1 << IN_BITS) - 1);
    end
  endfunction

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    for (genvar l = 0; l < Levels; l++) begin : g_level
      if (((BLOCK >> l) & 1) != 0) begin : g_block
        initial begin
          #1;
          for (int unsigned n = 0; n < WORDS << l; n++) begin
            u_dut.g_lane[i].g_level[l].g_rom.u_rom.g_block.words[n] = content(l, n);
          end
        end
      end else begin : g_logic
        initial begin
          #1;
          for (int unsigned n = 0; n < WORDS << l; n++) begin
            u_dut.g_lane[i].g_level[l].g_rom.u_rom.g_logic.words[n] = content(l, n);
          end
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
      if (out_valid !== line[Latency][Out+1]) $fatal(1, "%m: valid_o is wrong");
      if (out_valid && {out_last, out_data} !== line[Latency][Out:0]) $fatal(1, "%m: wrong data");
      if (idle && (out_valid || number != 0)) $fatal(1, "%m: does not drain");
      line <= {line[Latency-1:1], in_valid, in_last, expected()};
      if (in_valid) number <= in_last ? 0 : (number + 1) % WORDS;
    end else begin
      line   <= '0;
      number <= 0;
    end
  end
endmodule
