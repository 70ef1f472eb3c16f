// CCU2C: two bits of a carry chain, each a look-up table with a carry multiplexer. Half h computes
//   propagate = INITh[{D, C, B, A}], generate = INITh[{0, 0, B, A}], S = propagate ^ carry,
//   next carry = propagate ? carry : generate;
// with INJECT1_h = "YES" the half takes neither the carry into its sum nor the generate term.
module CCU2C #(
  parameter [15:0] INIT0 = 16'h0000,
  parameter [15:0] INIT1 = 16'h0000,
  parameter INJECT1_0 = "YES",
  parameter INJECT1_1 = "YES"
) (
  input  CIN,
  input  A0, B0, C0, D0, A1, B1, C1, D1,
  output S0, S1,
  output COUT
);
  localparam bit Inject0 = (INJECT1_0 == "YES");
  localparam bit Inject1 = (INJECT1_1 == "YES");

  wire propagate0 = INIT0[{D0, C0, B0, A0}];
  wire propagate1 = INIT1[{D1, C1, B1, A1}];
  wire generate0 = INIT0[{2'b00, B0, A0}] & ~Inject0;
  wire generate1 = INIT1[{2'b00, B1, A1}] & ~Inject1;
  wire middle = propagate0 ? CIN : generate0;

  assign S0 = propagate0 ^ (CIN & ~Inject0);
  assign S1 = propagate1 ^ (middle & ~Inject1);
  assign COUT = propagate1 ? middle : generate1;
endmodule
