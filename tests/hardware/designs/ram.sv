// A simple dual-port memory for tests: block RAM or look-up tables, as BLOCK says. A read of the word that is being
// written gives the old one; addresses beyond the end mean word 0.
module ram #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned DEPTH = 16,
  parameter int unsigned BLOCK = 1
) (
  input  logic             clk_i,
  input  logic             we_i,
  input  logic [13:0]      waddr_i,
  input  logic [WIDTH-1:0] wdata_i,
  input  logic             re_i,
  input  logic [13:0]      raddr_i,
  output logic [WIDTH-1:0] rdata_o
);
  logic [13:0] waddr, raddr;
  assign waddr = ({1'b0, waddr_i} < 15'(DEPTH)) ? waddr_i : '0;
  assign raddr = ({1'b0, raddr_i} < 15'(DEPTH)) ? raddr_i : '0;

  if (BLOCK != 0) begin : g_block
    (* ram_style = "block" *) logic [WIDTH-1:0] mem[DEPTH];
    always_ff @(posedge clk_i) begin
      if (we_i) mem[waddr[$clog2(DEPTH)-1:0]] <= wdata_i;
      if (re_i) rdata_o <= mem[raddr[$clog2(DEPTH)-1:0]];
    end
  end else begin : g_tables
    (* ram_style = "distributed" *) logic [WIDTH-1:0] mem[DEPTH];
    always_ff @(posedge clk_i) begin
      if (we_i) mem[waddr[$clog2(DEPTH)-1:0]] <= wdata_i;
      if (re_i) rdata_o <= mem[raddr[$clog2(DEPTH)-1:0]];
    end
  end
endmodule
