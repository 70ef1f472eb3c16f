// Bench of ig_matmul: random pulses, reductions of random length and resets against a loop, to the exact cycle.
module ig_matmul_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_matmul"), .ROUNDS(20), .DRAIN(100)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_matmul_case #(.SIMD(1), .PE(1), .A_BITS(8), .A_SIGNED(0), .W_BITS(8), .ACC_BITS(24),
    .STEPS(12), .FILE("random_8x12.mem"), .DSP(0), .BLOCK(0)) u_1x1 (.*);
  ig_matmul_case #(.SIMD(3), .PE(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(5), .ACC_BITS(17),
    .STEPS(7), .FILE("random_30x7.mem"), .DSP(0), .BLOCK(0)) u_3x2 (.*);
  ig_matmul_case #(.SIMD(3), .PE(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(5), .ACC_BITS(17),
    .STEPS(7), .FILE("random_30x7.mem"), .DSP(1), .BLOCK(0)) u_3x2_dsp (.*);
  ig_matmul_case #(.SIMD(8), .PE(1), .A_BITS(8), .A_SIGNED(0), .W_BITS(2), .ACC_BITS(20),
    .STEPS(40), .FILE("random_16x40.mem"), .DSP(0), .BLOCK(1)) u_8x1 (.*);
  ig_matmul_case #(.SIMD(4), .PE(3), .A_BITS(8), .A_SIGNED(1), .W_BITS(8), .ACC_BITS(26),
    .STEPS(1), .FILE("random_96x1.mem"), .DSP(1), .BLOCK(0)) u_4x3 (.*);
  ig_matmul_case #(.SIMD(16), .PE(1), .A_BITS(1), .A_SIGNED(0), .W_BITS(2), .ACC_BITS(12),
    .STEPS(5), .FILE("random_32x5.mem"), .DSP(0), .BLOCK(0)) u_16x1 (.*);
  // forms
  ig_matmul_case #(.FORM(3), .SIMD(5), .PE(2), .A_BITS(4), .W_BITS(5), .W_EXP(3), .W_MANT(1), .ACC_BITS(24),
    .STEPS(6), .FILE("random_50x6.mem")) u_power (.*);
  ig_matmul_case #(.FORM(3), .SIMD(2), .PE(1), .A_BITS(6), .A_EXP(3), .A_SIGNED(1), .W_BITS(6), .W_EXP(3), .W_MANT(2),
    .ACC_BITS(40), .STEPS(7), .FILE("random_12x7.mem")) u_minifloat (.*);
  ig_matmul_case #(.FORM(3), .SIMD(1), .PE(2), .A_BITS(4), .A_EXP(3), .W_BITS(4), .ACC_BITS(26),
    .STEPS(3), .FILE("random_8x3.mem")) u_log (.*);
  ig_matmul_case #(.FORM(1), .SIMD(13), .PE(2), .A_BITS(1), .W_BITS(1), .ACC_BITS(14),
    .STEPS(5), .FILE("random_26x5.mem")) u_xnor (.*);
  ig_matmul_case #(.FORM(1), .SIMD(4), .PE(1), .A_BITS(3), .A_SIGNED(1), .W_BITS(1), .ACC_BITS(14),
    .STEPS(1), .FILE("random_4x1.mem")) u_binary (.*);
  ig_matmul_case #(.FORM(2), .SIMD(6), .PE(2), .A_BITS(4), .W_BITS(2), .ACC_BITS(18),
    .STEPS(6), .FILE("random_24x6.mem")) u_ternary (.*);
  ig_matmul_case #(.FORM(4), .SIMD(5), .PE(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(3), .ACC_BITS(24),
    .COEFFICIENTS({-32'sd3, 32'sd100, 32'sd17}), .STEPS(4), .FILE("random_30x4.mem")) u_bases (.*);
  ig_matmul_case #(.FORM(4), .SIMD(8), .PE(1), .A_BITS(2), .W_BITS(2), .ACC_BITS(20),
    .COEFFICIENTS({-32'sd7, 32'sd5}), .UNIPOLAR(1), .STEPS(3), .FILE("random_16x3.mem")) u_trained (.*);
  // bit-serial activations
  ig_matmul_case #(.SERIAL(1), .SIMD(4), .PE(3), .A_BITS(5), .W_BITS(3), .ACC_BITS(20),
    .STEPS(4), .FILE("random_36x4.mem")) u_serial (.*);
  ig_matmul_case #(.SERIAL(1), .SIMD(3), .PE(1), .A_BITS(8), .A_SIGNED(1), .W_BITS(8), .ACC_BITS(26),
    .STEPS(5), .FILE("random_24x5.mem"), .BLOCK(1)) u_serial_signed (.*);
  ig_matmul_case #(.SERIAL(1), .SIMD(1), .PE(2), .A_BITS(1), .A_SIGNED(1), .W_BITS(4), .ACC_BITS(12),
    .STEPS(2), .FILE("random_8x2.mem")) u_serial_bit (.*);
  ig_matmul_case #(.SERIAL(1), .FORM(1), .SIMD(9), .PE(2), .A_BITS(4), .W_BITS(1), .ACC_BITS(16),
    .STEPS(4), .FILE("random_18x4.mem")) u_serial_binary (.*);
  ig_matmul_case #(.SERIAL(1), .FORM(2), .SIMD(4), .PE(2), .A_BITS(3), .A_SIGNED(1), .W_BITS(2), .ACC_BITS(16),
    .STEPS(4), .FILE("random_16x4.mem")) u_serial_ternary (.*);
  ig_matmul_case #(.SERIAL(1), .FORM(4), .SIMD(3), .PE(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(3), .ACC_BITS(24),
    .COEFFICIENTS({32'sd1, -32'sd64, 32'sd63}), .STEPS(4), .FILE("random_18x4.mem")) u_serial_bases (.*);
  ig_matmul_case #(.SERIAL(1), .FORM(4), .SIMD(2), .PE(1), .A_BITS(5), .W_BITS(2), .ACC_BITS(20),
    .COEFFICIENTS({-32'sd8, 32'sd8}), .UNIPOLAR(1), .STEPS(4), .FILE("random_4x4.mem")) u_serial_trained (.*);
  // shared exponents
  ig_matmul_case #(.SIMD(4), .PE(2), .A_BITS(4), .W_BITS(4), .W_SHIFT(3), .ACC_BITS(28),
    .STEPS(6), .FILE("random_38x6.mem")) u_block (.*);
  ig_matmul_case #(.SIMD(1), .PE(1), .A_BITS(3), .A_SIGNED(1), .W_BITS(4), .A_SHIFT(1), .ACC_BITS(18),
    .STEPS(3), .FILE("random_4x3.mem")) u_block_in (.*);
  ig_matmul_case #(.SIMD(8), .PE(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(3), .A_SHIFT(3), .W_SHIFT(2), .ACC_BITS(30),
    .STEPS(5), .FILE("random_52x5.mem")) u_blocks (.*);
  ig_matmul_case #(.SERIAL(1), .SIMD(2), .PE(2), .A_BITS(3), .A_SIGNED(1), .W_BITS(4), .A_SHIFT(2), .W_SHIFT(3),
    .ACC_BITS(30), .STEPS(4), .FILE("random_22x4.mem")) u_serial_blocks (.*);
