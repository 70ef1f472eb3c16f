// Sum of one plane of a dot product: sum_o = sum over s of lane[s], where a weight of one bit, or two, chooses
//   KIND 0, gate:     lane = w ? a : 0
//   KIND 1, bipolar:  lane = w ? a : ~a
//   KIND 2, ternary:  lane = w[0] ? (w[1] ? ~a : a) : 0     (w[1] only with w[0])
// and ~a complements the A_BITS of a: 2^A_BITS - 1 - a if unsigned, -a - 1 if signed.
//
// Latency: 1 + the number of ones in the low clog2(SIMD) bits of REGISTERS. No handshake, no reset.
//
// To take nothing instead of an activation costs no logic: it is the synchronous reset of the register that holds
// the activation. Inversion is logic behind that register, one look-up table per bit.
module ig_plane #(
  parameter int unsigned SIMD = 8,       // lanes
  parameter int unsigned A_BITS = 8,     // bits of an activation
  parameter int unsigned A_SIGNED = 0,   // 1: activations are two's complement, 0: unsigned
  parameter int unsigned KIND = 0,       // 0: gate, 1: bipolar, 2: ternary
  parameter int unsigned REGISTERS = 0,  // bit l: a register behind level l of the adder tree
  localparam int unsigned WBits = KIND == 2 ? 2 : 1,
  localparam int unsigned SumBits = A_BITS + $clog2(SIMD)
) (
  input  logic                        clk_i,
  input  logic [SIMD-1:0][A_BITS-1:0] a_i,
  input  logic [SIMD-1:0][WBits-1:0]  w_i,
  output logic [SumBits-1:0]          sum_o  // signed if activations are
);
  function automatic logic [2:0] count_four(input logic [3:0] x);
    count_four = {&x, (x[0] & x[1]) ^ (x[2] & x[3]) ^ ((x[0] ^ x[1]) & (x[2] ^ x[3])), ^x};
  endfunction

  logic [SIMD*A_BITS-1:0] lanes;

  for (genvar s = 0; s < SIMD; s++) begin : g_lane
    logic [A_BITS-1:0] a_q;
    if (KIND == 1) begin : g_bipolar
      logic w_q;
      always_ff @(posedge clk_i) begin
        a_q <= a_i[s];
        w_q <= w_i[s];
      end
      assign lanes[s*A_BITS+:A_BITS] = a_q ~^ {A_BITS{w_q}};
    end else begin : g_gate
      always_ff @(posedge clk_i) begin
        if (!w_i[s][0]) a_q <= '0;
        else a_q <= a_i[s];
      end
      if (KIND == 2) begin : g_ternary
        logic negative_q;
        always_ff @(posedge clk_i) negative_q <= w_i[s][1];
        assign lanes[s*A_BITS+:A_BITS] = a_q ^ {A_BITS{negative_q}};
      end else begin : g_plain
        assign lanes[s*A_BITS+:A_BITS] = a_q;
      end
    end
  end

  if (A_BITS == 1 && A_SIGNED == 0 && SIMD > 4) begin : g_count
    // Bits are counted by eights, with the latency of three levels of a tree: of each pair, whether one bit is set or
    // both are; then the pairs of each sort. As few pairs are of one sort if many are of the other, the sum takes two
    // look-up tables with four inputs, and all of it 16; a tree takes 19.
    localparam int unsigned Groups = (SIMD + 7) / 8;
    logic [8*Groups-1:0] bits;
    logic [4*Groups-1:0] counts;
    assign bits = (8 * Groups)'(lanes);

    for (genvar g = 0; g < Groups; g++) begin : g_group
      logic [3:0] one_d, one, both_d, both, count_d, count;
      logic [2:0] ones_d, ones, boths_d, boths;
      for (genvar i = 0; i < 4; i++) begin : g_pair
        assign one_d[i] = bits[8*g+2*i] ^ bits[8*g+2*i+1];
        assign both_d[i] = bits[8*g+2*i] & bits[8*g+2*i+1];
      end
      assign ones_d = count_four(one);
      assign boths_d = count_four(both);
      assign count_d[1:0] = {ones[1] ^ boths[0], ones[0]};
      assign count_d[2] = ones[2] | (boths[1] ^ (ones[1] & boths[0]));
      assign count_d[3] = boths[2];
      assign counts[4*g+:4] = count;

      if ((REGISTERS & 1) != 0) begin : g_register_0
        always_ff @(posedge clk_i) {one, both} <= {one_d, both_d};
      end else begin : g_wire_0
        assign {one, both} = {one_d, both_d};
      end
      if ((REGISTERS & 2) != 0) begin : g_register_1
        always_ff @(posedge clk_i) {ones, boths} <= {ones_d, boths_d};
      end else begin : g_wire_1
        assign {ones, boths} = {ones_d, boths_d};
      end
      if ((REGISTERS & 4) != 0) begin : g_register_2
        always_ff @(posedge clk_i) count <= count_d;
      end else begin : g_wire_2
        assign count = count_d;
      end
    end

    ig_tree #(
      .COUNT(Groups), .BITS(4), .SIGNED(0), .SHIFT(0), .NEGATE(0), .REGISTERS(REGISTERS >> 3)
    ) u_tree (
      .clk_i, .x_i(counts), .sum_o
    );
  end else begin : g_sum
    ig_tree #(
      .COUNT(SIMD), .BITS(A_BITS), .SIGNED(A_SIGNED), .SHIFT(0), .NEGATE(0), .REGISTERS(REGISTERS)
    ) u_tree (
      .clk_i, .x_i(lanes), .sum_o
    );
  end
endmodule
