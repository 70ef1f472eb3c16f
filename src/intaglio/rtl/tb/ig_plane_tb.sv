// Bench of ig_plane: all kinds against a loop, after exactly the stated latency.
module ig_plane_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_plane"), .ROUNDS(4)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  for (genvar k = 0; k < 3; k++) begin : g_kind
    ig_plane_case #(.SIMD(1), .A_BITS(1), .A_SIGNED(0), .KIND(k), .REGISTERS(0)) u_1 (.clk);
    ig_plane_case #(.SIMD(1), .A_BITS(3), .A_SIGNED(1), .KIND(k), .REGISTERS(1)) u_1s (.clk);
    ig_plane_case #(.SIMD(2), .A_BITS(2), .A_SIGNED(0), .KIND(k), .REGISTERS(1)) u_2 (.clk);
    ig_plane_case #(.SIMD(3), .A_BITS(1), .A_SIGNED(0), .KIND(k), .REGISTERS(3)) u_3 (.clk);
    ig_plane_case #(.SIMD(5), .A_BITS(4), .A_SIGNED(1), .KIND(k), .REGISTERS(9)) u_5 (.clk);
    ig_plane_case #(.SIMD(5), .A_BITS(1), .A_SIGNED(0), .KIND(k), .REGISTERS(7)) u_5b (.clk);
    ig_plane_case #(.SIMD(6), .A_BITS(8), .A_SIGNED(0), .KIND(k), .REGISTERS(4)) u_6 (.clk);
    ig_plane_case #(.SIMD(7), .A_BITS(1), .A_SIGNED(1), .KIND(k), .REGISTERS(2)) u_7 (.clk);
    ig_plane_case #(.SIMD(8), .A_BITS(8), .A_SIGNED(0), .KIND(k), .REGISTERS(5)) u_8 (.clk);
    ig_plane_case #(.SIMD(8), .A_BITS(1), .A_SIGNED(0), .KIND(k), .REGISTERS(0)) u_8b (.clk);
    ig_plane_case #(.SIMD(9), .A_BITS(2), .A_SIGNED(1), .KIND(k), .REGISTERS(15)) u_9 (.clk);
    ig_plane_case #(.SIMD(13), .A_BITS(1), .A_SIGNED(0), .KIND(k), .REGISTERS(5)) u_13 (.clk);
    ig_plane_case #(.SIMD(15), .A_BITS(3), .A_SIGNED(0), .KIND(k), .REGISTERS(0)) u_15 (.clk);
    ig_plane_case #(.SIMD(32), .A_BITS(1), .A_SIGNED(0), .KIND(k), .REGISTERS(26)) u_32 (.clk);
    ig_plane_case #(.SIMD(33), .A_BITS(4), .A_SIGNED(0), .KIND(k), .REGISTERS(21)) u_33 (.clk);
  end
endmodule

module ig_plane_case #(
  parameter int unsigned SIMD = 1,
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 0,
  parameter int unsigned KIND = 0,
  parameter int unsigned REGISTERS = 0
) (
  input logic clk
);
  localparam int unsigned WBits = KIND == 2 ? 2 : 1;
  localparam int unsigned Latency = 1 + $countones(REGISTERS & ((1 << $clog2(SIMD)) - 1));
  localparam int unsigned SumBits = A_BITS + $clog2(SIMD);
  localparam longint Complement = A_SIGNED != 0 ? -1 : (1 << A_BITS) - 1;
  logic [SIMD-1:0][A_BITS-1:0] a = '0;
  logic [SIMD-1:0][WBits-1:0] w = '0;
  logic [SumBits-1:0] sum;
  longint expected[Latency+1];
  int unsigned cycle = 0;

  ig_plane #(
    .SIMD(SIMD), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .KIND(KIND), .REGISTERS(REGISTERS)
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

  function automatic logic [WBits-1:0] code(input logic [1:0] bits);
    code = WBits'(KIND == 2 && bits == 2'b10 ? 2'b00 : bits);
  endfunction

  always @(posedge clk) begin
    longint total;
    total = 0;
    for (int s = 0; s < SIMD; s++) begin
      longint value;
      value = A_SIGNED != 0 ? longint'(signed'(a[s])) : longint'(a[s]);
      if (KIND == 1 ? !w[s][0] : w[s][WBits-1] && KIND == 2) total += Complement - value;
      else if (w[s][0]) total += value;
      a[s] <= A_BITS'(pattern(32'(cycle[4:3])));
      w[s] <= code(2'(pattern(32'(cycle[6:5]))));
    end
    for (int i = Latency; i > 0; i--) expected[i] = expected[i-1];
    expected[0] = total;
    cycle <= cycle + 1;
    if (cycle >= Latency && sum !== SumBits'(expected[Latency])) begin
      $fatal(1, "%m: %h, not %h", sum, expected[Latency]);
    end
  end
endmodule
