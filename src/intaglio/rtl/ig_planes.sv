// Bit-serial activations: every beat comes BITS times with the same data, and pulse j of it passes bit j of each lane,
//   data_o[l] = bit j of lane l of data_i.
//
// Pulses in, pulses out; latency 0, no stall: only the planes are counted, since reset. valid, end and last pass as they
// are: whoever repeats the beats lets end and last come with the last plane (`ig_window` does). The sums of the planes
// are put together again by `ig_serial`.
module ig_planes #(
  parameter int unsigned LANES = 4,
  parameter int unsigned BITS = 8  // bits of a lane, and pulses per beat
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  // pulses in
  input  logic                       valid_i,
  input  logic [LANES-1:0][BITS-1:0] data_i,
  input  logic                       end_i,   // last pulse of a reduction
  input  logic                       last_i,  // last pulse of the frame
  // pulses out
  output logic                       valid_o,
  output logic [LANES-1:0]           data_o,
  output logic                       end_o,
  output logic                       last_o
);
  assign valid_o = valid_i;
  assign end_o = end_i;
  assign last_o = last_i;

  if (BITS == 1) begin : g_one
    logic unused_clock;
    assign unused_clock = clk_i ^ rst_ni;
    assign data_o = data_i;
  end else begin : g_planes
    localparam int unsigned Count = $clog2(BITS);
    logic [Count-1:0] plane_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) plane_q <= '0;
      else if (valid_i) plane_q <= plane_q == Count'(BITS - 1) ? '0 : plane_q + 1'b1;
    end
    for (genvar l = 0; l < LANES; l++) begin : g_lane
      logic [BITS-1:0] bits;
      assign bits = data_i[l];
      assign data_o[l] = bits[plane_q];
    end
  end
endmodule
