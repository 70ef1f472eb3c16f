// Bench of ig_dot_ternary: sums of +-a and 0 against a loop, after exactly the stated latency.
module ig_dot_ternary_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_dot_ternary"), .ROUNDS(4)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  // SIMD 1, 2, 5, 8, 32; 1, 2, 4 or 8 bits; unsigned and signed.
  for (genvar i = 0; i < 5; i++) begin : g_simd
    for (genvar b = 0; b < 8; b++) begin : g_bits
      localparam int unsigned Simd = i < 2 ? i + 1 : i == 2 ? 5 : 8 << (2 * (i - 3));
      ig_dot_ternary_case #(.SIMD(Simd), .A_BITS(1 << (b / 2)), .A_SIGNED(b % 2)) u_case (.clk);
    end
  end
endmodule

module ig_dot_ternary_case #(
  parameter int unsigned SIMD = 1,
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 0
) (
  input logic clk
);
  localparam int unsigned WBits = 2;
  localparam int unsigned Latency = 1 + ($clog2(SIMD) + 1) / 2;
  localparam int unsigned SumBits = A_BITS + $clog2(SIMD) + 1;
  localparam longint Complement = A_SIGNED != 0 ? -1 : (1 << A_BITS) - 1;
  logic [SIMD-1:0][A_BITS-1:0] a = '0;
  logic [SIMD-1:0][WBits-1:0] w = '0;
  logic [SumBits-1:0] sum;
  longint expected[Latency+1];
  int unsigned cycle = 0;

  ig_dot_ternary #(
    .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED)
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

  function automatic logic [1:0] code(input logic [1:0] bits);
    code = bits == 2'b10 ? 2'b00 : bits;
  endfunction

  always @(posedge clk) begin
    longint total;
    total = 0;
    for (int s = 0; s < SIMD; s++) begin
      longint value;
      value = A_SIGNED != 0 ? longint'(signed'(a[s])) : longint'(a[s]);
      total += w[s] == 2'b01 ? value : w[s] == 2'b11 ? Complement - value : 0;
      a[s] <= A_BITS'(pattern(32'(cycle[4:3])));
      w[s] <= code(WBits'(pattern(32'(cycle[6:5]))));
    end
    for (int i = Latency; i > 0; i--) expected[i] = expected[i-1];
    expected[0] = total;
    cycle <= cycle + 1;
    if (cycle >= Latency && sum !== SumBits'(expected[Latency])) begin
      $fatal(1, "%m: %h, not %h", sum, expected[Latency]);
    end
  end
endmodule
