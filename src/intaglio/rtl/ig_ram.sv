// Memory with one write and one read port: rdata_o = word[raddr_i].
//
// Latency: rdata_o follows raddr_i by 2 cycles (memory register, then a fabric register). A word written in cycle t
// (we_i high) may be addressed from cycle t+1; reading the address that is just being written gives no meaningful
// value. No handshake and no reset: users never read a word before they wrote it.
module ig_ram #(
  parameter int unsigned WIDTH = 8,   // bits of a word
  parameter int unsigned DEPTH = 16,  // number of words
  parameter int unsigned BLOCK = 0,   // 1: block RAM, 0: distributed (LUT) RAM
  localparam int unsigned AddrBits = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
  input  logic                clk_i,
  input  logic                we_i,
  input  logic [AddrBits-1:0] waddr_i,
  input  logic [WIDTH-1:0]    wdata_i,
  input  logic [AddrBits-1:0] raddr_i,
  output logic [WIDTH-1:0]    rdata_o
);
  localparam int unsigned Latency = 2;

  logic [Latency-1:0][WIDTH-1:0] data_q;

  if (BLOCK != 0) begin : g_block
    (* ram_style = "block", no_rw_check *) logic [WIDTH-1:0] words[DEPTH];
    always_ff @(posedge clk_i) begin
      if (we_i) words[waddr_i] <= wdata_i;
      data_q[0] <= words[raddr_i];
    end
  end else begin : g_distributed
    (* ram_style = "distributed", no_rw_check *) logic [WIDTH-1:0] words[DEPTH];
    always_ff @(posedge clk_i) begin
      if (we_i) words[waddr_i] <= wdata_i;
      data_q[0] <= words[raddr_i];
    end
  end

  always_ff @(posedge clk_i) data_q[Latency-1:1] <= data_q[Latency-2:0];
  assign rdata_o = data_q[Latency-1];
endmodule
