// Joins two streams: y = A_MULTIPLIER * a + B_MULTIPLIER * b, lane by lane.
//
// A pair of beats is taken when both are valid and the outlet downstream grants a credit (take_o);
// the sum leaves as a pulse one cycle later. Latency 1, one pair per cycle, no stall after that. y
// has OUT_BITS, which must hold every sum: it does not saturate. `last` is that of both streams,
// which must have frames of equal length (simulation asserts).
module ig_add #(
  parameter int unsigned LANES        = 1,
  parameter int unsigned A_BITS       = 8,
  parameter int unsigned A_SIGNED     = 1,
  parameter int unsigned B_BITS       = 8,
  parameter int unsigned B_SIGNED     = 1,
  parameter int          A_MULTIPLIER = 1,
  parameter int          B_MULTIPLIER = 1,
  parameter int unsigned OUT_BITS     = 9
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
  logic valid_q, last_q;

  assign take_o    = a_valid_i && b_valid_i && grant_i;
  assign a_ready_o = b_valid_i && grant_i;
  assign b_ready_o = a_valid_i && grant_i;
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni && take_o;
    last_q  <= a_last_i || b_last_i;
  end
  assign valid_o = valid_q;
  assign last_o  = last_q;

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    logic [OUT_BITS-1:0] a, b, sum_q;

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
    always_ff @(posedge clk_i) sum_q <= a + b;
    assign data_o[OUT_BITS*i+:OUT_BITS] = sum_q;
  end

`ifndef SYNTHESIS
  always @(posedge clk_i) begin
    if (rst_ni && take_o) begin
      assert (a_last_i == b_last_i) else $fatal(1, "%m: the frames differ in length");
    end
  end
`endif
endmodule
