// Stand-in for a carved design in the bench of a shell: holds one beat, and answers it twice, the second time in
// part and inverted.
module ig_design (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        valid_i,
  output logic        ready_o,
  input  logic [23:0] data_i,
  input  logic        last_i,
  output logic        valid_o,
  input  logic        ready_i,
  output logic [35:0] data_o,
  output logic        last_o
);
  logic [23:0] data;

  ig_fifo #(.WIDTH(24), .DEPTH(1)) u_fifo (
    .clk_i, .rst_ni, .valid_i, .ready_o, .data_i, .last_i, .valid_o, .ready_i, .data_o(data), .last_o
  );
  assign data_o = {~data[11:0], data};
endmodule
