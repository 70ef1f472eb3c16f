// Product of two integers: p_o = a_i * b_i, exact, A_BITS + B_BITS wide, signed when either factor is.
//
// Latency: 0 (combinational); users put registers around it. No handshake.
//
// DSP = 1 writes `*` and leaves the choice of a multiplier block to the tool. DSP = 0 sums one row of AND gates per
// bit of b in a balanced tree of additions, which no tool turns into a multiplier block.
module ig_multiply #(
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 1,  // 1: a_i is two's complement, 0: unsigned
  parameter int unsigned B_BITS = 8,
  parameter int unsigned B_SIGNED = 1,  // 1: b_i is two's complement, 0: unsigned
  parameter int unsigned DSP = 1,       // 1: `*`, 0: adders
  localparam int unsigned PBits = A_BITS + B_BITS
) (
  input  logic [A_BITS-1:0] a_i,
  input  logic [B_BITS-1:0] b_i,
  output logic [PBits-1:0]  p_o
);
  if (DSP != 0 && A_SIGNED == 0 && B_SIGNED == 0) begin : g_unsigned
    assign p_o = PBits'(a_i) * PBits'(b_i);
  end else if (DSP != 0) begin : g_signed
    // One more bit makes an unsigned factor signed; the product still fits PBits.
    localparam int unsigned ABits = A_BITS + 32'(A_SIGNED == 0);
    localparam int unsigned BBits = B_BITS + 32'(B_SIGNED == 0);
    logic signed [ABits-1:0] a;
    logic signed [BBits-1:0] b;
    if (A_SIGNED != 0) begin : g_a_signed
      assign a = a_i;
    end else begin : g_a
      assign a = {1'b0, a_i};
    end
    if (B_SIGNED != 0) begin : g_b_signed
      assign b = b_i;
    end else begin : g_b
      assign b = {1'b0, b_i};
    end
    assign p_o = PBits'(a * b);
  end else begin : g_rows
    // A signed b has at least two rows, so that there is one to subtract the sign's row from.
    localparam int unsigned Rows = B_SIGNED != 0 && B_BITS == 1 ? 2 : B_BITS;
    localparam int unsigned SumBits = Rows == 1 ? A_BITS : A_BITS + Rows;
    logic [Rows*A_BITS-1:0] rows;
    logic [SumBits-1:0] sum;
    for (genvar j = 0; j < Rows; j++) begin : g_row
      assign rows[j*A_BITS+:A_BITS] = a_i & {A_BITS{b_i[j < B_BITS ? j : B_BITS - 1]}};
    end
    ig_tree #(
      .COUNT(Rows), .BITS(A_BITS), .SIGNED(A_SIGNED), .SHIFT(1), .NEGATE(32'(B_SIGNED != 0)),
      .REGISTERS(0)
    ) u_tree (
      .clk_i(1'b0), .x_i(rows), .sum_o(sum)
    );
    if (A_SIGNED != 0) begin : g_extend_sign
      assign p_o = PBits'(signed'(sum));
    end else begin : g_extend
      assign p_o = PBits'(sum);
    end
  end
endmodule
