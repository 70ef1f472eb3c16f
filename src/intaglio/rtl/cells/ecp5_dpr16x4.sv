// TRELLIS_DPR16X4: 16 words of 4 bits in look-up tables; it writes at the edge and reads at once.
module TRELLIS_DPR16X4 #(
  parameter WCKMUX = "WCK",
  parameter WREMUX = "WRE",
  parameter [63:0] INITVAL = 64'h0
) (
  input  [3:0] DI,
  input  [3:0] WAD,
  input        WRE,
  input        WCK,
  input  [3:0] RAD,
  output [3:0] DO
);
  wire clk = (WCKMUX == "INV") ? ~WCK : WCK;
  wire we = (WREMUX == "1") ? 1'b1 : (WREMUX == "0") ? 1'b0 : (WREMUX == "INV") ? ~WRE : WRE;

  reg [3:0] mem[16];
  initial for (int i = 0; i < 16; i++) mem[i] = INITVAL[4*i +: 4];

  always @(posedge clk) if (we) mem[WAD] <= DI;
  assign DO = mem[RAD];
endmodule
