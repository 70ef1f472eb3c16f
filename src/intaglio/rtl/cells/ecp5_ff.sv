// TRELLIS_FF: a flip-flop with enable and with set or reset, synchronous (SRMODE "LSR_OVER_CE": it
// wins over the enable, "CE_OVER_LSR": it obeys it) or "ASYNC". It powers up as REGSET says. Not
// modelled: preload (LSRMODE "PRLD"); such a netlist stops at elaboration.
module TRELLIS_FF #(
  parameter GSR = "ENABLED",
  parameter CEMUX = "1",
  parameter CLKMUX = "CLK",
  parameter LSRMUX = "LSR",
  parameter SRMODE = "LSR_OVER_CE",
  parameter REGSET = "RESET",
  parameter LSRMODE = "LSR"
) (
  input      CLK, LSR, CE, DI, M,
  output reg Q
);
  localparam bit Set = (REGSET == "SET");

  wire clk = (CLKMUX == "INV") ? ~CLK : CLK;
  wire lsr = (LSRMUX == "INV") ? ~LSR : LSR;
  wire ce = (CEMUX == "1") ? 1'b1 : (CEMUX == "0") ? 1'b0 : (CEMUX == "INV") ? ~CE : CE;

  initial Q = Set;

  if (LSRMODE == "PRLD") begin : g_preload
    $error("TRELLIS_FF: LSRMODE PRLD has no model");
  end else if (SRMODE == "ASYNC") begin : g_async
    always @(posedge clk or posedge lsr) begin
      if (lsr) Q <= Set;
      else if (ce) Q <= DI;
    end
  end else if (SRMODE == "CE_OVER_LSR") begin : g_enabled
    always @(posedge clk) if (ce) Q <= lsr ? Set : DI;
  end else begin : g_sync
    always @(posedge clk) begin
      if (lsr) Q <= Set;
      else if (ce) Q <= DI;
    end
  end
endmodule
