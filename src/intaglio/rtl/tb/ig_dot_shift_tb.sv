// Bench of ig_dot_shift: every code of weights and activations against a loop, to the exact cycle,
// with gaps and resets.
module ig_dot_shift_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_dot_shift"), .ROUNDS(16), .DRAIN(40)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  // powers of two by plain activations
  ig_dot_shift_case #(.SIMD(1), .A_BITS(1), .A_EXP(0), .W_EXP(1), .W_MANT(1)) u_smallest (.*);
  ig_dot_shift_case #(.SIMD(1), .A_BITS(1), .A_SIGNED(1), .A_EXP(0), .W_EXP(2), .W_MANT(1)) u_sign (.*);
  ig_dot_shift_case #(.SIMD(8), .A_BITS(4), .A_EXP(0), .W_EXP(3), .W_MANT(1), .PE(3), .SIDE_BITS(5)) u_power (.*);
  ig_dot_shift_case #(.SIMD(32), .A_BITS(8), .A_SIGNED(1), .A_EXP(0), .W_EXP(3), .W_MANT(1)) u_power_signed (.*);
  ig_dot_shift_case #(.SIMD(5), .A_BITS(8), .A_EXP(0), .W_EXP(3), .W_MANT(1), .W_MAX(4)) u_power_low (.*);
  // mantissas by plain activations
  ig_dot_shift_case #(.SIMD(3), .A_BITS(5), .A_EXP(0), .W_EXP(2), .W_MANT(2)) u_mantissa (.*);
  ig_dot_shift_case #(.SIMD(9), .A_BITS(3), .A_SIGNED(1), .A_EXP(0), .W_EXP(4), .W_MANT(3), .DSP(1), .PE(2)) u_dsp (.*);
  ig_dot_shift_case #(.SIMD(4), .A_BITS(1), .A_EXP(0), .W_EXP(3), .W_MANT(4)) u_bits (.*);
  ig_dot_shift_case #(.SIMD(2), .A_BITS(1), .A_SIGNED(1), .A_EXP(0), .W_EXP(1), .W_MANT(2)) u_sign_bits (.*);
  // integers
  ig_dot_shift_case #(.SIMD(7), .A_BITS(3), .A_EXP(2), .W_EXP(0), .W_MANT(6), .PE(2), .GROW(-4)) u_log (.*);
  ig_dot_shift_case #(.SIMD(2), .A_BITS(4), .A_SIGNED(1), .A_EXP(2), .W_EXP(0), .W_MANT(4)) u_log_signed (.*);
  ig_dot_shift_case #(.SIMD(6), .A_BITS(6), .A_EXP(3), .W_EXP(0), .W_MANT(1), .A_MAX(5)) u_float (.*);
  ig_dot_shift_case #(.SIMD(16), .A_BITS(6), .A_SIGNED(1), .A_EXP(3), .W_EXP(0), .W_MANT(5), .PE(2), .SIDE_BITS(1)) u_float_signed (.*);
  ig_dot_shift_case #(.SIMD(3), .A_BITS(4), .A_EXP(0), .W_EXP(0), .W_MANT(5), .PE(4), .GROW(7)) u_plain (.*);
  // codes by codes
  ig_dot_shift_case #(.SIMD(8), .A_BITS(4), .A_EXP(3), .W_EXP(3), .W_MANT(1), .PE(2), .SIDE_BITS(33)) u_both (.*);
  ig_dot_shift_case #(.SIMD(11), .A_BITS(4), .A_SIGNED(1), .A_EXP(2), .W_EXP(3), .W_MANT(1), .W_MAX(6)) u_signs (.*);
  ig_dot_shift_case #(.SIMD(4), .A_BITS(7), .A_EXP(4), .W_EXP(2), .W_MANT(2)) u_floats (.*);
  ig_dot_shift_case #(.SIMD(4), .A_BITS(7), .A_SIGNED(1), .A_EXP(3), .W_EXP(3), .W_MANT(3), .PE(3), .GROW(-2)) u_floats_signed (.*);
