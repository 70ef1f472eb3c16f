// Changes the lanes of a stream by a whole factor R, lowest lanes first. Lanes are BITS wide.
//
// Up (OUT_LANES = R * IN_LANES): R beats become one. The first R-1 beats of a word are always
//   taken, the R-th only if the output register is empty (ready_o comes from registers); the word
//   is offered from the next cycle on. `last` is that of the R-th beat. One input beat per cycle.
// Down (IN_LANES = R * OUT_LANES): a FIFO of 2 words, of which the oldest is offered slice by
//   slice, from the cycle after its arrival on. `last` goes with the final slice. One output beat
//   per cycle.
//
// A frame must be whole words: a partial word at its end is dropped (simulation asserts), which
// keeps the next frame aligned. Equal lane counts are not supported.
module ig_width #(
  parameter int unsigned BITS      = 8,  // bits per lane
  parameter int unsigned IN_LANES  = 1,  // lanes per beat in; one count divides the other
  parameter int unsigned OUT_LANES = 2   // lanes per beat out
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,
  // stream in
  input  logic                      valid_i,
  output logic                      ready_o,
  input  logic [IN_LANES*BITS-1:0]  data_i,
  input  logic                      last_i,
  // stream out
  output logic                      valid_o,
  input  logic                      ready_i,
  output logic [OUT_LANES*BITS-1:0] data_o,
  output logic                      last_o
);
  if (OUT_LANES > IN_LANES) begin : g_up
    localparam int unsigned Ratio = OUT_LANES / IN_LANES;
    localparam int unsigned Beat = IN_LANES * BITS;
    localparam int unsigned Count = $clog2(Ratio);

    logic [Count-1:0] beat_q;
    logic [(Ratio-1)*Beat-1:0] part_q;  // the beats so far, oldest lowest once there are Ratio-1
    logic [Ratio*Beat-1:0] word, word_q;
    logic full_q, last_q, final_beat, take;

    assign final_beat = beat_q == Count'(Ratio - 1);
    assign ready_o = !final_beat || !full_q;
    assign take = valid_i && ready_o;
    assign word = {data_i, part_q};
    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        beat_q <= '0;
        full_q <= 1'b0;
      end else begin
        if (take) beat_q <= (final_beat || last_i) ? '0 : beat_q + 1'b1;
        full_q <= (take && final_beat) || (full_q && !ready_i);
      end
    end
    always_ff @(posedge clk_i) begin
      if (take) part_q <= word[Ratio*Beat-1:Beat];
      if (take && final_beat) {last_q, word_q} <= {last_i, word};
    end
    assign valid_o = full_q;
    assign data_o  = word_q;
    assign last_o  = last_q;

`ifndef SYNTHESIS
    always @(posedge clk_i) begin
      if (rst_ni && take) begin
        assert (!last_i || final_beat)
        else $fatal(1, "%m: the frame ends inside a word");
      end
    end
`endif

  end else begin : g_down
    localparam int unsigned Ratio = IN_LANES / OUT_LANES;
    localparam int unsigned Slice = OUT_LANES * BITS;
    localparam int unsigned Count = $clog2(Ratio);

    logic [Count-1:0] slice_q;
    logic [Ratio*Slice-1:0] word;  // flat: Yosys cannot index a 2-D array of a block
    logic final_slice, word_last;

    assign final_slice = slice_q == Count'(Ratio - 1);
    always_ff @(posedge clk_i) begin
      if (!rst_ni) slice_q <= '0;
      else if (valid_o && ready_i) slice_q <= final_slice ? '0 : slice_q + 1'b1;
    end
    ig_fifo #(
      .WIDTH(IN_LANES * BITS), .DEPTH(2)
    ) u_fifo (
      .clk_i, .rst_ni,
      .valid_i, .ready_o, .data_i, .last_i,
      .valid_o, .ready_i(ready_i && final_slice), .data_o(word), .last_o(word_last)
    );
    assign data_o = word[slice_q*Slice+:Slice];
    assign last_o = word_last && final_slice;
  end
endmodule
