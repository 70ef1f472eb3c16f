// Bench of ig_dot_shift: every code of weights and activations against a loop, after exactly the stated latency.
module ig_dot_shift_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_dot_shift"), .ROUNDS(8)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  // powers of two by plain activations
  ig_dot_shift_case #(.SIMD(1), .A_BITS(1), .A_EXP(0), .W_EXP(1), .W_MANT(1)) u_smallest (.clk);
  ig_dot_shift_case #(.SIMD(1), .A_BITS(1), .A_SIGNED(1), .A_EXP(0), .W_EXP(2), .W_MANT(1)) u_sign (.clk);
  ig_dot_shift_case #(.SIMD(8), .A_BITS(4), .A_EXP(0), .W_EXP(3), .W_MANT(1)) u_power (.clk);
  ig_dot_shift_case #(.SIMD(32), .A_BITS(8), .A_SIGNED(1), .A_EXP(0), .W_EXP(3), .W_MANT(1)) u_power_signed (.clk);
  ig_dot_shift_case #(.SIMD(5), .A_BITS(8), .A_EXP(0), .W_EXP(3), .W_MANT(1), .W_MAX(4)) u_power_low (.clk);
  // mantissas by plain activations
  ig_dot_shift_case #(.SIMD(3), .A_BITS(5), .A_EXP(0), .W_EXP(2), .W_MANT(2)) u_mantissa (.clk);
  ig_dot_shift_case #(.SIMD(9), .A_BITS(3), .A_SIGNED(1), .A_EXP(0), .W_EXP(4), .W_MANT(3), .DSP(1)) u_dsp (.clk);
  ig_dot_shift_case #(.SIMD(4), .A_BITS(1), .A_EXP(0), .W_EXP(3), .W_MANT(4)) u_bits (.clk);
  ig_dot_shift_case #(.SIMD(2), .A_BITS(1), .A_SIGNED(1), .A_EXP(0), .W_EXP(1), .W_MANT(2)) u_sign_bits (.clk);
  // integers
  ig_dot_shift_case #(.SIMD(7), .A_BITS(3), .A_EXP(2), .W_EXP(0), .W_MANT(6)) u_log (.clk);
  ig_dot_shift_case #(.SIMD(2), .A_BITS(4), .A_SIGNED(1), .A_EXP(2), .W_EXP(0), .W_MANT(4)) u_log_signed (.clk);
  ig_dot_shift_case #(.SIMD(6), .A_BITS(6), .A_EXP(3), .W_EXP(0), .W_MANT(1), .A_MAX(5)) u_float (.clk);
  ig_dot_shift_case #(.SIMD(16), .A_BITS(6), .A_SIGNED(1), .A_EXP(3), .W_EXP(0), .W_MANT(5)) u_float_signed (.clk);
  ig_dot_shift_case #(.SIMD(3), .A_BITS(4), .A_EXP(0), .W_EXP(0), .W_MANT(5)) u_plain (.clk);
  // codes by codes
  ig_dot_shift_case #(.SIMD(8), .A_BITS(4), .A_EXP(3), .W_EXP(3), .W_MANT(1)) u_both (.clk);
  ig_dot_shift_case #(.SIMD(11), .A_BITS(4), .A_SIGNED(1), .A_EXP(2), .W_EXP(3), .W_MANT(1), .W_MAX(6)) u_signs (.clk);
  ig_dot_shift_case #(.SIMD(4), .A_BITS(7), .A_EXP(4), .W_EXP(2), .W_MANT(2)) u_floats (.clk);
  ig_dot_shift_case #(.SIMD(4), .A_BITS(7), .A_SIGNED(1), .A_EXP(3), .W_EXP(3), .W_MANT(3)) u_floats_signed (.clk);
endmodule

module ig_dot_shift_case #(
  parameter int unsigned SIMD = 1,
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 0,
  parameter int unsigned A_EXP = 0,
  parameter int unsigned A_MAX = (1 << A_EXP) - 1,
  parameter int unsigned W_EXP = 3,
  parameter int unsigned W_MAX = (1 << W_EXP) - 1,
  parameter int unsigned W_MANT = 1,  // bits of the mantissa, or of the integer
  parameter int unsigned DSP = 0
) (
  input logic clk
);
  localparam int unsigned Latency = 2 + ($clog2(SIMD) + 1) / 2;
  localparam int unsigned WBits = W_EXP != 0 ? 1 + W_EXP + W_MANT : W_MANT;
  localparam int unsigned AMant = A_BITS - A_EXP - 32'(A_SIGNED != 0);
  logic [SIMD-1:0][A_BITS-1:0] a = '0;
  logic [SIMD-1:0][WBits-1:0] w = '0;
  logic [$bits(u_dut.sum_o)-1:0] sum;
  longint expected[Latency+1];
  int unsigned cycle = 0;

  ig_dot_shift #(
    .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .A_EXP_BITS(A_EXP), .A_EXP_MAX(A_MAX),
    .W_BITS(WBits), .W_EXP_BITS(W_EXP), .W_EXP_MAX(W_MAX), .W_MANT_BITS(W_MANT), .DSP(DSP)
  ) u_dut (
    .clk_i(clk), .a_i(a), .w_i(w), .sum_o(sum)
  );

  // Value of a code {sign if there is one, exponent, mantissa}.
  function automatic longint value(input longint code, input bit sign, input int exponent, input int mantissa);
    longint size;
    size = (code % (64'd1 << mantissa)) << ((code >> mantissa) % (64'd1 << exponent));
    return sign && ((code >> (mantissa + exponent)) % 2) != 0 ? -size : size;
  endfunction

  function automatic longint activation(input logic [A_BITS-1:0] code);
    if (A_EXP == 0) return A_SIGNED != 0 ? longint'(signed'(code)) : longint'(code);
    return value(longint'(code), A_SIGNED != 0, int'(A_EXP), int'(AMant));
  endfunction

  function automatic longint weight(input logic [WBits-1:0] code);
    if (W_EXP == 0) return longint'(signed'(code));
    return value(longint'(code), 1'b1, int'(W_EXP), int'(W_MANT));
  endfunction

  // A random code; all ones or the sign alone in some cycles; no exponent above `most`.
  function automatic longint code(input int kind, input int bits, input int low, input int width, input int most);
    code = kind == 0 ? (64'd1 << bits) - 1 : kind == 1 ? 64'd1 << (bits - 1) : longint'($urandom) % (64'd1 << bits);
    if (width != 0 && (code >> low) % (64'd1 << width) > longint'(most)) begin
      code -= ((code >> low) % (64'd1 << width) - longint'(most)) << low;
    end
  endfunction

  always @(posedge clk) begin
    longint total;
    total = 0;
    for (int s = 0; s < SIMD; s++) begin
      total += activation(a[s]) * weight(w[s]) - longint'(W_EXP != 0 && weight(w[s]) < 0);
      a[s] <= A_BITS'(code(int'(cycle[5:4]), int'(A_BITS), int'(AMant), int'(A_EXP), int'(A_MAX)));
      w[s] <= WBits'(code(int'(cycle[7:6]), int'(WBits), int'(W_MANT), int'(W_EXP), int'(W_MAX)));
    end
    for (int i = Latency; i > 0; i--) expected[i] = expected[i-1];
    expected[0] = total;
    cycle <= cycle + 1;
    if (cycle >= Latency && longint'(signed'(sum)) !== expected[Latency]) begin
      $fatal(1, "%m: %0d, not %0d", signed'(sum), expected[Latency]);
    end
  end
endmodule
