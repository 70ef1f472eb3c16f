// Bench of ig_scale: every input, for constants of both signs, against the language's arithmetic.
module ig_scale_tb;
  logic [8:0] data;

  ig_scale_case #(.IN_BITS(8), .IN_SIGNED(1), .MULTIPLIER(1), .OUT_BITS(9)) u_1 (.*);
  ig_scale_case #(.IN_BITS(8), .IN_SIGNED(0), .MULTIPLIER(1), .OUT_BITS(8)) u_2 (.*);
  ig_scale_case #(.IN_BITS(9), .IN_SIGNED(1), .MULTIPLIER(93), .OUT_BITS(20)) u_3 (.*);
  ig_scale_case #(.IN_BITS(9), .IN_SIGNED(0), .MULTIPLIER(-1), .OUT_BITS(10)) u_4 (.*);
  ig_scale_case #(.IN_BITS(7), .IN_SIGNED(1), .MULTIPLIER(-100), .OUT_BITS(14)) u_5 (.*);
  ig_scale_case #(.IN_BITS(5), .IN_SIGNED(1), .MULTIPLIER(64), .OUT_BITS(6)) u_6 (.*);
  ig_scale_case #(.IN_BITS(1), .IN_SIGNED(0), .MULTIPLIER(0), .OUT_BITS(3)) u_7 (.*);
  ig_scale_case #(.IN_BITS(4), .IN_SIGNED(0), .MULTIPLIER(-8), .OUT_BITS(40)) u_8 (.*);

  initial begin
    for (int unsigned i = 0; i < 512; i++) begin
      data = 9'(i);
      #2;
    end
    $display("PASS ig_scale");
    $finish;
  end
endmodule

module ig_scale_case #(
  parameter int unsigned IN_BITS = 8,
  parameter int unsigned IN_SIGNED = 1,
  parameter int MULTIPLIER = 1,
  parameter int unsigned OUT_BITS = 9
) (
  input logic [8:0] data
);
  logic [OUT_BITS-1:0] scaled;
  longint x, y;

  ig_scale #(
    .IN_BITS(IN_BITS), .IN_SIGNED(IN_SIGNED), .MULTIPLIER(MULTIPLIER), .OUT_BITS(OUT_BITS)
  ) u_dut (
    .data_i(data[IN_BITS-1:0]), .data_o(scaled)
  );
  always @(data) begin
    #1;
    x = 64'(data[IN_BITS-1:0]);
    if (IN_SIGNED != 0 && data[IN_BITS-1]) x -= 64'sd1 << IN_BITS;
    y = x * MULTIPLIER;
    if (scaled !== y[OUT_BITS-1:0]) $fatal(1, "%m: not %0d times %0d", MULTIPLIER, x);
  end
endmodule
