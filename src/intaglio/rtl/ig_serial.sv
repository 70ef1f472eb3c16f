// Sums of bit planes, put together: one pulse for PLANES pulses, with the last of them, in which for every row
//   out = sum over j < PLANES of in[j] << j; with SIGNED = 1 the last plane is the sign's, and is subtracted.
//
// Planes come lowest first, counted since reset. Pulses in, pulses out; latency 1 from the last plane, no stall. end,
// last and the side are those of the last plane, and wait for nothing.
//
// Half of the sum so far, of which a bit leaves for `low_q`, plus the next plane: the adder is as wide as a plane.
module ig_serial #(
  parameter int unsigned PE = 2,         // rows
  parameter int unsigned IN_BITS = 8,    // bits of the sum of a plane, two's complement
  parameter int unsigned PLANES = 8,     // >= 1
  parameter int unsigned SIGNED = 0,     // 1: the last plane is subtracted
  parameter int unsigned SIDE_BITS = 0,  // bits on top of data_i that travel beside
  localparam int unsigned SumBits = IN_BITS + PLANES,
  localparam int unsigned InBits = SIDE_BITS + PE * IN_BITS,
  localparam int unsigned OutBits = SIDE_BITS + PE * SumBits
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // pulses in: {side, sums}, row 0 lowest
  input  logic               valid_i,
  input  logic [InBits-1:0]  data_i,
  input  logic               end_i,   // last pulse of a reduction
  input  logic               last_i,  // last pulse of the frame
  // pulses out: {side, sums}, each two's complement
  output logic               valid_o,
  output logic [OutBits-1:0] data_o,
  output logic               end_o,
  output logic               last_o
);
  localparam int unsigned HighBits = IN_BITS + 1;

  logic first, top;  // planes
  logic [SIDE_BITS+1:0] flags;
  logic [PE-1:0][SumBits-1:0] sums;

  if (PLANES == 1) begin : g_single
    assign {first, top} = '1;
  end else begin : g_turns
    logic [PLANES-1:0] turn_q;  // one bit, at the place of the plane: a ring takes no logic
    always_ff @(posedge clk_i) begin
      if (!rst_ni) turn_q <= PLANES'(1);
      else if (valid_i) turn_q <= {turn_q[PLANES-2:0], turn_q[PLANES-1]};
    end
    assign first = turn_q[0];
    assign top = turn_q[PLANES-1];
  end

  for (genvar p = 0; p < PE; p++) begin : g_row
    logic subtract;
    logic [HighBits-1:0] half, plane, high_q;
    assign subtract = top && SIGNED != 0;
    assign half = first ? '0 : {high_q[HighBits-1], high_q[HighBits-1:1]};
    assign plane = HighBits'(signed'(data_i[p*IN_BITS+:IN_BITS]));
    // One more bit below carries into the addition.
    always_ff @(posedge clk_i) begin
      if (valid_i) high_q <= HighBits'({half, 1'b1} + {subtract ? ~plane : plane, subtract} >> 1);
    end
    if (PLANES == 1) begin : g_one
      assign sums[p] = high_q;
    end else begin : g_low
      logic [PLANES-2:0] low_q;
      always_ff @(posedge clk_i) begin
        if (valid_i) low_q <= (PLANES - 1)'({high_q[0], low_q} >> 1);
      end
      assign sums[p] = {high_q, low_q};
    end
  end

  ig_delay #(
    .WIDTH(SIDE_BITS + 2), .CYCLES(1)
  ) u_delay (
    .clk_i, .rst_ni, .valid_i(valid_i && top),
    .data_i((SIDE_BITS + 2)'({data_i >> PE * IN_BITS, end_i, last_i})),
    .valid_o, .data_o(flags)
  );
  assign {end_o, last_o} = flags[1:0];
  assign data_o = OutBits'({flags >> 2, sums});
endmodule
