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
  parameter int unsigned BLOCK = 0
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned Latency = 2 + 1 + ($clog2(SIMD) + 1) / 2 + 1;

  typedef struct packed {
    logic valid;
    logic last;
    logic [PE-1:0][ACC_BITS-1:0] data;
  } pulse_t;

  logic in_valid, in_last, in_end, cut = 1'b0, out_valid, out_last;
  logic [SIMD-1:0][A_BITS-1:0] in_data;
  logic [PE-1:0][ACC_BITS-1:0] out_data, acc = '0;
  logic [PE-1:0][SIMD-1:0][W_BITS-1:0] words[STEPS];
  int unsigned step = 0;
  pulse_t pipe[Latency+1];

  ig_tb_source #(.WIDTH(SIMD * A_BITS), .BEATS(3 * STEPS), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(in_data), .last_o(in_last)
  );
  assign in_end = in_last || cut;
  ig_matmul #(
    .SIMD(SIMD), .PE(PE), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .W_BITS(W_BITS),
    .ACC_BITS(ACC_BITS), .STEPS(STEPS), .FILE(FILE), .DSP(DSP), .BLOCK(BLOCK)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n),
    .valid_i(in_valid), .data_i(in_data), .end_i(in_end), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .last_o(out_last)
  );

  function automatic longint product(input logic [A_BITS-1:0] a, input logic [W_BITS-1:0] w);
    return (A_SIGNED != 0 ? longint'(signed'(a)) : longint'(a)) * longint'(signed'(w));
  endfunction

  initial $readmemh(FILE, words);
  always @(posedge clk) begin
    cut <= $urandom_range(3) == 0;
    if (!rst_n) begin
      step = 0;
      acc  = '0;
      foreach (pipe[i]) pipe[i] = '0;
    end else begin
      for (int i = Latency; i > 0; i--) pipe[i] = pipe[i-1];
      pipe[0] = '0;
      if (in_valid) begin
        for (int p = 0; p < PE; p++) begin
          for (int s = 0; s < SIMD; s++) begin
            acc[p] = acc[p] + ACC_BITS'(product(in_data[s], words[step][p][s]));
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
