// A memory of constants for tests, in block RAM. Addresses beyond its end read word 0.
module rom #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned DEPTH = 16,
  parameter FILE = ""
) (
  input  logic                     clk_i,
  input  logic [13:0]              addr_i,
  output logic [WIDTH-1:0]         data_o
);
  (* ram_style = "block" *) logic [WIDTH-1:0] mem[DEPTH];
  initial $readmemh(FILE, mem);
  logic [13:0] addr;
  assign addr = ({1'b0, addr_i} < 15'(DEPTH)) ? addr_i : '0;
  always_ff @(posedge clk_i) data_o <= mem[addr[$clog2(DEPTH)-1:0]];
endmodule
