// A multiplier for tests, product registered.
module multiply #(
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 1,
  parameter int unsigned B_BITS = 8,
  parameter int unsigned B_SIGNED = 1
) (
  input  logic                     clk_i,
  input  logic [A_BITS-1:0]        a_i,
  input  logic [B_BITS-1:0]        b_i,
  output logic [A_BITS+B_BITS-1:0] p_o
);
  localparam int unsigned Bits = A_BITS + B_BITS;
  if (A_SIGNED != 0 && B_SIGNED != 0) begin : g_signed
    always_ff @(posedge clk_i) p_o <= Bits'($signed(a_i) * $signed(b_i));
  end else if (A_SIGNED == 0 && B_SIGNED == 0) begin : g_unsigned
    always_ff @(posedge clk_i) p_o <= Bits'(a_i) * Bits'(b_i);
  end else begin : g_mixed
    always_ff @(posedge clk_i) p_o <= Bits'($signed({1'b0, a_i}) * $signed(b_i));
  end
endmodule
