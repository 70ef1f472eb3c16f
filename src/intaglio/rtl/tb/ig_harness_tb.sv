// Bench of ig_harness around a FIFO of one beat: bits shifted in come out again, beat by beat, as serial words.
module ig_harness_tb;
  logic clk, rst_n, enable, idle;
  logic in_valid, in_ready, in_last, out_valid, out_ready, out_last;
  logic shift, serial_in, load, serial_out;
  logic [23:0] in_word;         // what the shift register in front holds
  logic [35:0] out_word;        // what the one behind holds, as far as it is known
  int unsigned shifted, known;  // bits shifted in at all; bits known of out_word, from the highest
  logic full, last;             // a beat is inside, and whether it is the last of a frame
  logic [23:0] beat;

  ig_tb_control #(.NAME("ig_harness"), .ROUNDS(60)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_harness u_dut (
    .clk_i(clk), .rst_ni(rst_n), .valid_i(in_valid), .ready_o(in_ready), .last_i(in_last),
    .valid_o(out_valid), .ready_i(out_ready), .last_o(out_last),
    .shift_i(shift), .serial_i(serial_in), .load_i(load), .serial_o(serial_out)
  );

  initial {in_valid, shift, load, out_ready, shifted, known, full} = '0;
  assign in_last = in_word[0];  // any bit that is random and stays while the beat is offered

  always @(posedge clk) begin
    if (known != 0 && serial_out !== out_word[35]) $fatal(1, "%m: wrong serial_o");
    if (rst_n) begin
      if (in_ready !== !full || out_valid !== full) $fatal(1, "%m: wrong handshake");
      if (full && out_last !== last) $fatal(1, "%m: wrong last_o");
      if (idle && full) $fatal(1, "%m: does not drain");
    end

    // the registers, in the cycle that ends
    if (shift) begin
      in_word <= {in_word[22:0], serial_in};
      shifted <= shifted + 1;
    end
    if (load && full) begin
      out_word <= {~beat[11:0], beat};
      known    <= 36;
    end else begin
      out_word <= out_word << 1;
      known    <= load ? 0 : known == 0 ? 0 : known - 1;
    end
    full <= rst_n && (full ? !out_ready : in_valid);
    if (!full) {last, beat} <= {in_last, in_word};

    // what happens in the next cycle: a beat that is offered stays, and so does what is shifted in
    in_valid  <= rst_n && ((in_valid && full) || (shifted >= 24 && enable && $urandom_range(15) == 0));
    serial_in <= 1'($urandom);
    load      <= $urandom_range(20) == 0;
    out_ready <= !enable || $urandom_range(7) == 0;
  end
  // A shift would change the beat that is offered.
  always @(negedge clk) shift <= !in_valid && 1'($urandom);
endmodule
