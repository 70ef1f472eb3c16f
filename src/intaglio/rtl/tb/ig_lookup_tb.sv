// Bench of ig_lookup: every pulse against its table, 2 cycles later, for tables in logic and in
// block memory.
module ig_lookup_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_lookup"), .ROUNDS(40), .CYCLES(600), .DRAIN(60)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_lookup_case #(
    .LANES(1), .IN_BITS(8), .LOW(-128), .OUT_BITS(7), .DEPTH(256),
    .FILE("random_7x256.mem"), .BLOCK(1)
  ) u_full (.*);
  ig_lookup_case #(
    .LANES(3), .IN_BITS(6), .LOW(-13), .OUT_BITS(4), .DEPTH(29), .FILE("random_4x29.mem"), .BLOCK(0)
  ) u_part (.*);
  ig_lookup_case #(
    .LANES(2), .IN_BITS(6), .IN_SIGNED(0), .LOW(40), .OUT_BITS(33), .DEPTH(21),
    .FILE("random_33x21.mem"), .BLOCK(0)
  ) u_unsigned (.*);
  ig_lookup_case #(
    .LANES(1), .IN_BITS(2), .LOW(-1), .OUT_BITS(1), .DEPTH(1), .FILE("random_1x1.mem"), .BLOCK(0)
  ) u_one (.*);
  ig_lookup_case #(
    .LANES(1), .IN_BITS(3), .IN_SIGNED(0), .LOW(-2), .OUT_BITS(8), .DEPTH(20),
    .FILE("random_8x20.mem"), .BLOCK(0)
  ) u_large (.*);
endmodule

module ig_lookup_case #(
  parameter int unsigned LANES = 1,
  parameter int unsigned IN_BITS = 8,
  parameter int unsigned IN_SIGNED = 1,
  parameter int LOW = -128,
  parameter int unsigned OUT_BITS = 8,
  parameter int unsigned DEPTH = 256,
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned BLOCK = 0
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned Out = LANES * OUT_BITS;

  logic in_valid, in_last, out_valid, out_last;
  logic [LANES*IN_BITS-1:0] noise, in_data;
  logic [Out-1:0] out_data;
  logic [2:1][Out+1:0] line;  // {valid, last, data} expected so many cycles later
  logic [OUT_BITS-1:0] words[DEPTH];

  ig_tb_source #(.WIDTH(LANES * IN_BITS), .BEATS(4), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(noise), .last_o(in_last)
  );
  ig_lookup #(
    .LANES(LANES), .IN_BITS(IN_BITS), .IN_SIGNED(IN_SIGNED), .LOW(LOW), .OUT_BITS(OUT_BITS),
    .DEPTH(DEPTH), .FILE(FILE), .BLOCK(BLOCK)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .last_o(out_last)
  );

  initial $readmemh(FILE, words);

  function automatic int value(input logic [IN_BITS-1:0] bits);
    value = 32'(bits);
    if (IN_SIGNED != 0 && bits[IN_BITS-1]) value -= 1 << IN_BITS;
  endfunction

  // Noise outside of the table becomes its last word.
  always_comb begin
    int x;
    in_data = noise;
    for (int unsigned i = 0; i < LANES; i++) begin
      x = value(noise[i*IN_BITS+:IN_BITS]);
      if (x < LOW || x >= LOW + int'(DEPTH)) begin
        in_data[i*IN_BITS+:IN_BITS] = IN_BITS'(LOW + int'(DEPTH) - 1);
      end
    end
  end

  function automatic logic [Out-1:0] expected();
    for (int unsigned i = 0; i < LANES; i++) begin
      expected[i*OUT_BITS+:OUT_BITS] = words[value(in_data[i*IN_BITS+:IN_BITS])-LOW];
    end
  endfunction

  always @(posedge clk) begin
    if (rst_n) begin
      if (out_valid !== line[2][Out+1]) $fatal(1, "%m: valid_o is wrong");
      if (out_valid && {out_last, out_data} !== line[2][Out:0]) $fatal(1, "%m: wrong data");
      if (idle && out_valid) $fatal(1, "%m: does not drain");
      line <= {line[1], in_valid, in_last, expected()};
    end else begin
      line <= '0;
    end
  end
endmodule
