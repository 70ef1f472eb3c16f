// Bench of ig_accumulate: random sums and shifts, reductions of random length and resets against a loop, to the exact
// cycle; and of the chain that it ends: planes, weights, dot products of all kinds, serial sums, accumulators.
module ig_accumulate_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_accumulate"), .ROUNDS(20), .DRAIN(400)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_accumulate_case #(.PE(1), .IN_BITS(1), .ACC_BITS(1)) u_smallest (.*);
  ig_accumulate_case #(.PE(3), .IN_BITS(9), .ACC_BITS(13)) u_plain (.*);
  ig_accumulate_case #(.PE(2), .IN_BITS(40), .ACC_BITS(17)) u_narrow (.*);
  ig_accumulate_case #(.PE(1), .IN_BITS(4), .ACC_BITS(9), .W_SHIFT(1)) u_w_shift (.*);
  ig_accumulate_case #(.PE(3), .IN_BITS(7), .ACC_BITS(21), .A_SHIFT(3)) u_a_shift (.*);
  ig_accumulate_case #(.PE(2), .IN_BITS(6), .ACC_BITS(20), .W_SHIFT(3), .A_SHIFT(2)) u_shifts (.*);
  ig_accumulate_case #(.PE(5), .IN_BITS(3), .ACC_BITS(25), .W_SHIFT(2), .A_SHIFT(4)) u_rows (.*);
  // chains
  ig_accumulate_chain #(.SIMD(1), .PE(1), .A_BITS(8), .W_BITS(8), .ACC_BITS(24),
    .STEPS(12), .FILE("random_8x12.mem")) u_1x1 (.*);
  ig_accumulate_chain #(.SIMD(3), .PE(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(5), .ACC_BITS(17),
    .STEPS(7), .FILE("random_30x7.mem")) u_3x2 (.*);
  ig_accumulate_chain #(.SIMD(3), .PE(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(5), .ACC_BITS(17),
    .STEPS(7), .FILE("random_30x7.mem"), .DSP(1)) u_3x2_dsp (.*);
  ig_accumulate_chain #(.SIMD(8), .PE(1), .A_BITS(8), .W_BITS(2), .ACC_BITS(20),
    .STEPS(40), .FILE("random_16x40.mem"), .BLOCK(1)) u_8x1 (.*);
  ig_accumulate_chain #(.SIMD(4), .PE(3), .A_BITS(8), .A_SIGNED(1), .W_BITS(8), .ACC_BITS(26),
    .STEPS(1), .FILE("random_96x1.mem"), .DSP(1)) u_4x3 (.*);
  ig_accumulate_chain #(.SIMD(16), .PE(1), .A_BITS(1), .W_BITS(2), .ACC_BITS(12),
    .STEPS(5), .FILE("random_32x5.mem")) u_16x1 (.*);
  // forms
  ig_accumulate_chain #(.FORM(3), .SIMD(5), .PE(2), .A_BITS(4), .W_BITS(5), .W_EXP(3), .W_MANT(1), .ACC_BITS(24),
    .STEPS(6), .FILE("random_50x6.mem")) u_power (.*);
  ig_accumulate_chain #(.FORM(3), .SIMD(2), .PE(1), .A_BITS(6), .A_EXP(3), .A_SIGNED(1), .W_BITS(6), .W_EXP(3),
    .W_MANT(2),
    .ACC_BITS(40), .STEPS(7), .FILE("random_12x7.mem")) u_minifloat (.*);
  ig_accumulate_chain #(.FORM(3), .SIMD(1), .PE(2), .A_BITS(4), .A_EXP(3), .W_BITS(4), .ACC_BITS(26),
    .STEPS(3), .FILE("random_8x3.mem")) u_log (.*);
  ig_accumulate_chain #(.FORM(1), .SIMD(13), .PE(2), .A_BITS(1), .W_BITS(1), .ACC_BITS(14),
    .STEPS(5), .FILE("random_26x5.mem")) u_xnor (.*);
  ig_accumulate_chain #(.FORM(1), .SIMD(4), .PE(1), .A_BITS(3), .A_SIGNED(1), .W_BITS(1), .ACC_BITS(14),
    .STEPS(1), .FILE("random_4x1.mem")) u_binary (.*);
  ig_accumulate_chain #(.FORM(2), .SIMD(6), .PE(2), .A_BITS(4), .W_BITS(2), .ACC_BITS(18),
    .STEPS(6), .FILE("random_24x6.mem")) u_ternary (.*);
  ig_accumulate_chain #(.FORM(4), .SIMD(5), .PE(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(3), .ACC_BITS(24),
    .COEFFICIENTS({-32'sd3, 32'sd100, 32'sd17}), .STEPS(4), .FILE("random_30x4.mem")) u_bases (.*);
  ig_accumulate_chain #(.FORM(4), .SIMD(8), .PE(1), .A_BITS(2), .W_BITS(2), .ACC_BITS(20),
    .COEFFICIENTS({-32'sd7, 32'sd5}), .UNIPOLAR(1), .STEPS(3), .FILE("random_16x3.mem")) u_trained (.*);
  // bit-serial activations
  ig_accumulate_chain #(.SERIAL(1), .SIMD(4), .PE(3), .A_BITS(5), .W_BITS(3), .ACC_BITS(20),
    .STEPS(4), .FILE("random_36x4.mem")) u_serial (.*);
  ig_accumulate_chain #(.SERIAL(1), .SIMD(3), .PE(1), .A_BITS(8), .A_SIGNED(1), .W_BITS(8), .ACC_BITS(26),
    .STEPS(5), .FILE("random_24x5.mem"), .BLOCK(1)) u_serial_signed (.*);
  ig_accumulate_chain #(.SERIAL(1), .SIMD(1), .PE(2), .A_BITS(1), .A_SIGNED(1), .W_BITS(4), .ACC_BITS(12),
    .STEPS(2), .FILE("random_8x2.mem")) u_serial_bit (.*);
  ig_accumulate_chain #(.SERIAL(1), .FORM(1), .SIMD(9), .PE(2), .A_BITS(4), .W_BITS(1), .ACC_BITS(16),
    .STEPS(4), .FILE("random_18x4.mem")) u_serial_binary (.*);
  ig_accumulate_chain #(.SERIAL(1), .FORM(2), .SIMD(4), .PE(2), .A_BITS(3), .A_SIGNED(1), .W_BITS(2), .ACC_BITS(16),
    .STEPS(4), .FILE("random_16x4.mem")) u_serial_ternary (.*);
  ig_accumulate_chain #(.SERIAL(1), .FORM(4), .SIMD(3), .PE(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(3), .ACC_BITS(24),
    .COEFFICIENTS({32'sd1, -32'sd64, 32'sd63}), .C_BITS(7), .STEPS(4), .FILE("random_18x4.mem")) u_serial_bases (.*);
  ig_accumulate_chain #(.SERIAL(1), .FORM(4), .SIMD(2), .PE(1), .A_BITS(5), .W_BITS(2), .ACC_BITS(20),
    .COEFFICIENTS({-32'sd8, 32'sd8}), .C_BITS(5), .UNIPOLAR(1), .STEPS(4),
    .FILE("random_4x4.mem")) u_serial_trained (.*);
  // shared exponents
  ig_accumulate_chain #(.SIMD(4), .PE(2), .A_BITS(4), .W_BITS(4), .W_SHIFT(3), .ACC_BITS(28),
    .STEPS(6), .FILE("random_38x6.mem")) u_block (.*);
  ig_accumulate_chain #(.SIMD(1), .PE(1), .A_BITS(3), .A_SIGNED(1), .W_BITS(4), .A_SHIFT(1), .ACC_BITS(18),
    .STEPS(3), .FILE("random_4x3.mem")) u_block_in (.*);
  ig_accumulate_chain #(.SIMD(8), .PE(2), .A_BITS(4), .A_SIGNED(1), .W_BITS(3), .A_SHIFT(3), .W_SHIFT(2), .ACC_BITS(30),
    .STEPS(5), .FILE("random_52x5.mem")) u_blocks (.*);
  ig_accumulate_chain #(.SERIAL(1), .SIMD(2), .PE(2), .A_BITS(3), .A_SIGNED(1), .W_BITS(4), .A_SHIFT(2), .W_SHIFT(3),
    .ACC_BITS(30), .STEPS(4), .FILE("random_22x4.mem")) u_serial_blocks (.*);
