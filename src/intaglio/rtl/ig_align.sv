// Shared exponents: the values of a block are rounded to the mantissa bits that suit the largest of them.
//   e = max(0, L - m), L = bits of the largest x (of ~x where x < 0) of the block, m = mantissa bits without the sign,
//   q = min((x + ((1 << e) >> 1)) >> e, 2^m - 1): to nearest, ties up, and y = q << e.
//
// Pulses in, pulses out; latency 4 cycles, with FULL = 1 5 cycles, one pulse per cycle, no stall. Blocks are BLOCK
// neighbouring lanes; a block does not reach over two pulses. With FULL = 1 a pulse carries LANES values y of
// IN_BITS; with FULL = 0, where LANES = BLOCK, it carries {e, q of every lane}, of SHIFT_BITS and MANTISSA bits.
module ig_align #(
  parameter int unsigned LANES      = 4,  // values of a pulse, a multiple of BLOCK
  parameter int unsigned IN_BITS    = 8,
  parameter int unsigned IN_SIGNED  = 1,  // 1: values are two's complement, 0: unsigned
  parameter int unsigned BLOCK      = 4,  // values that share an exponent
  parameter int unsigned MANTISSA   = 4,  // bits of q, with its sign
  parameter int unsigned FULL       = 1,  // 1: values, 0: exponent and mantissas
  parameter int unsigned SHIFT_BITS = 3,  // FULL = 0: bits of e, at most IN_BITS - MANTISSA
  localparam int unsigned OutBits = FULL != 0 ? LANES * IN_BITS : SHIFT_BITS + LANES * MANTISSA
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  // pulses in
  input  logic                     valid_i,
  input  logic [LANES*IN_BITS-1:0] data_i,
  input  logic                     end_i,   // last beat of an operation; only passed on
  input  logic                     last_i,
  // pulses out
  output logic                     valid_o,
  output logic [OutBits-1:0]       data_o,
  output logic                     end_o,
  output logic                     last_o
);
  localparam int unsigned Latency = FULL != 0 ? 5 : 4;
  localparam int unsigned Most = IN_BITS > MANTISSA ? IN_BITS - MANTISSA : 0;  // largest exponent
  localparam int unsigned Excess = Most > 0 ? Most : 1;  // bits of x above the mantissa
  localparam int unsigned XBits = IN_BITS > MANTISSA ? IN_BITS : MANTISSA;
  localparam int unsigned EBits = $clog2(Excess + 1);
  localparam int unsigned Kept = MANTISSA - 32'(IN_SIGNED != 0);  // m

  logic [Latency-1:0] valid_q, end_q, last_q;
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[Latency-2:0], valid_i} : '0;
    end_q   <= {end_q[Latency-2:0], end_i};
    last_q  <= {last_q[Latency-2:0], last_i};
  end
  assign valid_o = valid_q[Latency-1];
  assign end_o   = end_q[Latency-1];
  assign last_o  = last_q[Latency-1];

  for (genvar b = 0; b < LANES / BLOCK; b++) begin : g_block
    logic [BLOCK*Excess-1:0] high;  // magnitudes above the mantissa, by bit, then by lane
    logic [Excess-1:0] any, reached, reached1_q;
    logic [EBits-1:0] e, e2_q, e3_q, e4_q;

    // A bit of the magnitude is set wherever it differs from the sign. First cycle: is any bit set here or above?
    for (genvar k = 0; k < Excess; k++) begin : g_bit
      assign any[k] = |high[k*BLOCK+:BLOCK];
      assign reached[k] = |any[Excess-1:k];
    end
    // Second cycle: the number of ones below the edge, as in ig_threshold.
    always_comb begin
      logic [(1<<EBits)-1:0] code;
      code = (1 << EBits)'(reached1_q);
      for (int l = int'(EBits) - 1; l >= 0; l--) begin
        e[l] = code[(1<<l)-1];
        if (e[l]) code = code >> (1 << l);
      end
    end
    always_ff @(posedge clk_i) begin
      reached1_q <= reached;
      e2_q <= e;
      e3_q <= e2_q;
      e4_q <= e3_q;
    end
    if (FULL == 0) begin : g_exponent
      assign data_o[LANES*MANTISSA+:SHIFT_BITS] = SHIFT_BITS'(e4_q);
    end

    for (genvar i = 0; i < BLOCK; i++) begin : g_lane
      localparam int unsigned Lane = b * BLOCK + i;
      logic [IN_BITS-1:0] value;
      logic [XBits-1:0] x, x1_q, x2_q;
      logic [MANTISSA:0] x3_q;  // {rounded down, half}
      logic [MANTISSA-1:0] q, q_q;
      logic sign, largest;

      assign value = data_i[Lane*IN_BITS+:IN_BITS];
      assign sign = IN_SIGNED != 0 && value[IN_BITS-1];
      assign x = XBits'({{XBits{sign}}, value});
      for (genvar k = 0; k < Excess; k++) begin : g_bit
        if (Most == 0) begin : g_none
          assign high[k*BLOCK+i] = 1'b0;
        end else begin : g_high
          assign high[k*BLOCK+i] = x[Kept+k] != sign;
        end
      end
      // Third cycle: shift, keeping the bit below. Fourth: round up, except from the largest.
      assign largest = x3_q[MANTISSA:1] == MANTISSA'((1 << Kept) - 1);
      assign q = x3_q[MANTISSA:1] + MANTISSA'(x3_q[0] && !largest);
      always_ff @(posedge clk_i) begin
        x1_q <= x;
        x2_q <= x1_q;
        x3_q <= (MANTISSA + 1)'({x2_q, 1'b0} >> e2_q);
        q_q  <= q;
      end

      if (FULL == 0) begin : g_mantissa
        assign data_o[Lane*MANTISSA+:MANTISSA] = q_q;
      end else begin : g_value
        logic [IN_BITS-1:0] wide, y_q;
        if (IN_SIGNED != 0) begin : g_signed
          assign wide = IN_BITS'(signed'(q_q));
        end else begin : g_unsigned
          assign wide = IN_BITS'(q_q);
        end
        always_ff @(posedge clk_i) y_q <= wide << e4_q;
        assign data_o[Lane*IN_BITS+:IN_BITS] = y_q;
      end
    end
  end

`ifndef SYNTHESIS
  initial begin
    assert (LANES % BLOCK == 0 && (FULL != 0 || LANES == BLOCK)) else $fatal(1, "%m: BLOCK");
    assert (FULL != 0 || Most < 1 << SHIFT_BITS) else $fatal(1, "%m: SHIFT_BITS");
  end
`endif
endmodule
