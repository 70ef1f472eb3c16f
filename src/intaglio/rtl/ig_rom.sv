// Constant memory: data_o = word[addr_i].
//
// Latency: data_o follows addr_i by 2 cycles (memory register, then a fabric register, because block RAM is slow to
// leave its macro). No handshake and no reset: a read happens in every cycle.
//
// The content is FILE, one hexadecimal word per line ($readmemh), found from the working directory of the tool. A
// missing file stops the simulation below, and Yosys by itself. It could not be noticed by its values: a two-state
// simulator reads zeros and goes on.
module ig_rom #(
  parameter int unsigned WIDTH = 8,   // bits of a word
  parameter int unsigned DEPTH = 16,  // number of words
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned BLOCK = 0,   // 1: block RAM, 0: logic
  localparam int unsigned AddrBits = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
  input  logic                clk_i,
  input  logic [AddrBits-1:0] addr_i,
  output logic [WIDTH-1:0]    data_o
);
  localparam int unsigned Latency = 2;

  logic [Latency-1:0][WIDTH-1:0] data_q;

  if (BLOCK != 0) begin : g_block
    (* ram_style = "block" *) logic [WIDTH-1:0] words[DEPTH];
    initial $readmemh(FILE, words);
    always_ff @(posedge clk_i) data_q[0] <= words[addr_i];
  end else begin : g_logic
    (* ram_style = "logic" *) logic [WIDTH-1:0] words[DEPTH];
    initial $readmemh(FILE, words);
    always_ff @(posedge clk_i) data_q[0] <= words[addr_i];
  end

  always_ff @(posedge clk_i) data_q[Latency-1:1] <= data_q[Latency-2:0];
  assign data_o = data_q[Latency-1];

`ifndef SYNTHESIS
  int file;
  initial begin
    file = $fopen(FILE, "r");
    if (file == 0) $fatal(1, "ig_rom: cannot open memory file '%s'", FILE);
    $fclose(file);
  end
`endif
endmodule
