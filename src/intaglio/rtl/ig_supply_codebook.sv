// Weights of a few values for a pipeline: a memory has the number of each, a table the value,
//   data_o = {side of the beat, entries[number] of every lane, beat}.
//
// Beat k since reset (or since the last wrap) brings word k of the numbers, lane 0 lowest, as in `ig_supply_rom`: the
// count wraps at STEPS, and a word is there for REPEAT pulses.
//
// Pulses in, pulses out; latency 3, one pulse per cycle, no stall: `ig_supply_rom` 2, the table 1. Every lane has a copy
// of the table in logic.
module ig_supply_codebook #(
  parameter int unsigned DATA_BITS = 8,   // bits of a beat without its side
  parameter int unsigned DATA_SIDE = 0,   // bits of a beat's side, on top of it
  parameter int unsigned LANES = 4,       // weights in a word
  parameter int unsigned INDEX_BITS = 4,  // bits of a number
  parameter int unsigned VALUE_BITS = 8,  // bits of a value
  parameter int unsigned ENTRIES = 16,    // values in TABLE_FILE, more than 1
  parameter int unsigned STEPS = 16,      // words of the memory FILE
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter TABLE_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned BLOCK = 0,       // 1: numbers in block RAM, 0: in logic
  parameter int unsigned REPEAT = 1,      // pulses of a word, >= 1
  localparam int unsigned InBits = DATA_SIDE + DATA_BITS,
  localparam int unsigned OutBits = InBits + LANES * VALUE_BITS
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // pulses in
  input  logic               valid_i,
  input  logic [InBits-1:0]  data_i,
  input  logic               end_i,   // last pulse of a reduction
  input  logic               last_i,  // last pulse of the frame
  // pulses out
  output logic               valid_o,
  output logic [OutBits-1:0] data_o,
  output logic               end_o,
  output logic               last_o
);
  localparam int unsigned IndexBits = LANES * INDEX_BITS;
  localparam int unsigned TableBits = $clog2(ENTRIES);

  (* ram_style = "logic" *) logic [VALUE_BITS-1:0] entries[ENTRIES];
  initial $readmemh(TABLE_FILE, entries);

  logic valid, ends, last;
  logic [InBits+IndexBits-1:0] indexed;
  logic [LANES*VALUE_BITS-1:0] values_q;
  logic [InBits-1:0] beat, beat_q;

  ig_supply_rom #(
    .DATA_BITS(DATA_BITS), .DATA_SIDE(DATA_SIDE), .WORD_BITS(IndexBits), .WORD_SIDE(0),
    .STEPS(STEPS), .FILE(FILE), .BLOCK(BLOCK), .REPEAT(REPEAT)
  ) u_numbers (
    .clk_i, .rst_ni, .valid_i, .data_i, .end_i, .last_i,
    .valid_o(valid), .data_o(indexed), .end_o(ends), .last_o(last)
  );

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    logic [TableBits-1:0] number;
    assign number = indexed[DATA_BITS+i*INDEX_BITS+:TableBits];
    always_ff @(posedge clk_i) values_q[i*VALUE_BITS+:VALUE_BITS] <= entries[number];
  end

  assign beat = InBits'({indexed >> (DATA_BITS + IndexBits), indexed[DATA_BITS-1:0]});
  ig_delay #(
    .WIDTH(InBits + 2), .CYCLES(1)
  ) u_delay (
    .clk_i, .rst_ni, .valid_i(valid), .data_i({beat, ends, last}),
    .valid_o, .data_o({beat_q, end_o, last_o})
  );
  assign data_o = OutBits'({beat_q >> DATA_BITS, values_q, beat_q[DATA_BITS-1:0]});

`ifndef SYNTHESIS
  int file;
  initial begin
    assert (ENTRIES > 1 && TableBits <= INDEX_BITS) else $fatal(1, "%m: ENTRIES");
    file = $fopen(TABLE_FILE, "r");
    if (file == 0) $fatal(1, "ig_supply_codebook: cannot open memory file '%s'", TABLE_FILE);
    $fclose(file);
  end
`endif
endmodule
