// Copies a stream to N streams, each behind its own FIFO, so that branches may lag behind each
// other.
//
//   A beat is taken when every FIFO has room (ready_o = none is full) and is offered to all
//   branches from the next cycle on. Branch i has a FIFO of DEPTHS[16*i +: 16] beats (>= 1; 2 for
//   full rate).
//
// A join downstream deadlocks if a FIFO is shallower than what the other branch swallows before its
// first output: the user has to know that number. Branch i has bit i of valid_o, ready_i and
// last_o, and data_o[WIDTH*i +: WIDTH].
module ig_fork #(
  parameter int unsigned WIDTH = 8,                // bits of data_i
  parameter int unsigned N     = 2,                // branches
  parameter logic [N*16-1:0] DEPTHS = {N{16'd2}}   // FIFO depth of each branch, branch 0 lowest
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // stream in
  input  logic               valid_i,
  output logic               ready_o,
  input  logic [WIDTH-1:0]   data_i,
  input  logic               last_i,
  // streams out
  output logic [N-1:0]       valid_o,
  input  logic [N-1:0]       ready_i,
  output logic [N*WIDTH-1:0] data_o,
  output logic [N-1:0]       last_o
);
  logic [N-1:0] room;

  assign ready_o = &room;
  for (genvar i = 0; i < N; i++) begin : g_branch
    ig_fifo #(
      .WIDTH(WIDTH), .DEPTH(32'(DEPTHS[16*i+:16]))
    ) u_fifo (
      .clk_i, .rst_ni,
      .valid_i(valid_i && ready_o), .ready_o(room[i]), .data_i, .last_i,
      .valid_o(valid_o[i]), .ready_i(ready_i[i]),
      .data_o(data_o[WIDTH*i+:WIDTH]), .last_o(last_o[i])
    );
  end
endmodule