endmodule

module ig_matmul_case #(
  parameter int unsigned SIMD = 4,
  parameter int unsigned PE = 2,
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 0,
  parameter int unsigned W_BITS = 8,
  parameter int unsigned ACC_BITS = 24,
  parameter int unsigned STEPS = 16,
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned DSP = 0,
  parameter int unsigned BLOCK = 0,
  parameter int unsigned FORM = 0,
  parameter int unsigned A_EXP = 0,
  parameter int unsigned W_EXP = 0,
  parameter int unsigned W_MANT = 1,
  parameter logic [W_BITS*32-1:0] COEFFICIENTS = {W_BITS{32'd1}},
  parameter int unsigned UNIPOLAR = 0,
  parameter int unsigned SERIAL = 0,
  parameter int unsigned W_SHIFT = 0,
  parameter int unsigned A_SHIFT = 0
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned Latency =
    2 + 1 + ($clog2(SIMD) + 1) / 2 + 32'(FORM >= 3) + 32'(SERIAL != 0) + 32'(A_SHIFT + W_SHIFT != 0) + 1;
  localparam int unsigned Planes = SERIAL != 0 ? A_BITS : 1;
  localparam int unsigned WordBits = W_SHIFT + SIMD * W_BITS;

  typedef struct packed {
    logic valid;
    logic last;
    logic [PE-1:0][ACC_BITS-1:0] data;
  } pulse_t;

  logic beat_valid, beat_last, in_valid, in_last, in_end, move = 1'b0, cut = 1'b0, out_valid, out_last;
  logic [A_SHIFT+SIMD*A_BITS-1:0] in_data;
  logic [PE-1:0][ACC_BITS-1:0] out_data, acc = '0;
  logic [PE-1:0][WordBits-1:0] words[STEPS];
  int unsigned step = 0, plane = 0;
  pulse_t pipe[Latency+1];

  // A beat stays for all its planes.
  ig_tb_source #(.WIDTH(A_SHIFT + SIMD * A_BITS), .BEATS(3 * STEPS)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(beat_valid), .ready_i(move && plane == Planes - 1), .data_o(in_data), .last_o(beat_last)
  );
  assign in_valid = beat_valid && move;
  assign in_last = beat_last && plane == Planes - 1;
  assign in_end = (beat_last || cut) && plane == Planes - 1;
  ig_matmul #(
    .SIMD(SIMD), .PE(PE), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .W_BITS(W_BITS),
    .ACC_BITS(ACC_BITS), .STEPS(STEPS), .FILE(FILE), .DSP(DSP), .BLOCK(BLOCK), .FORM(FORM),
    .A_EXP_BITS(A_EXP), .W_EXP_BITS(W_EXP), .W_MANT_BITS(W_MANT), .COEFFICIENTS(COEFFICIENTS),
    .UNIPOLAR(UNIPOLAR), .SERIAL(SERIAL), .W_SHIFT_BITS(W_SHIFT), .A_SHIFT_BITS(A_SHIFT)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n),
    .valid_i(in_valid), .data_i(in_data), .end_i(in_end), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .last_o(out_last)
  );

  // Magnitude of a code {.., exponent, mantissa}.
  function automatic longint size(input longint code, input int exponent, input int mantissa);
    return (code % (64'd1 << mantissa)) << ((code >> mantissa) % (64'd1 << exponent));
  endfunction

  // a, or with `invert` its complement within A_BITS: -a and a constant.
  function automatic longint either(input longint a, input bit invert);
    return invert ? (A_SIGNED != 0 ? -1 : (64'sd1 << A_BITS) - 1) - a : a;
  endfunction

  function automatic longint product(input logic [A_BITS-1:0] code, input logic [W_BITS-1:0] w);
    longint a, p;
    a = A_SIGNED != 0 ? longint'(signed'(code)) : longint'(code);
    if (A_EXP != 0) begin
      a = size(longint'(code), int'(A_EXP), int'(A_BITS - A_EXP - A_SIGNED));
      if (A_SIGNED != 0 && code[A_BITS-1]) a = -a;
    end
    case (FORM)
      0: return a * longint'(signed'(w));
      1: return either(a, !w[0]);
      2: return w[0] ? either(a, w[W_BITS-1]) : 0;
      3: begin
        if (W_EXP == 0) return a * longint'(signed'(w));
        p = size(longint'(w), int'(W_EXP), int'(W_MANT));
        return w[W_BITS-1] && p != 0 ? -a * p - 1 : a * p;
      end
      default: begin
        p = 0;
        for (int k = 0; k < W_BITS; k++) begin
          p += longint'(signed'(COEFFICIENTS[k*32+:32])) * (UNIPOLAR != 0 ? (w[k] ? a : 0) : either(a, !w[k]));
        end
        return p;
      end
    endcase
  endfunction

  initial $readmemh(FILE, words);
  // A ternary weight is negative only if it is not zero.
  if (FORM == 2) begin : g_codes
    initial begin
      #1;
      for (int i = 0; i < STEPS; i++) begin
        for (int p = 0; p < PE; p++) begin
          for (int s = 0; s < SIMD; s++) if (!words[i][p][2*s]) words[i][p][2*s+1] = 1'b0;
        end
        u_dut.u_weights.g_logic.words[i] = words[i];
      end
    end
  end
  always @(posedge clk) begin
    int shift;
    cut <= $urandom_range(3) == 0;
    move <= $urandom_range(3) != 0;
    if (!rst_n) begin
      {step, plane} = '0;
      acc = '0;
      foreach (pipe[i]) pipe[i] = '0;
    end else begin
      for (int i = Latency; i > 0; i--) pipe[i] = pipe[i-1];
      pipe[0] = '0;
      if (in_valid) plane <= (plane + 1) % Planes;
      if (in_valid && plane == Planes - 1) begin
        for (int p = 0; p < PE; p++) begin
          shift = int'(in_data >> (SIMD * A_BITS)) + int'(words[step][p] >> (SIMD * W_BITS));
          for (int s = 0; s < SIMD; s++) begin
            acc[p] = acc[p] + ACC_BITS'(product(in_data[s*A_BITS+:A_BITS], words[step][p][s*W_BITS+:W_BITS]) << shift);
          end
        end
        step = (step + 1) % STEPS;
        if (in_end) pipe[0] = {1'b1, in_last, acc};
        if (in_end) acc = '0;
      end
      if (out_valid !== pipe[Latency].valid) $fatal(1, "%m: valid_o is wrong");
      if (out_valid && {out_last, out_data} !== {pipe[Latency].last, pipe[Latency].data}) begin
        $fatal(1, "%m: %h, not %h", out_data, pipe[Latency].data);
      end
    end
  end
endmodule
