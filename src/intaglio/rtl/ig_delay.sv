// Pulses, later: valid_o and data_o are valid_i and data_i of CYCLES cycles before.
//
// Pulses in, pulses out; latency CYCLES, one pulse per cycle, no stall. Reset takes the pulses away; the data are not
// reset. Whatever travels beside a pulse (end, last, a side) is part of the data here.
module ig_delay #(
  parameter int unsigned WIDTH = 8,  // bits of data_i, >= 1
  parameter int unsigned CYCLES = 1  // >= 1
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  // pulses in
  input  logic             valid_i,
  input  logic [WIDTH-1:0] data_i,
  // pulses out
  output logic             valid_o,
  output logic [WIDTH-1:0] data_o
);
  localparam int unsigned Bits = CYCLES * WIDTH;

  logic [CYCLES-1:0] valid_q;
  logic [Bits-1:0] data_q;  // the newest lowest

  always_ff @(posedge clk_i) begin
    data_q <= Bits'({data_q, data_i});
    if (!rst_ni) valid_q <= '0;
    else valid_q <= CYCLES'({valid_q, valid_i});
  end
  assign valid_o = valid_q[CYCLES-1];
  assign data_o = data_q[Bits-1-:WIDTH];
endmodule
