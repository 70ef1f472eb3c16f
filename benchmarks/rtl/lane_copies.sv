// A dot product by shifts for ECP5, with as much of the shifter as possible in resets of registers: an integer stands
// in COPIES registers, of which the exponent lets one through; they are joined, each one place further left, by one
// look-up table per bit. The last stage is that of ig_dot_shift.
//
// LOG_A = 0: unsigned activations, weights {negative, high, low}, +- 2^(COPIES * high + low); with three copies low = 3
// is zero. Each negative code takes one off the sum.
// LOG_A = 1: activations {high, low, nonzero}, 2^(COPIES * high + low); weights of W_BITS, two's complement.
//
// Latency: 3 + ceil(clog2(SIMD) / 2) cycles.
module lane_copies #(
  parameter int unsigned SIMD = 8,
  parameter int unsigned A_BITS = 8,
  parameter int unsigned W_BITS = 4,
  parameter int unsigned LOG_A = 0,
  parameter int unsigned COPIES = 4,
  localparam int unsigned Bits = LOG_A != 0 ? W_BITS : A_BITS,
  localparam int unsigned NearBits = Bits + COPIES - 1,
  localparam int unsigned LaneBits = NearBits + COPIES + 32'(LOG_A == 0),
  localparam int unsigned SumBits = LaneBits + $clog2(SIMD)
) (
  input  logic                         clk_i,
  input  logic [SIMD-1:0][A_BITS-1:0]  a_i,
  input  logic [SIMD-1:0][W_BITS-1:0]  w_i,
  output logic [SumBits-1:0]           sum_o
);
  localparam int unsigned Depth = $clog2(SIMD);
  localparam int unsigned Far = LaneBits - 1;
  logic [SIMD-1:0][LaneBits-1:0] lanes_x, lanes_y;

  for (genvar s = 0; s < SIMD; s++) begin : g_lane
    logic [2:0] exponent;
    logic [Bits-1:0] value_q;
    logic [3:0] open;
    logic high_q, high2_q, negative_q, negative2_q;
    logic [4*NearBits-1:0] shifted;
    logic [NearBits-1:0] near;
    logic [LaneBits-1:0] product;

    if (LOG_A != 0) begin : g_activation
      assign exponent = a_i[s][3:1];
      assign negative_q = 1'b0;
      lane_gate #(.BITS(Bits), .GATE(0)) u_value (
        .clk_i, .gate_i(a_i[s][0]), .d_i(w_i[s]), .q_o(value_q)
      );
    end else begin : g_weight
      assign exponent = w_i[s][2:0];
      always_ff @(posedge clk_i) begin
        negative_q <= w_i[s][3];
        value_q <= a_i[s];
      end
    end
    lane_decode u_decode (.clk_i, .code_i(exponent[1:0]), .open_o(open));
    always_ff @(posedge clk_i) begin
      high_q <= exponent[2];
      high2_q <= high_q;
      negative2_q <= negative_q;
    end

    for (genvar k = 0; k < 4; k++) begin : g_copy
      logic [Bits-1:0] copy;
      if (k < COPIES) begin : g_register
        lane_gate #(.BITS(Bits), .GATE(k % 2 == 0)) u_copy (
          .clk_i, .gate_i(open[k]), .d_i(value_q), .q_o(copy)
        );
      end else begin : g_none
        assign copy = '0;
      end
      if (LOG_A != 0) begin : g_signed
        assign shifted[k*NearBits+:NearBits] = NearBits'(signed'(copy)) << k;
      end else begin : g_unsigned
        assign shifted[k*NearBits+:NearBits] = NearBits'(copy) << k;
      end
    end
    assign near = (shifted[0+:NearBits] | shifted[NearBits+:NearBits] | shifted[2*NearBits+:NearBits] |
        shifted[3*NearBits+:NearBits]) ^ {NearBits{negative2_q}};

    if (LOG_A != 0) begin : g_product
      assign product = LaneBits'(signed'(near));
    end else begin : g_product_sign
      assign product = {{(COPIES + 1) {negative2_q}}, near};
    end
    lane_gate #(.BITS(Far)) u_near (
      .clk_i, .gate_i(high2_q), .d_i(product[Far-1:0]), .q_o(lanes_x[s][Far-1:0])
    );
    lane_gate #(.BITS(Far), .GATE(0)) u_far (
      .clk_i, .gate_i(high2_q), .d_i(Far'({product, {COPIES{negative2_q}}})), .q_o(lanes_y[s][Far-1:0])
    );
    always_ff @(posedge clk_i) lanes_x[s][LaneBits-1] <= product[LaneBits-1];
    assign lanes_y[s][LaneBits-1] = 1'b1;
  end

  ig_chains #(
    .SIMD(SIMD), .BITS(LaneBits), .GATE(0), .OFFSET(-(SumBits'(SIMD) << (LaneBits - 1))),
    .REGISTERS(Depth == 0 ? 0 : 32'hAAAA_AAAA | (1 << (Depth - 1)))
  ) u_sum (
    .clk_i, .x_i(lanes_x), .y_i(lanes_y), .sum_o
  );
endmodule
