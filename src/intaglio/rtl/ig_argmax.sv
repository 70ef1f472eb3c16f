// Index of the largest of BEATS * LANES values; of equal ones the lowest index.
//
// Pulses in, one pulse out for every BEATS pulses, 2 cycles after the last of them; no stall. Value
// i of beat n has index n * LANES + i. A group also ends with the frame (last_i). It does not give
// the value.
module ig_argmax #(
  parameter int unsigned LANES    = 1,
  parameter int unsigned BITS     = 8,  // bits of a value
  parameter int unsigned SIGNED   = 1,
  parameter int unsigned BEATS    = 1,  // pulses per group, >= 1
  parameter int unsigned OUT_BITS = 8   // bits of the index
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  // pulses in
  input  logic                  valid_i,
  input  logic [LANES*BITS-1:0] data_i,
  input  logic                  last_i,
  // pulses out
  output logic                  valid_o,
  output logic [OUT_BITS-1:0]   data_o,
  output logic                  last_o
);
  localparam int unsigned Levels = $clog2(LANES);
  localparam int unsigned Leaves = 1 << Levels;
  localparam int unsigned IBits = Levels > 0 ? Levels : 1;
  localparam int unsigned Count = BEATS > 1 ? $clog2(BEATS) : 1;
  localparam logic [BITS-1:0] Flip = SIGNED != 0 ? BITS'(1) << (BITS - 1) : '0;

  // Largest value of a beat: a tree in heap order, node n has the children 2n and 2n+1. The values
  // are made unsigned by inverting the sign bit.
  logic [2*Leaves-1:1][BITS-1:0] value;
  logic [2*Leaves-1:1][IBits-1:0] index;

  for (genvar i = 0; i < Leaves; i++) begin : g_leaf
    if (i < LANES) begin : g_value
      assign value[Leaves+i] = data_i[BITS*i+:BITS] ^ Flip;
      assign index[Leaves+i] = IBits'(i);
    end else begin : g_nothing
      assign value[Leaves+i] = '0;
      assign index[Leaves+i] = '0;
    end
  end
  for (genvar n = 1; n < Leaves; n++) begin : g_node
    logic right;
    assign right = value[2*n+1] > value[2*n];
    assign value[n] = right ? value[2*n+1] : value[2*n];
    assign index[n] = right ? index[2*n+1] : index[2*n];
  end

  // First cycle: the best of this beat. Second cycle: the best of the group so far.
  logic [Count-1:0] beat_q;
  logic [OUT_BITS-1:0] base_q, base1_q, best_index_q;
  logic [BITS-1:0] value1_q, best_q;
  logic [IBits-1:0] index1_q;
  logic valid1_q, first1_q, end1_q, last1_q, valid_q, last_q, final_beat;

  assign final_beat = beat_q == Count'(BEATS - 1) || last_i;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      beat_q   <= '0;
      base_q   <= '0;
      valid1_q <= 1'b0;
      valid_q  <= 1'b0;
    end else begin
      if (valid_i) begin
        beat_q <= final_beat ? '0 : beat_q + 1'b1;
        base_q <= final_beat ? '0 : base_q + OUT_BITS'(LANES);
      end
      valid1_q <= valid_i;
      valid_q  <= valid1_q && end1_q;
    end
  end
  always_ff @(posedge clk_i) begin
    value1_q <= value[1];
    index1_q <= index[1];
    base1_q  <= base_q;
    first1_q <= beat_q == '0;
    end1_q   <= final_beat;
    last1_q  <= last_i;
    last_q   <= last1_q;
    if (valid1_q && (first1_q || value1_q > best_q)) begin
      best_q       <= value1_q;
      best_index_q <= base1_q + OUT_BITS'(index1_q);
    end
  end
  assign valid_o = valid_q;
  assign data_o  = best_index_q;
  assign last_o  = last_q;
endmodule