endmodule

module ig_dot_shift_case #(
  parameter int unsigned PE = 1,
  parameter int unsigned SIMD = 1,
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 0,
  parameter int unsigned A_EXP = 0,
  parameter int unsigned A_MAX = (1 << A_EXP) - 1,
  parameter int unsigned W_EXP = 3,
  parameter int unsigned W_MAX = (1 << W_EXP) - 1,
  parameter int unsigned W_MANT = 1,  // bits of the mantissa, or of the integer
  parameter int unsigned DSP = 0,
  parameter int unsigned SIDE_BITS = 0,
  parameter int GROW = 0  // bits of a sum beyond those that it needs
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned Latency = 2 + ($clog2(SIMD) + 1) / 2;
  localparam int unsigned WBits = W_EXP != 0 ? 1 + W_EXP + W_MANT : W_MANT;
  localparam int unsigned AMant = A_BITS - A_EXP - 32'(A_SIGNED != 0);
  localparam int unsigned SumBits = A_BITS + WBits + A_MAX + W_MAX + $clog2(SIMD) + GROW;
  localparam int unsigned InBits = SIDE_BITS + SIMD * (A_BITS + PE * WBits);
  localparam int unsigned OutBits = SIDE_BITS + PE * SumBits;

  logic valid = 1'b0, ends = 1'b0, last = 1'b0;
  logic [SIDE_BITS:0] side = '0;  // one bit too many: there may be none
  logic [SIMD-1:0][A_BITS-1:0] a = '0;
  logic [PE-1:0][SIMD-1:0][WBits-1:0] w = '0;
  logic [PE-1:0][SumBits-1:0] sums;
  logic out_valid, out_end, out_last;
  logic [OutBits-1:0] out_data;
  int unsigned cycle = 0;

  ig_dot_shift #(
    .PE(PE), .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .A_EXP_BITS(A_EXP), .A_EXP_MAX(A_MAX),
    .W_BITS(WBits), .W_EXP_BITS(W_EXP), .W_EXP_MAX(W_MAX), .W_MANT_BITS(W_MANT), .DSP(DSP),
    .SUM_BITS(SumBits), .SIDE_BITS(SIDE_BITS)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(valid), .data_i(InBits'({side, w, a})), .end_i(ends), .last_i(last),
    .valid_o(out_valid), .data_o(out_data), .end_o(out_end), .last_o(out_last)
  );
  ig_tb_line #(.WIDTH(OutBits + 2), .LATENCY(Latency)) u_line (
    .clk_i(clk), .rst_ni(rst_n), .idle_i(idle), .want_valid_i(valid),
    .want_i({ends, last, OutBits'({side, sums})}), .valid_i(out_valid), .data_i({out_end, out_last, out_data})
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

  always_comb begin
    longint total;
    for (int p = 0; p < PE; p++) begin
      total = 0;
      for (int s = 0; s < SIMD; s++) begin
        total += activation(a[s]) * weight(w[p][s]) - longint'(W_EXP != 0 && weight(w[p][s]) < 0);
      end
      sums[p] = SumBits'(total);
    end
  end
  always @(posedge clk) begin
    for (int s = 0; s < SIMD; s++) begin
      a[s] <= A_BITS'(code(int'(cycle[5:4]), int'(A_BITS), int'(AMant), int'(A_EXP), int'(A_MAX)));
      for (int p = 0; p < PE; p++) begin
        w[p][s] <= WBits'(code(int'(cycle[7:6]), int'(WBits), int'(W_MANT), int'(W_EXP), int'(W_MAX)));
      end
    end
    valid <= enable && (cycle[8] || $urandom_range(3) != 0);
    {ends, last} <= 2'($urandom);
    side <= (SIDE_BITS + 1)'({$urandom, $urandom});
    cycle <= cycle + 1;
  end
endmodule
