// Bench of ig_dot_bases: multiples of sums of bit planes against a loop, after exactly the stated latency.
module ig_dot_bases_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_dot_bases"), .ROUNDS(4)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  // SIMD 1, 2, 5, 8, 32; 1, 2, 4 or 8 bits; unsigned and signed; three planes.
  for (genvar i = 0; i < 5; i++) begin : g_simd
    for (genvar b = 0; b < 8; b++) begin : g_bits
      localparam int unsigned Simd = i < 2 ? i + 1 : i == 2 ? 5 : 8 << (2 * (i - 3));
      ig_dot_bases_case #(
        .SIMD(Simd), .A_BITS(1 << (b / 2)), .A_SIGNED(b % 2), .W_BITS(3), .UNIPOLAR(i % 2),
        .COEFFICIENTS({32'd1, 32'd0 - 32'd6, 32'd11})
      ) u_case (.clk);
    end
  end
  ig_dot_bases_case #(
    .SIMD(4), .A_BITS(3), .W_BITS(1), .UNIPOLAR(0), .COEFFICIENTS(32'd1)
  ) u_one (.clk);
  ig_dot_bases_case #(
    .SIMD(3), .A_BITS(4), .W_BITS(1), .UNIPOLAR(1), .COEFFICIENTS(32'd0 - 32'd1)
  ) u_minus (.clk);
  ig_dot_bases_case #(
    .SIMD(8), .A_BITS(8), .W_BITS(2), .UNIPOLAR(1), .COEFFICIENTS({32'd0 - 32'd128, 32'd127})
  ) u_ternary (.clk);
  ig_dot_bases_case #(
    .SIMD(9), .A_BITS(2), .A_SIGNED(1), .W_BITS(5), .UNIPOLAR(0),
    .COEFFICIENTS({32'd4096, 32'd0, 32'd0 - 32'd1000, 32'd77, 32'd3})
  ) u_five (.clk);
endmodule

module ig_dot_bases_case #(
  parameter int unsigned SIMD = 1,
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 0,
  parameter int unsigned W_BITS = 2,
  parameter int unsigned UNIPOLAR = 0,
  parameter logic [32*W_BITS-1:0] COEFFICIENTS = {W_BITS{32'd1}}
) (
  input logic clk
);
  localparam int unsigned WBits = W_BITS;
  localparam int unsigned Latency = 2 + ($clog2(SIMD) + 1) / 2;
  localparam int unsigned SumBits = A_BITS + $clog2(SIMD) + 32 + $clog2(W_BITS);
  localparam longint Zero = UNIPOLAR != 0 ? 0 : A_SIGNED != 0 ? -1 : (1 << A_BITS) - 1;
  logic [SIMD-1:0][A_BITS-1:0] a = '0;
  logic [SIMD-1:0][WBits-1:0] w = '0;
  logic [SumBits-1:0] sum;
  longint expected[Latency+1];
  int unsigned cycle = 0;

  ig_dot_bases #(
    .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED),
    .W_BITS(W_BITS), .UNIPOLAR(UNIPOLAR), .COEFFICIENTS(COEFFICIENTS)
  ) u_dut (
    .clk_i(clk), .a_i(a), .w_i(w), .sum_o(sum)
  );

  // Activations and weights are random in some cycles, all zeros, ones or odd bits in others.
  function automatic int unsigned pattern(input int unsigned phase);
    case (phase)
      0: pattern = 0;
      1: pattern = 32'hFFFF_FFFF;
      2: pattern = 32'h5555_5555;
      default: pattern = $urandom;
    endcase
  endfunction

  always @(posedge clk) begin
    longint total;
    total = 0;
    for (int s = 0; s < SIMD; s++) begin
      longint value;
      value = A_SIGNED != 0 ? longint'(signed'(a[s])) : longint'(a[s]);
      for (int k = 0; k < W_BITS; k++) begin
        longint low;  // what a bit 0 chooses
        low = UNIPOLAR != 0 ? 0 : Zero - value;
        total += longint'(signed'(COEFFICIENTS[32*k+:32])) * (w[s][k] ? value : low);
      end
      a[s] <= A_BITS'(pattern(32'(cycle[4:3])));
      w[s] <= WBits'(pattern(32'(cycle[6:5])));
    end
    for (int i = Latency; i > 0; i--) expected[i] = expected[i-1];
    expected[0] = total;
    cycle <= cycle + 1;
    if (cycle >= Latency && sum !== SumBits'(expected[Latency])) begin
      $fatal(1, "%m: %h, not %h", sum, expected[Latency]);
    end
  end
endmodule
