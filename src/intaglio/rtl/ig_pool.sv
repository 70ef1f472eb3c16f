// Reduction of the beats of one window, lane by lane: data_o = max or sum over the beats up to end_i.
//
// Latency: 1 cycle from the pulse with end_i to the one pulse with the results. Pulses in, pulses out; never stalls.
module ig_pool #(
  parameter int unsigned LANES = 1,     // channels per beat
  parameter int unsigned IN_BITS = 8,   // bits of a value
  parameter int unsigned SIGNED = 0,    // 1: values are two's complement, 0: unsigned
  parameter int unsigned OUT_BITS = 8,  // bits of a result, >= IN_BITS; wide enough for every sum
  parameter int unsigned SUM = 0        // 1: sum, 0: maximum
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,
  // in
  input  logic                           valid_i,
  input  logic [LANES-1:0][IN_BITS-1:0]  data_i,
  input  logic                           end_i,   // last beat of a window
  input  logic                           last_i,  // last beat of the frame
  // out
  output logic                           valid_o,
  output logic [LANES-1:0][OUT_BITS-1:0] data_o,
  output logic                           last_o
);
  localparam int unsigned Latency = 1;

  logic first_q;
  logic [Latency-1:0] valid_q, last_q;

  always_ff @(posedge clk_i) begin
    last_q <= last_i;
    if (!rst_ni) begin
      first_q <= 1'b1;
      valid_q <= '0;
    end else begin
      if (valid_i) first_q <= end_i;
      valid_q <= valid_i && end_i;
    end
  end
  assign valid_o = valid_q;
  assign last_o = last_q;

  for (genvar l = 0; l < LANES; l++) begin : g_lane
    logic [OUT_BITS-1:0] value, result_q;
    if (SIGNED != 0) begin : g_signed
      assign value = OUT_BITS'(signed'(data_i[l]));
    end else begin : g_unsigned
      assign value = OUT_BITS'(data_i[l]);
    end

    if (SUM != 0) begin : g_sum
      always_ff @(posedge clk_i) begin
        if (valid_i) result_q <= (first_q ? '0 : result_q) + value;
      end
    end else begin : g_max
      logic greater;
      if (SIGNED != 0) begin : g_compare_signed
        assign greater = signed'(value) > signed'(result_q);
      end else begin : g_compare
        assign greater = value > result_q;
      end
      always_ff @(posedge clk_i) begin
        if (valid_i && (first_q || greater)) result_q <= value;
      end
    end
    assign data_o[l] = result_q;
  end
endmodule
