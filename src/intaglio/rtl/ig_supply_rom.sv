// Constants for a pipeline: a word of a memory joins every beat,
//   data_o = {side of the word, side of the beat, word, beat}.
//
// Beat k since reset (or since the last wrap) brings word k; the count wraps at STEPS, so that a frame must bring a
// multiple of STEPS beats. A word is there for REPEAT pulses one after the other, where a beat comes so many times.
//
// Pulses in, pulses out; latency 2, one pulse per cycle, no stall. The memory is `ig_rom`: words of FILE, WORD_SIDE
// bits above WORD_BITS. What the sides mean is for the stages behind: they let what is on top pass them by.
module ig_supply_rom #(
  parameter int unsigned DATA_BITS = 8,  // bits of a beat without its side
  parameter int unsigned DATA_SIDE = 0,  // bits of a beat's side, on top of it
  parameter int unsigned WORD_BITS = 8,  // bits of a word without its side
  parameter int unsigned WORD_SIDE = 0,  // bits of a word's side, on top of it
  parameter int unsigned STEPS = 16,     // words of the memory FILE
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned BLOCK = 0,      // 1: words in block RAM, 0: in logic
  parameter int unsigned REPEAT = 1,     // pulses of a word, >= 1
  localparam int unsigned InBits = DATA_SIDE + DATA_BITS,
  localparam int unsigned OutBits = InBits + WORD_SIDE + WORD_BITS
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
  localparam int unsigned Latency = 2;
  localparam int unsigned AddrBits = STEPS > 1 ? $clog2(STEPS) : 1;

  logic [AddrBits-1:0] step_q;
  logic [WORD_SIDE+WORD_BITS-1:0] word;
  logic [InBits-1:0] beat;
  logic next;  // with the next pulse the next word

  if (REPEAT == 1) begin : g_once
    assign next = 1'b1;
  end else begin : g_repeat
    logic [REPEAT-1:0] turn_q;  // one bit, at the turn of the pulse: a ring takes no logic
    always_ff @(posedge clk_i) begin
      if (!rst_ni) turn_q <= REPEAT'(1);
      else if (valid_i) turn_q <= {turn_q[REPEAT-2:0], turn_q[REPEAT-1]};
    end
    assign next = turn_q[REPEAT-1];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) step_q <= '0;
    else if (valid_i && next) step_q <= step_q == AddrBits'(STEPS - 1) ? '0 : step_q + 1'b1;
  end

  ig_rom #(
    .WIDTH(WORD_SIDE + WORD_BITS), .DEPTH(STEPS), .FILE(FILE), .BLOCK(BLOCK)
  ) u_rom (
    .clk_i, .addr_i(step_q), .data_o(word)
  );
  ig_delay #(
    .WIDTH(InBits + 2), .CYCLES(Latency)
  ) u_delay (
    .clk_i, .rst_ni, .valid_i, .data_i({data_i, end_i, last_i}),
    .valid_o, .data_o({beat, end_o, last_o})
  );
  assign data_o = OutBits'({
    word >> WORD_BITS,
    (DATA_SIDE + WORD_BITS)'({beat >> DATA_BITS, word[WORD_BITS-1:0]}),
    beat[DATA_BITS-1:0]
  });
endmodule
