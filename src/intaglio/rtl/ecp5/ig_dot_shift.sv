// ig_dot_shift for ECP5: the last stage of every shifter takes no logic, and the sum is in carry cells (ig_chains).
//
// That stage is two registers, one with the product as it is and one with it shifted, of which the highest bit of the
// exponent resets one: the lane is their exclusive or, which the carry cells take as it is. The sign bit is inverted
// there, which makes a lane 2^(LaneBits - 1) more; that is taken back at the end.
module ig_dot_shift #(
  parameter int unsigned PE = 1,           // rows
  parameter int unsigned SIMD = 8,         // lanes of a row
  parameter int unsigned A_BITS = 8,       // bits of an activation
  parameter int unsigned A_SIGNED = 0,     // 1: activations have a sign or are two's complement
  parameter int unsigned A_EXP_BITS = 0,   // bits of an activation's exponent; 0: integer
  parameter int unsigned A_EXP_MAX = (1 << A_EXP_BITS) - 1,  // largest exponent of an activation
  parameter int unsigned W_BITS = 5,       // bits of a weight, with W_EXP_BITS 1 + both parts
  parameter int unsigned W_EXP_BITS = 3,   // bits of a weight's exponent; 0: integer
  parameter int unsigned W_EXP_MAX = (1 << W_EXP_BITS) - 1,  // largest exponent of a weight
  parameter int unsigned W_MANT_BITS = 1,  // bits of a weight's mantissa; unused for integers
  parameter int unsigned DSP = 0,          // 1: multipliers for the mantissas, 0: adders
  parameter int unsigned SIDE_BITS = 0,    // bits on top of data_i that travel beside
  // bits of a sum; enough for each by default, else truncated or sign-extended
  parameter int unsigned SUM_BITS = A_BITS + W_BITS + A_EXP_MAX + W_EXP_MAX + $clog2(SIMD),
  localparam int unsigned UsedBits = (A_BITS + PE * W_BITS) * SIMD,
  localparam int unsigned InBits = SIDE_BITS + UsedBits,
  localparam int unsigned OutBits = SIDE_BITS + PE * SUM_BITS
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // pulses in: {side, weights of each row, activations}, row 0 and lane 0 lowest
  input  logic               valid_i,
  input  logic [InBits-1:0]  data_i,
  input  logic               end_i,   // last pulse of a reduction
  input  logic               last_i,  // last pulse of the frame
  // pulses out: {side, sums}, each two's complement
  output logic               valid_o,
  output logic [OutBits-1:0] data_o,
  output logic               end_o,
  output logic               last_o
);
  localparam int unsigned AMant = A_BITS - A_EXP_BITS;  // with the sign, if there is one
  localparam int unsigned WMant = W_EXP_BITS != 0 ? W_MANT_BITS : W_BITS;
  // A factor of one unsigned bit, or a signed one without its lowest value: the product is shorter.
  localparam bit BitA = A_SIGNED == 0 && AMant == 1;
  localparam bit BitW = W_EXP_BITS != 0 && WMant == 1;
  localparam bit Short = BitA || BitW || (A_SIGNED != 0 && A_EXP_BITS != 0 && W_EXP_BITS == 0);
  localparam int unsigned ProductBits = AMant + WMant - 32'(Short);
  localparam int unsigned Shift = A_EXP_MAX + W_EXP_MAX;
  localparam int unsigned LaneBits = ProductBits + Shift + 32'(W_EXP_BITS != 0 && A_SIGNED == 0);
  localparam int unsigned Depth = $clog2(SIMD);
  localparam int unsigned ShiftBits = Shift > 0 ? $clog2(Shift + 1) : 1;
  localparam int unsigned Step = 1 << (ShiftBits - 1);  // of the last stage
  localparam int unsigned Low = ShiftBits > 1 ? ShiftBits - 1 : 1;
  localparam int unsigned TotalBits = LaneBits + Depth;

  logic [PE*SIMD-1:0][LaneBits-1:0] lanes_x, lanes_y;
  logic [SIMD-1:0][A_BITS-1:0] a;
  logic [PE*SIMD-1:0][W_BITS-1:0] w;
  logic [PE-1:0][SUM_BITS-1:0] sums;
  assign {w, a} = data_i[UsedBits-1:0];

  for (genvar l = 0; l < PE * SIMD; l++) begin : g_lane
    localparam int unsigned S = l % SIMD;  // its activation
    logic [AMant-1:0] a_mantissa;
    logic [WMant-1:0] w_mantissa;
    logic [ShiftBits-1:0] a_exponent, w_exponent, shift_q;
    logic [ProductBits-1:0] product_q;
    logic [LaneBits-1:0] product, near, far;
    logic negative_q;

    if (A_EXP_BITS == 0) begin : g_a_integer
      assign a_mantissa = a[S];
      assign a_exponent = '0;
    end else begin : g_a_code
      assign a_exponent = ShiftBits'(a[S][A_BITS-1-32'(A_SIGNED!=0)-:A_EXP_BITS]);
      if (A_SIGNED != 0) begin : g_a_sign
        logic [AMant-1:0] magnitude;
        assign magnitude = {1'b0, a[S][AMant-2:0]};
        assign a_mantissa = a[S][A_BITS-1] ? -magnitude : magnitude;
      end else begin : g_a_no_sign
        assign a_mantissa = a[S][AMant-1:0];
      end
    end

    assign w_mantissa = w[l][WMant-1:0];
    if (W_EXP_BITS == 0) begin : g_w_integer
      assign w_exponent = '0;
      assign negative_q = 1'b0;
    end else begin : g_w_code
      assign w_exponent = ShiftBits'(w[l][WMant+:W_EXP_BITS]);
      always_ff @(posedge clk_i) begin
        if (w_mantissa == '0) negative_q <= 1'b0;
        else negative_q <= w[l][W_BITS-1];
      end
    end

    if (BitW) begin : g_gate_a
      always_ff @(posedge clk_i) begin
        if (!w_mantissa[0]) product_q <= '0;
        else product_q <= a_mantissa;
      end
    end else if (BitA) begin : g_gate_w
      always_ff @(posedge clk_i) begin
        if (!a_mantissa[0]) product_q <= '0;
        else product_q <= w_mantissa;
      end
    end else begin : g_multiply
      logic [AMant+WMant-1:0] full;
      ig_multiply #(
        .A_BITS(AMant), .A_SIGNED(A_SIGNED), .B_BITS(WMant), .B_SIGNED(32'(W_EXP_BITS == 0)),
        .DSP(DSP)
      ) u_multiply (
        .a_i(a_mantissa), .b_i(w_mantissa), .p_o(full)
      );
      always_ff @(posedge clk_i) product_q <= full[ProductBits-1:0];
    end
    always_ff @(posedge clk_i) shift_q <= a_exponent + w_exponent;

    if (A_SIGNED != 0 || W_EXP_BITS == 0) begin : g_signed
      assign product = LaneBits'(signed'(product_q));
    end else begin : g_unsigned
      assign product = LaneBits'(product_q);
    end

    assign near = (ShiftBits > 1 ? product << shift_q[Low-1:0] : product) ^ {LaneBits{negative_q}};
    assign far = LaneBits'({near, {Step{negative_q}}});

    // Yosys would put an inverter before the reset of the second register, active low.
    always_ff @(posedge clk_i) begin
      lanes_x[l] <= shift_q[ShiftBits-1] ? '0 : near;
      lanes_x[l][LaneBits-1] <= near[LaneBits-1];
    end
    assign lanes_y[l][LaneBits-1] = 1'b1;
    for (genvar i = 0; i < LaneBits - 1; i++) begin : g_far
      TRELLIS_FF #(
        .GSR("DISABLED"), .CEMUX("1"), .CLKMUX("CLK"), .LSRMUX("INV"), .REGSET("RESET"),
        .SRMODE("LSR_OVER_CE")
      ) u_register (
        .CLK(clk_i), .LSR(shift_q[ShiftBits-1]), .DI(far[i]), .Q(lanes_y[l][i])
      );
    end
  end

  for (genvar p = 0; p < PE; p++) begin : g_row
    logic [TotalBits-1:0] sum;
    // Registers behind levels 1, 3, 5, .. and behind the last level.
    ig_chains #(
      .SIMD(SIMD), .BITS(LaneBits), .GATE(0),
      .OFFSET(-(TotalBits'(SIMD) << (LaneBits - 1))),
      .REGISTERS(Depth == 0 ? 0 : 32'hAAAA_AAAA | (1 << (Depth - 1)))
    ) u_sum (
      .clk_i, .x_i(lanes_x[p*SIMD+:SIMD]), .y_i(lanes_y[p*SIMD+:SIMD]), .sum_o(sum)
    );
    assign sums[p] = SUM_BITS'(signed'(sum));
  end

  logic [SIDE_BITS+1:0] flags;
  ig_delay #(
    .WIDTH(SIDE_BITS + 2), .CYCLES(2 + (Depth + 1) / 2)
  ) u_delay (
    .clk_i, .rst_ni, .valid_i, .data_i((SIDE_BITS + 2)'({data_i >> UsedBits, end_i, last_i})),
    .valid_o, .data_o(flags)
  );
  assign {end_o, last_o} = flags[1:0];
  assign data_o = OutBits'({flags >> 2, sums});
endmodule