endmodule

module ig_accumulate_case #(
  parameter int unsigned PE = 2,
  parameter int unsigned IN_BITS = 16,
  parameter int unsigned ACC_BITS = 24,
  parameter int unsigned W_SHIFT = 0,
  parameter int unsigned A_SHIFT = 0
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned InBits = PE * (W_SHIFT + IN_BITS) + A_SHIFT;

  logic in_valid, in_last, in_end, cut = 1'b0, out_valid, out_last;
  logic [InBits-1:0] in_data, shifts;
  logic [PE-1:0][ACC_BITS-1:0] out_data, earlier, acc;  // without and with this beat

  ig_tb_source #(.WIDTH(InBits), .BEATS(5), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(in_data), .last_o(in_last)
  );
  assign in_end = in_last || cut;
  ig_accumulate #(
    .PE(PE), .IN_BITS(IN_BITS), .ACC_BITS(ACC_BITS), .W_SHIFT_BITS(W_SHIFT), .A_SHIFT_BITS(A_SHIFT)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .end_i(in_end), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .last_o(out_last)
  );
  ig_tb_line #(.WIDTH(PE * ACC_BITS + 1), .LATENCY(1 + 32'(W_SHIFT + A_SHIFT != 0))) u_line (
    .clk_i(clk), .rst_ni(rst_n), .idle_i(idle), .want_valid_i(in_valid && in_end), .want_i({in_last, acc}),
    .valid_i(out_valid), .data_i({out_last, out_data})
  );

  always_comb begin
    longint unsigned factor;
    shifts = in_data >> (PE * IN_BITS);
    for (int p = 0; p < PE; p++) begin
      factor = 64'd1 << (longint'(shifts) % (64'd1 << A_SHIFT));
      factor <<= longint'(shifts >> (A_SHIFT + p * W_SHIFT)) % (64'd1 << W_SHIFT);
      acc[p] = earlier[p] + ACC_BITS'(longint'(signed'(in_data[p*IN_BITS+:IN_BITS])) * factor);
    end
  end
  always @(posedge clk) begin
    cut <= $urandom_range(3) == 0;
    if (!rst_n) earlier <= '0;
    else if (in_valid) earlier <= in_end ? '0 : acc;
  end
endmodule

// FORM: the kind of the weights: 0 ig_dot, 1 ig_dot_binary, 2 ig_dot_ternary, 3 ig_dot_shift, 4 ig_dot_bases.
module ig_accumulate_chain #(
  parameter int unsigned FORM = 0,
  parameter int unsigned SERIAL = 0,  // 1: bit-serial activations
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
  parameter int unsigned A_EXP = 0,
  parameter int unsigned W_EXP = 0,
  parameter int unsigned W_MANT = 1,
  parameter logic [W_BITS*32-1:0] COEFFICIENTS = {W_BITS{32'd1}},
  parameter int unsigned C_BITS = 32,  // bits of the largest coefficient
  parameter int unsigned UNIPOLAR = 0,
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
  localparam int unsigned WordBits = PE * (W_SHIFT + SIMD * W_BITS);
  // What the dot product sees of an activation: all of it, or a bit.
  localparam int unsigned DBits = SERIAL != 0 ? 1 : A_BITS;
  localparam int unsigned DSigned = SERIAL != 0 ? 0 : A_SIGNED;
  localparam int unsigned DataBits = SIMD * DBits;
  localparam int unsigned SideBits = PE * W_SHIFT + A_SHIFT;
  localparam int unsigned UsedBits = DataBits + PE * SIMD * W_BITS;
  localparam int unsigned DotBits = DBits + $clog2(SIMD) + weight_bits();
  localparam int unsigned SumBits = SERIAL != 0 ? DotBits + A_BITS : DotBits;

  // Bits that the weights add to an activation.
  function automatic int unsigned weight_bits();
    case (FORM)
      0: return W_BITS > 2 ? W_BITS : 2;
      3: return W_BITS + (1 << A_EXP) - 1 + (1 << W_EXP) - 1;
      4: return C_BITS + $clog2(W_BITS);
      default: return 1;
    endcase
  endfunction

  // Pulses {data, end, last} between the stages.
  logic beat_valid, beat_last, in_valid, in_last, in_end, move = 1'b0, cut = 1'b0;
  logic plane_valid, plane_end, plane_last, word_valid, word_end, word_last, dot_valid, dot_end, dot_last;
  logic sum_valid, sum_end, sum_last, out_valid, out_last;
  logic [A_SHIFT+SIMD*A_BITS-1:0] in_data;
  logic [DataBits-1:0] plane_data;
  logic [SideBits+UsedBits-1:0] word_data;
  logic [SideBits+PE*DotBits-1:0] dot_data;
  logic [SideBits+PE*SumBits-1:0] sum_data;
  logic [PE-1:0][ACC_BITS-1:0] out_data, earlier, acc;  // without and with this beat
  logic [WordBits-1:0] words[STEPS], word;
  int unsigned step = 0, plane = 0;

  // A beat stays for all its planes.
  ig_tb_source #(.WIDTH(A_SHIFT + SIMD * A_BITS), .BEATS(3 * STEPS)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(beat_valid), .ready_i(move && plane == Planes - 1), .data_o(in_data), .last_o(beat_last)
  );
  assign in_valid = beat_valid && move;
  assign in_last = beat_last && plane == Planes - 1;
  assign in_end = (beat_last || cut) && plane == Planes - 1;

  if (SERIAL != 0) begin : g_planes
    ig_planes #(.LANES(SIMD), .BITS(A_BITS)) u_planes (
      .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data[SIMD*A_BITS-1:0]),
      .end_i(in_end), .last_i(in_last),
      .valid_o(plane_valid), .data_o(plane_data), .end_o(plane_end), .last_o(plane_last)
    );
  end else begin : g_whole
    assign {plane_valid, plane_end, plane_last} = {in_valid, in_end, in_last};
    assign plane_data = in_data[SIMD*A_BITS-1:0];
  end

  ig_supply_rom #(
    .DATA_BITS(DataBits), .DATA_SIDE(A_SHIFT), .WORD_BITS(PE * SIMD * W_BITS), .WORD_SIDE(PE * W_SHIFT),
    .STEPS(STEPS), .FILE(FILE), .BLOCK(BLOCK), .REPEAT(Planes)
  ) u_weights (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(plane_valid),
    .data_i((A_SHIFT + DataBits)'({in_data >> (SIMD * A_BITS), plane_data})),
    .end_i(plane_end), .last_i(plane_last),
    .valid_o(word_valid), .data_o(word_data), .end_o(word_end), .last_o(word_last)
  );

  if (FORM == 0) begin : g_integer
    ig_dot #(
      .PE(PE), .SIMD(SIMD), .A_BITS(DBits), .A_SIGNED(DSigned),
      .W_BITS(W_BITS), .DSP(DSP), .SUM_BITS(DotBits), .SIDE_BITS(SideBits)
    ) u_dot (
      .clk_i(clk), .rst_ni(rst_n), .valid_i(word_valid), .data_i(word_data), .end_i(word_end), .last_i(word_last),
      .valid_o(dot_valid), .data_o(dot_data), .end_o(dot_end), .last_o(dot_last)
    );
  end else if (FORM == 1) begin : g_binary
    ig_dot_binary #(
      .PE(PE), .SIMD(SIMD), .A_BITS(DBits), .A_SIGNED(DSigned), .SUM_BITS(DotBits), .SIDE_BITS(SideBits)
    ) u_dot (
      .clk_i(clk), .rst_ni(rst_n), .valid_i(word_valid), .data_i(word_data), .end_i(word_end), .last_i(word_last),
      .valid_o(dot_valid), .data_o(dot_data), .end_o(dot_end), .last_o(dot_last)
    );
  end else if (FORM == 2) begin : g_ternary
    ig_dot_ternary #(
      .PE(PE), .SIMD(SIMD), .A_BITS(DBits), .A_SIGNED(DSigned), .SUM_BITS(DotBits), .SIDE_BITS(SideBits)
    ) u_dot (
      .clk_i(clk), .rst_ni(rst_n), .valid_i(word_valid), .data_i(word_data), .end_i(word_end), .last_i(word_last),
      .valid_o(dot_valid), .data_o(dot_data), .end_o(dot_end), .last_o(dot_last)
    );
  end else if (FORM == 3) begin : g_shift
    ig_dot_shift #(
      .PE(PE), .SIMD(SIMD), .A_BITS(DBits), .A_SIGNED(DSigned),
      .A_EXP_BITS(A_EXP), .W_BITS(W_BITS), .W_EXP_BITS(W_EXP), .W_MANT_BITS(W_MANT), .DSP(DSP),
      .SUM_BITS(DotBits), .SIDE_BITS(SideBits)
    ) u_dot (
      .clk_i(clk), .rst_ni(rst_n), .valid_i(word_valid), .data_i(word_data), .end_i(word_end), .last_i(word_last),
      .valid_o(dot_valid), .data_o(dot_data), .end_o(dot_end), .last_o(dot_last)
    );
  end else begin : g_bases
    ig_dot_bases #(
      .PE(PE), .SIMD(SIMD), .A_BITS(DBits), .A_SIGNED(DSigned),
      .W_BITS(W_BITS), .UNIPOLAR(UNIPOLAR), .COEFFICIENTS(COEFFICIENTS),
      .SUM_BITS(DotBits), .SIDE_BITS(SideBits)
    ) u_dot (
      .clk_i(clk), .rst_ni(rst_n), .valid_i(word_valid), .data_i(word_data), .end_i(word_end), .last_i(word_last),
      .valid_o(dot_valid), .data_o(dot_data), .end_o(dot_end), .last_o(dot_last)
    );
  end

  if (SERIAL != 0) begin : g_serial
    ig_serial #(
      .PE(PE), .IN_BITS(DotBits), .PLANES(A_BITS), .SIGNED(A_SIGNED), .SIDE_BITS(SideBits)
    ) u_serial (
      .clk_i(clk), .rst_ni(rst_n), .valid_i(dot_valid), .data_i(dot_data), .end_i(dot_end), .last_i(dot_last),
      .valid_o(sum_valid), .data_o(sum_data), .end_o(sum_end), .last_o(sum_last)
    );
  end else begin : g_parallel
    assign {sum_valid, sum_data, sum_end, sum_last} = {dot_valid, dot_data, dot_end, dot_last};
  end

  ig_accumulate #(
    .PE(PE), .IN_BITS(SumBits), .ACC_BITS(ACC_BITS), .W_SHIFT_BITS(W_SHIFT), .A_SHIFT_BITS(A_SHIFT)
  ) u_accumulate (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(sum_valid), .data_i(sum_data), .end_i(sum_end), .last_i(sum_last),
    .valid_o(out_valid), .data_o(out_data), .last_o(out_last)
  );
  ig_tb_line #(.WIDTH(PE * ACC_BITS + 1), .LATENCY(Latency)) u_line (
    .clk_i(clk), .rst_ni(rst_n), .idle_i(idle), .want_valid_i(in_valid && in_end), .want_i({in_last, acc}),
    .valid_i(out_valid), .data_i({out_last, out_data})
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
        for (int l = 0; l < PE * SIMD; l++) if (!words[i][2*l]) words[i][2*l+1] = 1'b0;
        u_weights.u_rom.g_logic.words[i] = words[i];
      end
    end
  end

  always_comb begin
    int shift;
    word = words[step];
    for (int p = 0; p < PE; p++) begin
      acc[p] = earlier[p];
      shift = int'(in_data >> (SIMD * A_BITS)) + int'(word >> (PE * SIMD * W_BITS + p * W_SHIFT)) % (1 << W_SHIFT);
      for (int s = 0; s < SIMD; s++) begin
        acc[p] += ACC_BITS'(product(in_data[s*A_BITS+:A_BITS], word[(p*SIMD+s)*W_BITS+:W_BITS]) << shift);
      end
    end
  end
  always @(posedge clk) begin
    cut <= $urandom_range(3) == 0;
    move <= $urandom_range(3) != 0;
    if (!rst_n) begin
      {step, plane} <= '0;
      earlier <= '0;
    end else if (in_valid) begin
      plane <= (plane + 1) % Planes;
      if (plane == Planes - 1) begin
        step <= (step + 1) % STEPS;
        earlier <= in_end ? '0 : acc;
      end
    end
  end
endmodule
