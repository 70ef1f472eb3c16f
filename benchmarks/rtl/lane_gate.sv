// Register of ECP5 that a signal sets or resets: q_o is VALUE behind each cycle in which gate_i is GATE, else d_i.
module lane_gate #(
  parameter int unsigned BITS = 1,
  parameter int unsigned GATE = 1,
  parameter int unsigned VALUE = 0
) (
  input  logic            clk_i,
  input  logic            gate_i,
  input  logic [BITS-1:0] d_i,
  output logic [BITS-1:0] q_o
);
  for (genvar i = 0; i < BITS; i++) begin : g_bit
    TRELLIS_FF #(
      .GSR("DISABLED"), .CEMUX("1"), .CLKMUX("CLK"), .LSRMUX(GATE != 0 ? "LSR" : "INV"),
      .REGSET(VALUE != 0 ? "SET" : "RESET"), .SRMODE("LSR_OVER_CE")
    ) u_register (
      .CLK(clk_i), .LSR(gate_i), .DI(d_i[i]), .Q(q_o[i])
    );
  end
endmodule

// Two bits into gates of four registers, without logic: open_o[k] is 1 (k = 1, 3) or 0 (k = 0, 2) a cycle later where
// code_i is k, and the other value elsewhere.
module lane_decode (
  input  logic       clk_i,
  input  logic [1:0] code_i,
  output logic [3:0] open_o
);
  for (genvar k = 0; k < 4; k++) begin : g_code
    lane_gate #(.GATE(k < 2), .VALUE(k % 2 == 0)) u_gate (
      .clk_i, .gate_i(code_i[1]), .d_i(code_i[0]), .q_o(open_o[k])
    );
  end
endmodule
