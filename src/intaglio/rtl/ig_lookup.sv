// Table: y = table[x - LOW], lane by lane, one table for all channels.
//
// Pulses in, pulses out; latency 2 cycles, one pulse per cycle, no stall. FILE holds DEPTH words of
// OUT_BITS. x must lie in [LOW, LOW + DEPTH): outside of it the result is some word or none
// (simulation asserts). Every lane has its own copy of the table.
module ig_lookup #(
  parameter int unsigned LANES     = 1,
  parameter int unsigned IN_BITS   = 8,
  parameter int unsigned IN_SIGNED = 1,
  parameter int          LOW       = -128,  // x of the first word
  parameter int unsigned OUT_BITS  = 8,
  parameter int unsigned DEPTH     = 256,   // words
  // $readmemh file of DEPTH words
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned BLOCK     = 0      // 1: block memory, 0: logic
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,
  // pulses in
  input  logic                      valid_i,
  input  logic [LANES*IN_BITS-1:0]  data_i,
  input  logic                      last_i,
  // pulses out
  output logic                      valid_o,
  output logic [LANES*OUT_BITS-1:0] data_o,
  output logic                      last_o
);
  localparam int unsigned Address = DEPTH > 1 ? $clog2(DEPTH) : 1;
  localparam int unsigned XBits = (IN_BITS > Address ? IN_BITS : Address) + 1;

  logic [1:0] valid_q, last_q;
  always_ff @(posedge clk_i) begin
    valid_q <= rst_ni ? {valid_q[0], valid_i} : '0;
    last_q  <= {last_q[0], last_i};
  end
  assign valid_o = valid_q[1];
  assign last_o  = last_q[1];

  for (genvar i = 0; i < LANES; i++) begin : g_lane
    logic [XBits-1:0] x, offset;

    if (IN_SIGNED != 0) begin : g_signed
      assign x = XBits'(signed'(data_i[IN_BITS*i+:IN_BITS]));
    end else begin : g_unsigned
      assign x = XBits'(data_i[IN_BITS*i+:IN_BITS]);
    end
    assign offset = x - XBits'(LOW);
    ig_rom #(
      .WIDTH(OUT_BITS), .DEPTH(DEPTH), .FILE(FILE), .BLOCK(BLOCK)
    ) u_rom (
      .clk_i, .addr_i(offset[Address-1:0]), .data_o(data_o[OUT_BITS*i+:OUT_BITS])
    );

`ifndef SYNTHESIS
    always @(posedge clk_i) begin
      if (rst_ni && valid_i) begin
        assert (offset < XBits'(DEPTH)) else $fatal(1, "%m: x is outside of the table");
      end
    end
`endif
  end
endmodule
