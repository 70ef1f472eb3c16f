// Counts thresholds: y = BASE + number of thresholds t_k with x >= t_k, per channel, as ig_threshold does, by a search:
// of every lane, each level compares x with the middle of the thresholds that are left, found in the level's memory.
//
// Pulses in, pulses out; latency 2 * Levels + 1 cycles with Levels = clog2(COUNT + 1) <= 8, one pulse per cycle, no
// stall. Thresholds are signed, have IN_BITS + 1 bits and must ascend (t_0 <= t_1 <= ...; equal ones count each). Pulse
// number n of a frame uses the thresholds of word w = n mod WORDS.
//
// LEVEL<l>_FILE, for each level l < Levels, has WORDS * 2^l words. Word w * 2^l + j holds, for every lane, lane 0 lowest,
// t_k with k = (2 * j + 1) * 2^(Levels - 1 - l) - 1, or the largest value 2^IN_BITS - 1 where k >= COUNT.
//
// OUT_BITS must hold BASE and BASE + COUNT: it does not saturate.
module ig_threshold_search #(
  parameter int unsigned LANES      = 1,
  parameter int unsigned IN_BITS    = 16,
  parameter int unsigned IN_SIGNED  = 1,
  parameter int unsigned COUNT      = 3,   // thresholds per channel, 1 to 255
  parameter int          BASE       = 0,   // y below every threshold
  parameter int unsigned OUT_BITS   = 2,
  parameter int unsigned OUT_SIGNED = 0,
  parameter int unsigned WORDS      = 1,   // pulses per period of the thresholds
  // $readmemh files, see above
  parameter LEVEL0_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter LEVEL1_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter LEVEL2_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter LEVEL3_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter LEVEL4_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter LEVEL5_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter LEVEL6_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter LEVEL7_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned BLOCK      = 0    // bit l: level l in block memory, else in logic
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,
  // pulses in
  input  logic                      valid_i,
  input  logic [LANES*IN_BITS-1:0]  data_i,
  input  logic                      last_i,
  // pulses out
  output logic                      valid_o,
  output logic [LANES*OUT_BITS-1:0] data_o,
  output logic                      last_o
);
  localparam int unsigned TBits = IN_BITS + 1;
  localparam int unsigned Width = LANES * TBits;
  localparam int unsigned Address = WORDS > 1 ? $clog2(WORDS) : 1;
  localparam int unsigned Levels = $clog2(COUNT + 1);  // bits of the count
  localparam int unsigned RomLatency = 2;
  localparam int unsigned Latency = RomLatency * Levels + 1;
  // An unsigned x may reach even the largest value, and with it the thresholds that do not exist.
  localparam bit Clip = IN_SIGNED == 0 && COUNT + 1 != 1 << Levels;

  logic [Latency-1:0] valid_q, last_q;
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[Latency-2:0], valid_i} : '0;
    last_q  <= {last_q[Latency-2:0], last_i};
  end
  assign valid_o = valid_q[Latency-1];
  assign last_o  = last_q[Latency-1];

  // Word of the pulse, as each level reads it: level 0 in the cycle of the pulse.
  logic [Levels*Address-1:0] word;
  if (WORDS == 1) begin : g_constant
    assign word = '0;
  end else begin : g_words
    logic [Address-1:0] word_q;
    logic [Levels*Address-1:0] next_q, later_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) word_q <= '0;
      else if (valid_i) begin
        word_q <= (word_q == Address'(WORDS - 1) || last_i) ? '0 : word_q + 1'b1;
      end
      next_q  <= word;
      later_q <= next_q;
    end
    assign word = (Levels * Address)'({later_q, word_q});
  end

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    logic [Levels-1:0] count;
    logic [OUT_BITS-1:0] y_q;

    for (genvar l = 0; l < Levels; l++) begin : g_level
      localparam int unsigned Depth = WORDS << l;
      localparam int unsigned AddrBits = Depth > 1 ? $clog2(Depth) : 1;
      localparam int unsigned Block = (BLOCK >> l) & 1;
      logic [AddrBits-1:0] address;
      logic [Width-1:0] words;
      logic signed [TBits-1:0] x, x1_q, x2_q, threshold;
      logic [l:0] found;  // the highest bits of the count
      logic reached;

      if (l == 0) begin : g_first
        if (IN_SIGNED != 0) begin : g_signed
          assign x = TBits'(signed'(data_i[IN_BITS*i+:IN_BITS]));
        end else begin : g_unsigned
          assign x = TBits'(data_i[IN_BITS*i+:IN_BITS]);
        end
        assign address = AddrBits'(word[Address-1:0]);
        assign found = reached;
      end else begin : g_next
        logic [l-1:0] path, path1_q, path2_q;
        assign x = g_level[l-1].x2_q;
        assign path = g_level[l-1].found;
        assign address = AddrBits'({word[l*Address+:Address], path});
        always_ff @(posedge clk_i) begin
          path1_q <= path;
          path2_q <= path1_q;
        end
        assign found = {path2_q, reached};
      end

      if (l == 0) begin : g_rom
        ig_rom #(
          .WIDTH(Width), .DEPTH(Depth), .FILE(LEVEL0_FILE), .BLOCK(Block)
        ) u_rom (
          .clk_i, .addr_i(address), .data_o(words)
        );
      end else if (l == 1) begin : g_rom
        ig_rom #(
          .WIDTH(Width), .DEPTH(Depth), .FILE(LEVEL1_FILE), .BLOCK(Block)
        ) u_rom (
          .clk_i, .addr_i(address), .data_o(words)
        );
      end else if (l == 2) begin : g_rom
        ig_rom #(
          .WIDTH(Width), .DEPTH(Depth), .FILE(LEVEL2_FILE), .BLOCK(Block)
        ) u_rom (
          .clk_i, .addr_i(address), .data_o(words)
        );
      end else if (l == 3) begin : g_rom
        ig_rom #(
          .WIDTH(Width), .DEPTH(Depth), .FILE(LEVEL3_FILE), .BLOCK(Block)
        ) u_rom (
          .clk_i, .addr_i(address), .data_o(words)
        );
      end else if (l == 4) begin : g_rom
        ig_rom #(
          .WIDTH(Width), .DEPTH(Depth), .FILE(LEVEL4_FILE), .BLOCK(Block)
        ) u_rom (
          .clk_i, .addr_i(address), .data_o(words)
        );
      end else if (l == 5) begin : g_rom
        ig_rom #(
          .WIDTH(Width), .DEPTH(Depth), .FILE(LEVEL5_FILE), .BLOCK(Block)
        ) u_rom (
          .clk_i, .addr_i(address), .data_o(words)
        );
      end else if (l == 6) begin : g_rom
        ig_rom #(
          .WIDTH(Width), .DEPTH(Depth), .FILE(LEVEL6_FILE), .BLOCK(Block)
        ) u_rom (
          .clk_i, .addr_i(address), .data_o(words)
        );
      end else begin : g_rom
        ig_rom #(
          .WIDTH(Width), .DEPTH(Depth), .FILE(LEVEL7_FILE), .BLOCK(Block)
        ) u_rom (
          .clk_i, .addr_i(address), .data_o(words)
        );
      end

      assign threshold = words[i*TBits+:TBits];
      assign reached = x2_q >= threshold;
      always_ff @(posedge clk_i) begin
        x1_q <= x;
        x2_q <= x1_q;
      end
    end

    assign count = Clip && (&g_level[Levels-1].found) ? Levels'(COUNT) : g_level[Levels-1].found;
    always_ff @(posedge clk_i) y_q <= OUT_BITS'(BASE) + OUT_BITS'(count);
    assign data_o[OUT_BITS*i+:OUT_BITS] = y_q;
  end

`ifndef SYNTHESIS
  localparam longint Lowest = OUT_SIGNED != 0 ? -(64'sd1 <<< (OUT_BITS - 1)) : 0;
  localparam longint Highest = (64'sd1 <<< (OUT_SIGNED != 0 ? OUT_BITS - 1 : OUT_BITS)) - 1;
  initial begin
    assert (COUNT > 0 && COUNT < 256) else $fatal(1, "%m: COUNT");
    assert (Lowest <= 64'(BASE) && 64'(BASE) + 64'(signed'({1'b0, COUNT})) <= Highest)
    else $fatal(1, "%m: BASE and COUNT do not suit OUT_BITS and OUT_SIGNED");
  end
`endif
endmodule
