// Multiple by a constant: y = MULTIPLIER * x, modulo 2^OUT_BITS. Combinational, latency 0.
//
// Made of adders for the set bits of the constant, never of a multiplier block; a power of two is
// wiring.
module ig_scale #(
  parameter int unsigned IN_BITS    = 8,
  parameter int unsigned IN_SIGNED  = 1,
  parameter int          MULTIPLIER = 1,
  parameter int unsigned OUT_BITS   = 9   // signed if x is signed or the constant negative
) (
  input  logic [IN_BITS-1:0]  data_i,
  output logic [OUT_BITS-1:0] data_o
);
  localparam int unsigned Negative = 32'(MULTIPLIER < 0);
  localparam int unsigned Magnitude = MULTIPLIER < 0 ? -MULTIPLIER : MULTIPLIER + 1;
  localparam int unsigned MBits = $clog2(Magnitude) + Negative + 32'(MULTIPLIER == 0);

  logic [IN_BITS+MBits-1:0] product;

  ig_multiply #(
    .A_BITS(IN_BITS), .A_SIGNED(IN_SIGNED), .B_BITS(MBits), .B_SIGNED(Negative), .DSP(0)
  ) u_multiply (
    .a_i(data_i), .b_i(MBits'(MULTIPLIER)), .p_o(product)
  );
  if (IN_SIGNED != 0 || MULTIPLIER < 0) begin : g_signed
    assign data_o = OUT_BITS'(signed'(product) >>> 0);
  end else begin : g_unsigned
    assign data_o = OUT_BITS'(product >> 0);
  end
endmodule
