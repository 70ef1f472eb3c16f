// Turns a stream into pulses: groups of BEATS beats share one credit of the outlet downstream.
//
//   The first beat of a group waits for grant_i and raises take_o; the others pass as they come.
//   ready_o = grant_i for a first beat, else 1. Latency 0: the pulse is in the cycle of the
//   transfer.
//
// end_o marks the last beat of a group. A group also ends with the frame (last_i), so a beat lost
// upstream cannot shift the groups of later frames. It does not store data.
module ig_gate #(
  parameter int unsigned WIDTH = 8,  // bits of data_i
  parameter int unsigned BEATS = 1   // beats per group, >= 1; a frame is a multiple of it
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  // credits
  input  logic             grant_i,
  output logic             take_o,
  // stream in
  input  logic             valid_i,
  output logic             ready_o,
  input  logic [WIDTH-1:0] data_i,
  input  logic             last_i,
  // pulses out
  output logic             valid_o,
  output logic [WIDTH-1:0] data_o,
  output logic             end_o,
  output logic             last_o
);
  logic first;

  assign ready_o = !first || grant_i;
  assign valid_o = valid_i && ready_o;
  assign take_o  = valid_o && first;
  assign data_o  = data_i;
  assign last_o  = last_i;

  if (BEATS == 1) begin : g_single
    logic unused_clock;
    assign unused_clock = clk_i ^ rst_ni;
    assign first = 1'b1;
    assign end_o = 1'b1;
  end else begin : g_group
    localparam int unsigned Count = $clog2(BEATS);
    logic [Count-1:0] beat_q;

    assign first = beat_q == '0;
    assign end_o = beat_q == Count'(BEATS - 1) || last_i;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) beat_q <= '0;
      else if (valid_o) beat_q <= end_o ? '0 : beat_q + 1'b1;
    end
  end
endmodule
