// Folded matrix-vector product: PE dot products of SIMD lanes per beat, accumulated over the beats of one reduction:
//   acc[p] = sum over the beats up to end_i of dot(a, w[beat][p]) << (shift of w[beat][p] + shift of a).
//
// Latency, from the pulse with end_i to the one pulse with the PE results: 2 (weight memory) + 1 +
// ceil(clog2(SIMD) / 2) (dot product) + 1 if FORM >= 3 + 1 if SERIAL + 1 with shifts + 1 (accumulator) cycles.
// Pulses in, pulses out; it never stalls.
//
// FORM says how weights are written and multiplied; their modules say which constant of the weights 1 to 4 add:
//   0 ig_dot          two's complement              3 ig_dot_shift  powers of two, minifloats: exponents
//   1 ig_dot_binary   1, -1                         4 ig_dot_bases  sums of COEFFICIENTS times 1, -1 or 1, 0
//   2 ig_dot_ternary  1, 0, -1
// Beat k since reset (or since the last wrap) uses weight word k; the count wraps at STEPS, so that a frame must
// bring a multiple of STEPS beats. A word has W_SHIFT_BITS + SIMD * W_BITS bits per PE, PE 0 lowest: the shift of the
// PE above its weights, lane 0 lowest. The shift of the activations stands above them in data_i. The forms' constants
// are shifted, too: with A_SHIFT_BITS use a form whose sum is exact.
//
// SERIAL = 1 (not with FORM 3): every beat comes A_BITS times, and pulse j of it multiplies bit j of the activations.
// end_i and last_i come with the last of them.
module ig_matmul #(
  parameter int unsigned SIMD = 4,       // activations per beat
  parameter int unsigned PE = 2,         // results computed at once
  parameter int unsigned A_BITS = 8,     // bits of an activation
  parameter int unsigned A_SIGNED = 0,   // 1: activations are two's complement, 0: unsigned
  parameter int unsigned W_BITS = 8,     // bits of a weight; FORM 1: 1, FORM 2: 2, FORM 4: planes
  parameter int unsigned ACC_BITS = 24,  // bits of a result, two's complement; enough for each
  parameter int unsigned STEPS = 16,     // words of the weight memory FILE
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned DSP = 0,        // 1: multipliers, 0: adders (FORM 0 and 3)
  parameter int unsigned BLOCK = 0,      // 1: weights in block RAM, 0: in logic
  parameter int unsigned FORM = 0,
  parameter int unsigned A_EXP_BITS = 0,   // FORM 3: see ig_dot_shift
  parameter int unsigned A_EXP_MAX = (1 << A_EXP_BITS) - 1,
  parameter int unsigned W_EXP_BITS = 0,
  parameter int unsigned W_EXP_MAX = (1 << W_EXP_BITS) - 1,
  parameter int unsigned W_MANT_BITS = 1,
  parameter logic [W_BITS*32-1:0] COEFFICIENTS = {W_BITS{32'd1}},  // FORM 4: of each plane, signed
  parameter int unsigned UNIPOLAR = 0,     // FORM 4: 1: a plane's bit is 1 or 0, 0: 1 or -1
  parameter int unsigned SERIAL = 0,       // 1: every beat comes A_BITS times
  parameter int unsigned W_SHIFT_BITS = 0,  // bits of the shift in each PE's part of a weight word
  parameter int unsigned A_SHIFT_BITS = 0,  // bits of the shift in data_i
  localparam int unsigned DataBits = A_SHIFT_BITS + SIMD * A_BITS
) (
  input  logic                            clk_i,
  input  logic                            rst_ni,
  // in
  input  logic                            valid_i,
  input  logic [DataBits-1:0]             data_i,
  input  logic                            end_i,   // last beat of a reduction
  input  logic                            last_i,  // last beat of the frame
  // out
  output logic                            valid_o,
  output logic [PE-1:0][ACC_BITS-1:0]     data_o,
  output logic                            last_o
);
  localparam int unsigned RomLatency = 2;
  localparam int unsigned DotLatency = 1 + ($clog2(SIMD) + 1) / 2 + 32'(FORM >= 3);
  localparam bit Shifted = W_SHIFT_BITS != 0 || A_SHIFT_BITS != 0;
  localparam int unsigned Latency = RomLatency + DotLatency + 32'(SERIAL != 0) + 32'(Shifted) + 1;
  localparam int unsigned AddrBits = STEPS > 1 ? $clog2(STEPS) : 1;
  localparam int unsigned WordBits = W_SHIFT_BITS + SIMD * W_BITS;
  // What the dot product sees of an activation in one cycle: all of it, or one bit.
  localparam int unsigned DBits = SERIAL != 0 ? 1 : A_BITS;
  localparam int unsigned DSigned = SERIAL != 0 ? 0 : A_SIGNED;
  localparam int unsigned DotBits = DBits + $clog2(SIMD) + weight_bits(32);
  localparam int unsigned PlaneBits = DBits + $clog2(SIMD) + weight_bits(coefficient_bits()) + 1;
  localparam int unsigned SumBits = SERIAL != 0 ? PlaneBits + A_BITS - 1 : DotBits;

  // Bits that the weights add to an activation, when a coefficient has this many.
  function automatic int unsigned weight_bits(input int unsigned coefficient);
    case (FORM)
      0: weight_bits = W_BITS > 2 ? W_BITS : 2;
      3: weight_bits = W_BITS + A_EXP_MAX + W_EXP_MAX;
      4: weight_bits = coefficient + $clog2(W_BITS);
      default: weight_bits = 1;
    endcase
  endfunction

  // Bits of the largest coefficient in two's complement.
  function automatic int unsigned coefficient_bits();
    coefficient_bits = 1;
    for (int unsigned k = 0; k < W_BITS; k++) begin
      while (signed'(COEFFICIENTS[32*k+:32]) >>> (coefficient_bits - 1) != 0 &&
             signed'(COEFFICIENTS[32*k+:32]) >>> (coefficient_bits - 1) != -1) begin
        coefficient_bits = coefficient_bits + 1;
      end
    end
  endfunction

  // Beats: if they are serial, cycle j of a beat brings bit plane j.
  logic step, first_plane, last_plane;
  logic [SIMD-1:0][DBits-1:0] beat;

  if (DBits == A_BITS) begin : g_whole
    assign beat = data_i[SIMD*A_BITS-1:0];
    assign {first_plane, last_plane} = '1;
  end else begin : g_planes
    logic [$clog2(A_BITS)-1:0] plane_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) plane_q <= '0;
      else if (valid_i) plane_q <= last_plane ? '0 : plane_q + 1'b1;
    end
    assign first_plane = plane_q == '0;
    assign last_plane = plane_q == $bits(plane_q)'(A_BITS - 1);
    for (genvar s = 0; s < SIMD; s++) begin : g_lane
      logic [A_BITS-1:0] planes;
      assign planes = data_i[s*A_BITS+:A_BITS];
      assign beat[s] = planes[plane_q];
    end
  end
  assign step = valid_i && last_plane;

  // Weights: the memory counts beats.
  logic [AddrBits-1:0] step_q;
  logic [PE-1:0][WordBits-1:0] words;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) step_q <= '0;
    else if (step) step_q <= step_q == AddrBits'(STEPS - 1) ? '0 : step_q + 1'b1;
  end

  ig_rom #(
    .WIDTH(PE * WordBits), .DEPTH(STEPS), .FILE(FILE), .BLOCK(BLOCK)
  ) u_weights (
    .clk_i, .addr_i(step_q), .data_o(words)
  );

  // Activations wait for their weights; the flags for the accumulators.
  logic [RomLatency-1:0][SIMD-1:0][DBits-1:0] data_q;
  logic [Latency-2:0] valid_q, end_q, last_q;

  always_ff @(posedge clk_i) begin
    data_q <= {data_q[RomLatency-2:0], beat};
    end_q  <= {end_q[Latency-3:0], end_i};
    last_q <= {last_q[Latency-3:0], last_i};
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[Latency-3:0], step};
  end

  logic [PE-1:0][DotBits-1:0] dot;
  for (genvar p = 0; p < PE; p++) begin : g_dot
    logic [SIMD*W_BITS-1:0] weights;
    assign weights = words[p][SIMD*W_BITS-1:0];

    if (FORM == 0) begin : g_integer
      ig_dot #(
        .SIMD(SIMD), .A_BITS(DBits), .A_SIGNED(DSigned), .W_BITS(W_BITS), .DSP(DSP)
      ) u_dot (
        .clk_i, .a_i(data_q[RomLatency-1]), .w_i(weights), .sum_o(dot[p])
      );
    end else if (FORM == 1) begin : g_binary
      ig_dot_binary #(
        .SIMD(SIMD), .A_BITS(DBits), .A_SIGNED(DSigned)
      ) u_dot (
        .clk_i, .a_i(data_q[RomLatency-1]), .w_i(weights), .sum_o(dot[p])
      );
    end else if (FORM == 2) begin : g_ternary
      ig_dot_ternary #(
        .SIMD(SIMD), .A_BITS(DBits), .A_SIGNED(DSigned)
      ) u_dot (
        .clk_i, .a_i(data_q[RomLatency-1]), .w_i(weights), .sum_o(dot[p])
      );
    end else if (FORM == 3) begin : g_shift
      ig_dot_shift #(
        .SIMD(SIMD), .A_BITS(DBits), .A_SIGNED(DSigned), .A_EXP_BITS(A_EXP_BITS),
        .A_EXP_MAX(A_EXP_MAX), .W_BITS(W_BITS), .W_EXP_BITS(W_EXP_BITS), .W_EXP_MAX(W_EXP_MAX),
        .W_MANT_BITS(W_MANT_BITS), .DSP(DSP)
      ) u_dot (
        .clk_i, .a_i(data_q[RomLatency-1]), .w_i(weights), .sum_o(dot[p])
      );
    end else begin : g_bases
      ig_dot_bases #(
        .SIMD(SIMD), .A_BITS(DBits), .A_SIGNED(DSigned), .W_BITS(W_BITS), .UNIPOLAR(UNIPOLAR),
        .COEFFICIENTS(COEFFICIENTS)
      ) u_dot (
        .clk_i, .a_i(data_q[RomLatency-1]), .w_i(weights), .sum_o(dot[p])
      );
    end
  end

  // Sum of a beat. Serial: half of the sum so far, of which a bit leaves for `low_q`, plus the next plane.
  logic [PE-1:0][SumBits-1:0] sum;
  if (SERIAL == 0) begin : g_parallel
    logic unused_flag;
    assign unused_flag = first_plane;
    assign sum = dot;
  end else begin : g_serial
    localparam int unsigned Wait = RomLatency + DotLatency;
    logic [Wait-1:0] plane_q, first_q, top_q;
    logic first, subtract;
    always_ff @(posedge clk_i) begin
      plane_q <= {plane_q[Wait-2:0], valid_i};
      first_q <= {first_q[Wait-2:0], first_plane};
      top_q   <= {top_q[Wait-2:0], last_plane};
    end
    assign first = first_q[Wait-1];
    assign subtract = top_q[Wait-1] && A_SIGNED != 0;  // the sign's plane

    for (genvar p = 0; p < PE; p++) begin : g_pe
      logic [PlaneBits-1:0] half, plane, high_q;
      assign half = first ? '0 : {high_q[PlaneBits-1], high_q[PlaneBits-1:1]};
      assign plane = PlaneBits'(signed'(dot[p]));
      // One more bit below carries into the addition.
      always_ff @(posedge clk_i) begin
        if (plane_q[Wait-1]) begin
          high_q <= PlaneBits'({half, 1'b1} + {subtract ? ~plane : plane, subtract} >> 1);
        end
      end
      if (A_BITS == 1) begin : g_one
        assign sum[p] = high_q;
      end else begin : g_low
        logic [A_BITS-2:0] low_q;
        always_ff @(posedge clk_i) begin
          if (plane_q[Wait-1]) low_q <= (A_BITS - 1)'({high_q[0], low_q} >> 1);
        end
        assign sum[p] = {high_q, low_q};
      end
    end
  end

  // What the accumulator adds. The shift of a beat is known when its weights are, and waits for the sum.
  logic [PE-1:0][ACC_BITS-1:0] term;
  for (genvar p = 0; p < PE; p++) begin : g_term
    if (Shifted) begin : g_shift
      localparam int unsigned Larger = W_SHIFT_BITS > A_SHIFT_BITS ? W_SHIFT_BITS : A_SHIFT_BITS;
      localparam int unsigned ShiftBits = Larger + 32'(W_SHIFT_BITS != 0 && A_SHIFT_BITS != 0);
      localparam int unsigned Wait = DotLatency + 32'(SERIAL != 0);
      logic [ShiftBits-1:0] w_shift, a_shift;
      logic [Wait*ShiftBits-1:0] shift_q;
      logic [ACC_BITS-1:0] term_q;
      if (W_SHIFT_BITS == 0) begin : g_no_w
        assign w_shift = '0;
      end else begin : g_w
        assign w_shift = ShiftBits'(words[p][WordBits-1-:W_SHIFT_BITS]);
      end
      if (A_SHIFT_BITS == 0) begin : g_no_a
        assign a_shift = '0;
      end else begin : g_a
        localparam int unsigned Bits = RomLatency * A_SHIFT_BITS;
        logic [Bits-1:0] a_shift_q;
        always_ff @(posedge clk_i) begin
          a_shift_q <= Bits'({a_shift_q, data_i[DataBits-1-:A_SHIFT_BITS]});
        end
        assign a_shift = ShiftBits'(a_shift_q[Bits-1-:A_SHIFT_BITS]);
      end
      always_ff @(posedge clk_i) begin
        shift_q <= (Wait * ShiftBits)'({shift_q, w_shift + a_shift});
        term_q  <= ACC_BITS'(signed'(sum[p])) << shift_q[Wait*ShiftBits-1-:ShiftBits];
      end
      assign term[p] = term_q;
    end else begin : g_plain
      assign term[p] = ACC_BITS'(signed'(sum[p]));
    end
  end

  // Accumulators: a reduction's first beat loads, the others add.
  logic add, add_end, first_q;
  assign add = valid_q[Latency-2];
  assign add_end = add && end_q[Latency-2];

  always_ff @(posedge clk_i) begin
    last_o <= last_q[Latency-2];
    if (!rst_ni) begin
      first_q <= 1'b1;
      valid_o <= 1'b0;
    end else begin
      if (add) first_q <= add_end;
      valid_o <= add_end;
    end
  end

  for (genvar p = 0; p < PE; p++) begin : g_pe
    logic [ACC_BITS-1:0] acc_q;
    always_ff @(posedge clk_i) begin
      if (add) acc_q <= (first_q ? '0 : acc_q) + term[p];
    end
    assign data_o[p] = acc_q;
  end

`ifndef SYNTHESIS
  initial begin
    assert (FORM <= 4 && !(FORM == 3 && SERIAL != 0)) else $fatal(1, "%m: FORM");
    assert (FORM == 4 || UNIPOLAR == 0) else $fatal(1, "%m: UNIPOLAR");
    assert ((FORM != 1 || W_BITS == 1) && (FORM != 2 || W_BITS == 2)) else $fatal(1, "%m: W_BITS");
  end
`endif
endmodule
