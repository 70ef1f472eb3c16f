// End of a pulse pipeline: collects its pulses in a FIFO of DEPTH beats and grants the credits that
// keep the FIFO from overflowing. The pipeline between issuer and outlet therefore never has to
// stall.
//
//   An issuer that starts work raises take_i, in a cycle in which grant_o is high, and each credit
//   taken leads to exactly one pulse. grant_o = credits are left; a register. There are DEPTH
//   credits after reset; a beat that leaves the stream in cycle t gives its credit back for cycle
//   t+1. A pulse in cycle t is offered on the stream from cycle t+1.
//
// A pipeline of L cycles that starts an operation every d cycles runs without gaps if DEPTH >= 1 +
// ceil((L + 1) / d). It does not check that pulses and credits match (simulation asserts).
module ig_outlet #(
  parameter int unsigned WIDTH = 8,  // bits of data_i
  parameter int unsigned DEPTH = 4   // credits and FIFO words, >= 1
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  // credits
  input  logic             take_i,
  output logic             grant_o,
  // pulses in
  input  logic             valid_i,
  input  logic [WIDTH-1:0] data_i,
  input  logic             last_i,
  // stream out
  output logic             valid_o,
  input  logic             ready_i,
  output logic [WIDTH-1:0] data_o,
  output logic             last_o
);
  localparam int unsigned Count = $clog2(DEPTH + 1);

  logic [Count-1:0] credits_q, credits_d;
  logic grant_q, pop, fifo_ready;

  assign pop = valid_o && ready_i;
  assign grant_o = grant_q;
  always_comb begin
    credits_d = credits_q;
    if (take_i && !pop) credits_d = credits_q - 1'b1;
    if (pop && !take_i) credits_d = credits_q + 1'b1;
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      credits_q <= Count'(DEPTH);
      grant_q   <= 1'b1;
    end else begin
      credits_q <= credits_d;
      grant_q   <= credits_d != '0;
    end
  end

  ig_fifo #(
    .WIDTH(WIDTH), .DEPTH(DEPTH)
  ) u_fifo (
    .clk_i, .rst_ni,
    .valid_i, .ready_o(fifo_ready), .data_i, .last_i,
    .valid_o, .ready_i, .data_o, .last_o
  );

`ifndef SYNTHESIS
  always @(posedge clk_i) begin
    if (rst_ni) begin
      assert (!take_i || grant_o) else $fatal(1, "%m: a credit was taken without a grant");
      assert (!valid_i || fifo_ready) else $fatal(1, "%m: overflow, a pulse came without a credit");
    end
  end
`endif
endmodule
