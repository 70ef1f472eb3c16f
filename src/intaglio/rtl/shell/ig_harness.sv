// Shell for placing a design whose data ports have more bits than the package has pins: twelve pins for
// one stream in and one out, three more for every other.
//
// The data ports are reached through shift registers, so that the design inside keeps its logic and its
// registers and only its clock is measured; it adds INPUT_BITS + OUTPUT_BITS flip-flops.
//
//   shift_i: data_i of the design takes in serial_i at bit 0 and moves up by one bit.
//   load_i:  the register behind data_o of the design takes it in; else it moves up by one bit, and its
//            highest bit is serial_o.
//
// Latency: one cycle each way; the handshakes pass through. The design is a module of the name ig_design (the
// flow makes it), without parameters, with its streams side by side. It does not keep data_i still while a beat is offered: who shifts does.
module ig_harness #(
  parameter int unsigned INPUTS = 1,        // streams in
  parameter int unsigned OUTPUTS = 1,       // streams out
  parameter int unsigned INPUT_BITS = 24,   // bits of data_i of the design
  parameter int unsigned OUTPUT_BITS = 36   // bits of data_o of the design
) (
  input  logic clk_i,
  input  logic rst_ni,
  // streams in, without their data
  input  logic [INPUTS-1:0] valid_i,
  output logic [INPUTS-1:0] ready_o,
  input  logic [INPUTS-1:0] last_i,
  // streams out, without their data
  output logic [OUTPUTS-1:0] valid_o,
  input  logic [OUTPUTS-1:0] ready_i,
  output logic [OUTPUTS-1:0] last_o,
  // shift registers
  input  logic shift_i,
  input  logic serial_i,
  input  logic load_i,
  output logic serial_o
);
  logic [INPUT_BITS-1:0] in_q;
  logic [OUTPUT_BITS-1:0] out_q, data;

  always_ff @(posedge clk_i) begin
    if (shift_i) in_q <= INPUT_BITS'({in_q, serial_i});
    out_q <= load_i ? data : OUTPUT_BITS'({out_q, 1'b0});
  end
  assign serial_o = out_q[OUTPUT_BITS-1];

  ig_design u_design (
    .clk_i, .rst_ni, .valid_i, .ready_o, .data_i(in_q), .last_i,
    .valid_o, .ready_i, .data_o(data), .last_o
  );
endmodule
