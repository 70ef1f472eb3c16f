// Checks a pipeline of pulses, to the cycle: what comes out is what was wanted LATENCY cycles before, and nothing else.
//
// The bench wants a pulse in the cycle in which the last of its causes goes in; reset takes away what is on its way.
module ig_tb_line #(
  parameter int unsigned WIDTH = 8,   // bits of all that belongs to a pulse
  parameter int unsigned LATENCY = 1  // may be 0
) (
  input logic             clk_i,
  input logic             rst_ni,
  input logic             idle_i,        // nothing may come out
  // wanted
  input logic             want_valid_i,
  input logic [WIDTH-1:0] want_i,
  // what comes out
  input logic             valid_i,
  input logic [WIDTH-1:0] data_i
);
  logic [WIDTH:0] line[LATENCY+1];  // {valid, pulse} wanted so many cycles later

  initial foreach (line[i]) line[i] = '0;
  always @(posedge clk_i) begin
    line[0] = {want_valid_i, want_i};
    if (rst_ni) begin
      if (valid_i !== line[LATENCY][WIDTH]) $fatal(1, "%m: valid_o is %b", valid_i);
      if (valid_i && data_i !== line[LATENCY][WIDTH-1:0]) begin
        $fatal(1, "%m: %h, not %h", data_i, line[LATENCY][WIDTH-1:0]);
      end
      if (idle_i && valid_i) $fatal(1, "%m: does not drain");
    end
    for (int i = LATENCY; i > 0; i--) line[i] = rst_ni ? line[i-1] : '0;
  end
endmodule
