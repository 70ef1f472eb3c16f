// Bench of ig_width: both directions against a model that states when a beat moves and what it
// carries.
module ig_width_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_width"), .ROUNDS(60)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_width_case #(.BITS(8), .IN_LANES(1), .OUT_LANES(2)) u_up_2 (.*);
  ig_width_case #(.BITS(3), .IN_LANES(2), .OUT_LANES(6)) u_up_3 (.*);
  ig_width_case #(.BITS(1), .IN_LANES(1), .OUT_LANES(5)) u_up_5 (.*);
  ig_width_case #(.BITS(8), .IN_LANES(2), .OUT_LANES(1)) u_down_2 (.*);
  ig_width_case #(.BITS(3), .IN_LANES(6), .OUT_LANES(2)) u_down_3 (.*);
  ig_width_case #(.BITS(1), .IN_LANES(5), .OUT_LANES(1)) u_down_5 (.*);
endmodule

module ig_width_case #(
  parameter int unsigned BITS = 8,
  parameter int unsigned IN_LANES = 1,
  parameter int unsigned OUT_LANES = 2
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int unsigned Up = OUT_LANES / IN_LANES;  // 0 when going down
  localparam int unsigned Down = IN_LANES / OUT_LANES;
  localparam int unsigned Out = OUT_LANES * BITS;

  logic in_valid, in_ready, in_last, out_valid, out_ready, out_last;
  logic [IN_LANES*BITS-1:0] in_data;
  logic [Out-1:0] out_data;
  logic [BITS-1:0] lanes[$];  // everything accepted and not yet delivered
  logic lasts[$];             // one per word: of the wider side
  int unsigned taken, given;  // beats of the word that is being taken in / given out
  int unsigned words;         // complete words held
  logic ready, valid;

  ig_tb_source #(.WIDTH(IN_LANES * BITS), .BEATS(Up > 0 ? 2 * Up : 3)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(in_ready), .data_o(in_data), .last_o(in_last)
  );
  ig_width #(.BITS(BITS), .IN_LANES(IN_LANES), .OUT_LANES(OUT_LANES)) u_dut (
    .clk_i(clk), .rst_ni(rst_n),
    .valid_i(in_valid), .ready_o(in_ready), .data_i(in_data), .last_i(in_last),
    .valid_o(out_valid), .ready_i(out_ready), .data_o(out_data), .last_o(out_last)
  );
  ig_tb_sink #(.WIDTH(Out)) u_sink (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_i(out_valid), .ready_o(out_ready), .data_i(out_data), .last_i(out_last)
  );

  assign ready = Up > 0 ? taken != Up - 1 || words == 0 : words != 2;
  assign valid = words != 0;

  task automatic check_word();
    logic last;
    for (int unsigned i = 0; i < OUT_LANES; i++) begin
      if (out_data[i*BITS+:BITS] !== lanes[i]) $fatal(1, "%m: wrong data");
    end
    last = lasts[0] && (Up > 0 || given == Down - 1);
    if (out_last !== last) $fatal(1, "%m: wrong last");
  endtask

  always @(posedge clk) begin
    if (rst_n) begin
      automatic int unsigned count = words;
      if (in_ready !== ready) $fatal(1, "%m: ready_o is wrong");
      if (out_valid !== valid) $fatal(1, "%m: valid_o is wrong");
      if (valid) check_word();
      if (idle && (words != 0 || taken != 0)) $fatal(1, "%m: does not drain");
      if (valid && out_ready) begin
        repeat (OUT_LANES) void'(lanes.pop_front());
        if (Up > 0 || given == Down - 1) begin
          void'(lasts.pop_front());
          count--;
          given <= 0;
        end else begin
          given <= given + 1;
        end
      end
      if (in_valid && ready) begin
        for (int unsigned i = 0; i < IN_LANES; i++) lanes.push_back(in_data[i*BITS+:BITS]);
        if (Up == 0 || taken == Up - 1) begin
          lasts.push_back(in_last);
          count++;
          taken <= 0;
        end else begin
          taken <= taken + 1;
        end
      end
      words <= count;
    end else begin
      lanes.delete();
      lasts.delete();
      taken <= 0;
      given <= 0;
      words <= 0;
    end
  end
endmodule
