// Bench of ig_multiply: both forms against an integer product, exhaustively where that is short.
module ig_multiply_tb;
  ig_multiply_case #(.A_BITS(1), .A_SIGNED(0), .B_BITS(1), .B_SIGNED(0)) u_1u_1u ();
  ig_multiply_case #(.A_BITS(5), .A_SIGNED(1), .B_BITS(1), .B_SIGNED(1)) u_5s_1s ();
  ig_multiply_case #(.A_BITS(1), .A_SIGNED(1), .B_BITS(1), .B_SIGNED(1)) u_1s_1s ();
  ig_multiply_case #(.A_BITS(6), .A_SIGNED(0), .B_BITS(2), .B_SIGNED(1)) u_6u_2s ();
  ig_multiply_case #(.A_BITS(5), .A_SIGNED(1), .B_BITS(1), .B_SIGNED(0)) u_5s_1u ();
  ig_multiply_case #(.A_BITS(5), .A_SIGNED(1), .B_BITS(5), .B_SIGNED(1)) u_5s_5s ();
  ig_multiply_case #(.A_BITS(8), .A_SIGNED(0), .B_BITS(3), .B_SIGNED(1)) u_8u_3s ();
  ig_multiply_case #(.A_BITS(4), .A_SIGNED(1), .B_BITS(7), .B_SIGNED(0)) u_4s_7u ();
  ig_multiply_case #(.A_BITS(24), .A_SIGNED(1), .B_BITS(13), .B_SIGNED(1)) u_24s_13s ();
  ig_multiply_case #(.A_BITS(31), .A_SIGNED(0), .B_BITS(31), .B_SIGNED(1)) u_31u_31s ();

  initial begin
    #10000;
    $display("PASS ig_multiply");
    $finish;
  end
endmodule

module ig_multiply_case #(
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 0,
  parameter int unsigned B_BITS = 8,
  parameter int unsigned B_SIGNED = 0
);
  localparam int unsigned Bits = A_BITS + B_BITS;
  logic [A_BITS-1:0] a;
  logic [B_BITS-1:0] b;
  logic [1:0][Bits-1:0] p;
  longint expected;

  for (genvar d = 0; d < 2; d++) begin : g_dsp
    ig_multiply #(
      .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .B_BITS(B_BITS), .B_SIGNED(B_SIGNED), .DSP(d)
    ) u_dut (
      .a_i(a), .b_i(b), .p_o(p[d])
    );
  end

  initial begin
    for (int i = 0; i < 4096; i++) begin
      {b, a} = Bits <= 12 ? Bits'(i) : Bits'({$urandom, $urandom});
      if (Bits > 12 && i % 8 < 4) {b, a} = {i[0] ? {1'b1, {(B_BITS - 1){1'b0}}} : b,
                                            i[1] ? {1'b1, {(A_BITS - 1){1'b0}}} : a};
      #1;
      expected = (A_SIGNED != 0 ? longint'(signed'(a)) : longint'(a))
               * (B_SIGNED != 0 ? longint'(signed'(b)) : longint'(b));
      for (int d = 0; d < 2; d++) begin
        if (p[d] !== Bits'(expected)) $fatal(1, "%m: DSP=%0d: %h * %h = %h", d, a, b, p[d]);
      end
    end
  end
endmodule
