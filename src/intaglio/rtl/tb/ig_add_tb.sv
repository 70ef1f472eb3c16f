// Bench of ig_add: two random streams, random grants; sums, credits and cycles in every cycle.
module ig_add_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_add"), .ROUNDS(40)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_add_case #(.LANES(1), .A_BITS(8), .B_BITS(8), .OUT_BITS(9)) u_plain (.*);
  ig_add_case #(
    .LANES(3), .A_BITS(5), .A_SIGNED(0), .B_BITS(7), .A_MULTIPLIER(4), .B_MULTIPLIER(3),
    .OUT_BITS(10)
  ) u_mixed (.*);
  ig_add_case #(
    .LANES(2), .A_BITS(4), .A_SIGNED(0), .B_BITS(1), .B_SIGNED(0), .B_MULTIPLIER(-93),
    .OUT_BITS(16)
  ) u_minus (.*);
endmodule

module ig_add_case #(
  parameter int unsigned LANES = 1,
  parameter int unsigned A_BITS = 8,
  parameter int unsigned A_SIGNED = 1,
  parameter int unsigned B_BITS = 8,
  parameter int unsigned B_SIGNED = 1,
  parameter int A_MULTIPLIER = 1,
  parameter int B_MULTIPLIER = 1,
  parameter int unsigned OUT_BITS = 9
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned Out = LANES * OUT_BITS;

  logic a_valid, a_ready, a_last, b_valid, b_ready, b_last;
  logic grant, take, out_valid, out_last, fires, fired;
  logic [LANES*A_BITS-1:0] a_data;
  logic [LANES*B_BITS-1:0] b_data;
  logic [Out-1:0] out_data;
  logic [Out:0] sum;  // {last, data} expected in this cycle
  int unsigned beat;  // in the frame

  ig_tb_source #(.WIDTH(LANES * A_BITS), .BEATS(6)) u_a (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(a_valid), .ready_i(a_ready), .data_o(a_data), .last_o(a_last)
  );
  ig_tb_source #(.WIDTH(LANES * B_BITS), .BEATS(6)) u_b (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(b_valid), .ready_i(b_ready), .data_o(b_data), .last_o(b_last)
  );
  ig_add #(
    .LANES(LANES), .A_BITS(A_BITS), .A_SIGNED(A_SIGNED), .B_BITS(B_BITS), .B_SIGNED(B_SIGNED),
    .A_MULTIPLIER(A_MULTIPLIER), .B_MULTIPLIER(B_MULTIPLIER), .OUT_BITS(OUT_BITS)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .grant_i(grant), .take_o(take),
    .a_valid_i(a_valid), .a_ready_o(a_ready), .a_data_i(a_data), .a_last_i(a_last),
    .b_valid_i(b_valid), .b_ready_o(b_ready), .b_data_i(b_data), .b_last_i(b_last),
    .valid_o(out_valid), .data_o(out_data), .last_o(out_last)
  );

  function automatic logic [Out-1:0] expected();
    longint a, b, y;
    for (int unsigned i = 0; i < LANES; i++) begin
      a = 64'(a_data[i*A_BITS+:A_BITS]);
      b = 64'(b_data[i*B_BITS+:B_BITS]);
      if (A_SIGNED != 0 && a_data[(i+1)*A_BITS-1]) a -= 64'sd1 << A_BITS;
      if (B_SIGNED != 0 && b_data[(i+1)*B_BITS-1]) b -= 64'sd1 << B_BITS;
      y = A_MULTIPLIER * a + B_MULTIPLIER * b;
      expected[i*OUT_BITS+:OUT_BITS] = y[OUT_BITS-1:0];
    end
  endfunction

  assign fires = a_valid && b_valid && grant;
  always @(posedge clk) begin
    grant <= 1'($urandom) || !enable;
    fired <= rst_n && fires;
    sum   <= {a_last, expected()};
    if (rst_n) begin
      if (take !== fires) $fatal(1, "%m: take_o is wrong");
      if ((a_valid && a_ready) !== fires) $fatal(1, "%m: a_ready_o is wrong");
      if ((b_valid && b_ready) !== fires) $fatal(1, "%m: b_ready_o is wrong");
      if (out_valid !== fired) $fatal(1, "%m: valid_o is wrong");
      if (fired && {out_last, out_data} !== sum) $fatal(1, "%m: wrong data");
      if (idle && (out_valid || beat != 0)) $fatal(1, "%m: does not drain");
      if (fires) beat <= (beat + 1) % 6;
    end else begin
      beat <= 0;
    end
  end
endmodule
