// Bench of ig_align: every pulse against the formula, after exactly the stated latency.
module ig_align_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_align"), .ROUNDS(40), .CYCLES(900), .DRAIN(60)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  // values
  ig_align_case #(.LANES(4), .BLOCK(4), .IN_BITS(8), .MANTISSA(4)) u_block (.*);
  ig_align_case #(.LANES(6), .BLOCK(2), .IN_BITS(9), .IN_SIGNED(0), .MANTISSA(3)) u_blocks (.*);
  ig_align_case #(.LANES(3), .BLOCK(1), .IN_BITS(16), .MANTISSA(5)) u_minifloat (.*);
  ig_align_case #(.LANES(2), .BLOCK(1), .IN_BITS(6), .IN_SIGNED(0), .MANTISSA(1)) u_power (.*);
  ig_align_case #(.LANES(1), .BLOCK(1), .IN_BITS(5), .MANTISSA(1)) u_sign (.*);
  ig_align_case #(.LANES(3), .BLOCK(3), .IN_BITS(5), .MANTISSA(4)) u_one (.*);
  ig_align_case #(.LANES(2), .BLOCK(2), .IN_BITS(4), .MANTISSA(4)) u_same (.*);
  ig_align_case #(.LANES(2), .BLOCK(1), .IN_BITS(3), .IN_SIGNED(0), .MANTISSA(6)) u_wide (.*);
  // exponent and mantissas
  ig_align_case #(.LANES(8), .BLOCK(8), .IN_BITS(8), .MANTISSA(4), .FULL(0), .SHIFT(3)) u_code (.*);
  ig_align_case #(.LANES(1), .BLOCK(1), .IN_BITS(7), .IN_SIGNED(0), .MANTISSA(2), .FULL(0), .SHIFT(5)) u_float (.*);
  ig_align_case #(.LANES(3), .BLOCK(3), .IN_BITS(3), .MANTISSA(4), .FULL(0), .SHIFT(1)) u_code_wide (.*);
endmodule

module ig_align_case #(
  parameter int unsigned LANES = 4,
  parameter int unsigned IN_BITS = 8,
  parameter int unsigned IN_SIGNED = 1,
  parameter int unsigned BLOCK = 4,
  parameter int unsigned MANTISSA = 4,
  parameter int unsigned FULL = 1,
  parameter int unsigned SHIFT = 3
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int Latency = FULL != 0 ? 5 : 4;
  localparam int unsigned Out = FULL != 0 ? LANES * IN_BITS : SHIFT + LANES * MANTISSA;

  logic in_valid, in_last, in_end, out_valid, out_end, out_last;
  logic [LANES*IN_BITS-1:0] noise, in_data;
  logic [Out-1:0] out_data;
  logic [Latency:1][Out+2:0] line;  // {valid, end, last, data} expected so many cycles later
  int unsigned drop[LANES];

  ig_tb_source #(.WIDTH(LANES * IN_BITS), .BEATS(4), .PULSES(1)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(1'b1), .data_o(noise), .last_o(in_last)
  );
  ig_align #(
    .LANES(LANES), .IN_BITS(IN_BITS), .IN_SIGNED(IN_SIGNED), .BLOCK(BLOCK), .MANTISSA(MANTISSA),
    .FULL(FULL), .SHIFT_BITS(SHIFT)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .data_i(in_data), .end_i(in_end), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .end_o(out_end), .last_o(out_last)
  );

  assign in_end = ^in_data;

  function automatic longint value(input int unsigned lane);
    logic [IN_BITS-1:0] bits;
    bits = in_data[lane*IN_BITS+:IN_BITS];
    return IN_SIGNED != 0 ? longint'(signed'(bits)) : longint'(bits);
  endfunction

  // Values of every size: the noise, some bits of it shifted out.
  always_comb begin
    logic [IN_BITS-1:0] bits;
    for (int unsigned i = 0; i < LANES; i++) begin
      bits = noise[i*IN_BITS+:IN_BITS];
      if (IN_SIGNED != 0) bits = signed'(bits) >>> drop[i];
      else bits = bits >> drop[i];
      in_data[i*IN_BITS+:IN_BITS] = bits;
    end
  end

  function automatic logic [Out-1:0] expected();
    longint x, e, size, q, bound;
    bound = 64'sd1 << (MANTISSA - 32'(IN_SIGNED != 0));
    for (int unsigned b = 0; b < LANES; b += BLOCK) begin
      e = 0;
      for (int unsigned i = b; i < b + BLOCK; i++) begin
        size = value(i) < 0 ? -value(i) - 1 : value(i);
        while (size >> e >= bound) e++;
      end
      if (FULL == 0) expected[Out-1-:SHIFT] = SHIFT'(e);
      for (int unsigned i = b; i < b + BLOCK; i++) begin
        x = value(i);
        q = (x + ((64'sd1 << e) >> 1)) >>> e;
        if (q > bound - 1) q = bound - 1;
        if (FULL == 0) expected[i*MANTISSA+:MANTISSA] = MANTISSA'(q);
        else expected[i*IN_BITS+:IN_BITS] = IN_BITS'(q << e);
      end
    end
  endfunction

  always @(posedge clk) begin
    foreach (drop[i]) drop[i] <= $urandom_range(IN_BITS - 1);
    if (rst_n) begin
      if (out_valid !== line[Latency][Out+2]) $fatal(1, "%m: valid_o is wrong");
      if (out_valid && {out_end, out_last, out_data} !== line[Latency][Out+1:0]) begin
        $fatal(1, "%m: %h, not %h", {out_end, out_last, out_data}, line[Latency][Out+1:0]);
      end
      if (idle && out_valid) $fatal(1, "%m: does not drain");
      line <= {line[Latency-1:1], in_valid, in_end, in_last, expected()};
    end else begin
      line <= '0;
    end
  end
endmodule
