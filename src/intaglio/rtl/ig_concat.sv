// Joins two streams along the channels: per pixel A_WORDS beats of A_MULTIPLIER * a, then B_WORDS
// beats of B_MULTIPLIER * b.
//
// A beat is taken when it is its stream's turn and the outlet downstream grants a credit (take_o,
// one per beat); it leaves as a pulse one cycle later. Latency 1, one beat per cycle, no stall
// after that. y has OUT_BITS, which must hold every product: it does not saturate. `last` is that
// of b; it also restarts the turns, so a beat lost upstream cannot shift later frames.
module ig_concat #(
  parameter int unsigned LANES        = 1,
  parameter int unsigned A_BITS       = 8,
  parameter int unsigned A_SIGNED     = 1,
  parameter int unsigned A_WORDS      = 1,  // beats of a per pixel, >= 1
  parameter int unsigned B_BITS       = 8,
  parameter int unsigned B_SIGNED     = 1,
  parameter int unsigned B_WORDS      = 1,  // beats of b per pixel, >= 1
  parameter int          A_MULTIPLIER = 1,
  parameter int          B_MULTIPLIER = 1,
  parameter int unsigned OUT_BITS     = 8,
  parameter int unsigned OUT_SIGNED   = 1   // for the reader: OUT_BITS decides alone
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,
  // credits
  input  logic                      grant_i,
  output logic                      take_o,
  // streams in
  input  logic                      a_valid_i,
  output logic                      a_ready_o,
  input  logic [LANES*A_BITS-1:0]   a_data_i,
  input  logic                      a_last_i,
  input  logic                      b_valid_i,
  output logic                      b_ready_o,
  input  logic [LANES*B_BITS-1:0]   b_data_i,
  input  logic                      b_last_i,
  // pulses out
  output logic                      valid_o,
  output logic [LANES*OUT_BITS-1:0] data_o,
  output logic                      last_o
);
  localparam int unsigned Words = A_WORDS + B_WORDS;
  localparam int unsigned Count = $clog2(Words);

  logic [Count-1:0] turn_q;
  logic valid_q, last_q, turn_b;

  assign turn_b    = turn_q >= Count'(A_WORDS);
  assign take_o    = grant_i && (turn_b ? b_valid_i : a_valid_i);
  assign a_ready_o = grant_i && !turn_b;
  assign b_ready_o = grant_i && turn_b;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) turn_q <= '0;
    else if (take_o) begin
      turn_q <= (turn_q == Count'(Words - 1) || (turn_b && b_last_i)) ? '0 : turn_q + 1'b1;
    end
  end
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni && take_o;
    last_q  <= turn_b && b_last_i;
  end
  assign valid_o = valid_q;
  assign last_o  = last_q;

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    logic [OUT_BITS-1:0] a, b, lane_q;

    ig_scale #(
      .IN_BITS(A_BITS), .IN_SIGNED(A_SIGNED), .MULTIPLIER(A_MULTIPLIER), .OUT_BITS(OUT_BITS)
    ) u_a (
      .data_i(a_data_i[A_BITS*i+:A_BITS]), .data_o(a)
    );
    ig_scale #(
      .IN_BITS(B_BITS), .IN_SIGNED(B_SIGNED), .MULTIPLIER(B_MULTIPLIER), .OUT_BITS(OUT_BITS)
    ) u_b (
      .data_i(b_data_i[B_BITS*i+:B_BITS]), .data_o(b)
    );
    always_ff @(posedge clk_i) lane_q <= turn_b ? b : a;
    assign data_o[OUT_BITS*i+:OUT_BITS] = lane_q;
  end

  logic unused_last;
  assign unused_last = a_last_i;
`ifndef SYNTHESIS
  initial assert (OUT_SIGNED <= 1) else $fatal(1, "%m: OUT_SIGNED is 0 or 1");
`endif
endmodule
