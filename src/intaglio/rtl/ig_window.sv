// Sliding window over a ring of image rows: a stream of pixels in, the beats of every window out as pulses.
//
// Order in: frames of HEIGHT x WIDTH pixels, row by row, CHANNELS / LANES beats per pixel, low channels first.
// Order out: for each output row oy, output column ox, group g, and fold (FOLDS repeats of the same window):
//   for ky, kx, and word w of the group's Words = CHANNELS / GROUPS / LANES:
//     the LANES values at row oy * STRIDE_H - PAD_H + ky * DILATION_H, column ox * STRIDE_W - PAD_W + kx * DILATION_W,
//     channel (g * Words + w) * LANES, or PAD_VALUE outside of the image.
// One such (oy, ox, g, fold) is an operation, of D = KERNEL_H * KERNEL_W * Words beats, each of them REPEAT times in a
// row; `end_o` marks its last pulse, `last_o` the frame's. A dense layer is HEIGHT = WIDTH = KERNEL = 1 with ROWS = 2: next vector while this computes.
//
// Timing: an operation starts in a cycle where the rows it needs are held (ig_rows says exactly when) and grant_i is
// high, raises take_o in that cycle, and issues one pulse per cycle without a stall. Operations and rows follow each
// other without a gap. A pulse issued in cycle c is out in cycle c + Latency; Latency = 2, or 3 with padding.
// ready_o depends on registers only; rows of the next frame are taken while this one computes.
module ig_window #(
  parameter int unsigned LANES = 1,       // channels per beat
  parameter int unsigned BITS = 8,        // bits of a value
  parameter int unsigned SIGNED = 0,      // 1: values are two's complement (PAD_VALUE is checked)
  parameter int unsigned HEIGHT = 4,
  parameter int unsigned WIDTH = 4,
  parameter int unsigned CHANNELS = 2,
  parameter int unsigned KERNEL_H = 3,
  parameter int unsigned KERNEL_W = 3,
  parameter int unsigned STRIDE_H = 1,
  parameter int unsigned STRIDE_W = 1,
  parameter int unsigned DILATION_H = 1,
  parameter int unsigned DILATION_W = 1,
  parameter int unsigned PAD_H = 1,
  parameter int unsigned PAD_W = 1,
  parameter int unsigned GROUPS = 1,      // channel groups, each with its own windows
  parameter int unsigned FOLDS = 1,       // repeats of each window
  parameter int unsigned REPEAT = 1,      // pulses of each beat
  parameter int PAD_VALUE = 0,
  parameter int unsigned ROWS = 4,        // rows in the ring: max(extent, STRIDE_H) + STRIDE_H
  parameter int unsigned BLOCK = 0        // 1: ring in block RAM, 0: distributed
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  // stream in
  input  logic                       valid_i,
  output logic                       ready_o,
  input  logic [LANES-1:0][BITS-1:0] data_i,
  input  logic                       last_i,
  // credits
  input  logic                       grant_i,
  output logic                       take_o,
  // pulses out
  output logic                       valid_o,
  output logic [LANES-1:0][BITS-1:0] data_o,
  output logic                       end_o,   // last beat of an operation
  output logic                       last_o   // last beat of a frame
);
  localparam int unsigned Pixel = CHANNELS / LANES;
  localparam int unsigned Words = Pixel / GROUPS;
  localparam int unsigned RowWords = WIDTH * Pixel;
  localparam int unsigned Extent = (KERNEL_H - 1) * DILATION_H + 1;
  localparam int unsigned ExtentW = (KERNEL_W - 1) * DILATION_W + 1;
  localparam int unsigned OutWidth = (WIDTH + 2 * PAD_W - ExtentW) / STRIDE_W + 1;
  localparam int unsigned AddrBits = $clog2(ROWS * RowWords);
  localparam int unsigned SlotBits = $clog2(ROWS);
  localparam int unsigned TopBits = $clog2(HEIGHT + 2 * PAD_H + STRIDE_H) + 1;

  // Nested counters, innermost first: word, kx, ky, fold, group, ox. carry[i] steps counter i, the last one the row.
  localparam int unsigned Loops = 6;
  localparam logic [Loops*32-1:0] Trips = {OutWidth, GROUPS, FOLDS, KERNEL_H, KERNEL_W, Words};
  logic [Loops:0] carry;
  logic issue, busy_q, ok, row_last;

  assign take_o = !busy_q && ok && grant_i;
  assign issue = busy_q || take_o;
  if (REPEAT == 1) begin : g_once
    assign carry[0] = issue;
  end else begin : g_repeat
    logic [$clog2(REPEAT)-1:0] pulse_q;
    assign carry[0] = issue && pulse_q == $bits(pulse_q)'(REPEAT - 1);
    always_ff @(posedge clk_i) begin
      if (!rst_ni || carry[0]) pulse_q <= '0;
      else if (issue) pulse_q <= pulse_q + 1'b1;
    end
  end
  for (genvar i = 0; i < Loops; i++) begin : g_loop
    localparam int unsigned Trip = Trips[i*32+:32];
    if (Trip == 1) begin : g_once
      assign carry[i+1] = carry[i];
    end else begin : g_counter
      logic [$clog2(Trip)-1:0] count_q;
      assign carry[i+1] = carry[i] && count_q == $bits(count_q)'(Trip - 1);
      always_ff @(posedge clk_i) begin
        if (!rst_ni || carry[i+1]) count_q <= '0;
        else if (carry[i]) count_q <= count_q + 1'b1;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) busy_q <= 1'b0;
    else busy_q <= issue && !carry[3];
  end

  // Ring: writing, and which rows there are.
  logic we;
  logic [AddrBits-1:0] waddr;
  logic [SlotBits-1:0] window_slot;
  logic [TopBits-1:0] window_top;

  ig_rows #(
    .WORDS(RowWords), .HEIGHT(HEIGHT), .EXTENT(Extent), .STRIDE(STRIDE_H), .PAD(PAD_H), .ROWS(ROWS)
  ) u_rows (
    .clk_i, .rst_ni, .valid_i, .ready_o, .last_i, .we_o(we), .waddr_o(waddr),
    .step_i(carry[6]), .ok_o(ok), .slot_o(window_slot), .top_o(window_top), .last_o(row_last)
  );

  // Rows from the top of the window to the beat's: ky * DILATION_H.
  logic [SlotBits-1:0] down;
  if (KERNEL_H == 1) begin : g_one_row
    assign down = '0;
  end else begin : g_rows
    logic [SlotBits-1:0] down_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni || carry[3]) down_q <= '0;
      else if (carry[2]) down_q <= down_q + SlotBits'(DILATION_H);
    end
    assign down = down_q;
  end

  // Column of the beat: its distance in words from the start of the image row, modulo 2^ColumnBits.
  localparam int unsigned ColumnWords = (WIDTH + 2 * PAD_W) * Pixel;
  localparam int unsigned ColumnBits = ColumnWords > 1 ? $clog2(ColumnWords) : 1;
  logic [ColumnBits-1:0] column;
  if (Words == 1 && OutWidth * GROUPS * KERNEL_W == 1) begin : g_no_column
    assign column = ColumnBits'(0 - PAD_W * Pixel);
  end else if (WIDTH * KERNEL_W * GROUPS == 1 && PAD_W == 0) begin : g_word_column
    assign column = g_loop[0].g_counter.count_q;
  end else begin : g_column
    localparam int StepX = int'(DILATION_W * Pixel) - int'(Words - 1);
    localparam int Restart = -int'(ExtentW - 1) * int'(Pixel) - int'(Words - 1);
    localparam int StepGroup = Restart + int'(Words);
    localparam int StepOut = Restart + int'(STRIDE_W * Pixel) - int'((GROUPS - 1) * Words);
    logic [ColumnBits-1:0] column_q, delta;
    always_comb begin
      if (carry[5]) delta = ColumnBits'(StepOut);
      else if (carry[4]) delta = ColumnBits'(StepGroup);
      else if (carry[2]) delta = ColumnBits'(Restart);
      else if (carry[1]) delta = ColumnBits'(StepX);
      else delta = ColumnBits'(1);
    end
    always_ff @(posedge clk_i) begin
      if (!rst_ni || carry[6]) column_q <= ColumnBits'(0 - PAD_W * Pixel);
      else if (carry[0]) column_q <= column_q + delta;
    end
    assign column = column_q;
  end

  ig_ring #(
    .LANES(LANES), .BITS(BITS), .SIGNED(SIGNED), .HEIGHT(HEIGHT), .ROW_WORDS(RowWords),
    .EXTENT(Extent), .PAD_H(PAD_H), .PAD_W(PAD_W), .PAD_VALUE(PAD_VALUE), .ROWS(ROWS),
    .TOP_BITS(TopBits), .COLUMN_BITS(ColumnBits), .BLOCK(BLOCK)
  ) u_ring (
    .clk_i, .rst_ni, .we_i(we), .waddr_i(waddr), .wdata_i(data_i),
    .slot_i(window_slot), .top_i(window_top), .down_i(down), .column_i(column),
    .valid_i(issue), .end_i(carry[3]), .last_i(carry[6] && row_last),
    .valid_o, .data_o, .end_o, .last_o
  );

`ifndef SYNTHESIS
  initial begin
    if (CHANNELS % (LANES * GROUPS) != 0) $fatal(1, "ig_window: CHANNELS over LANES * GROUPS");
  end
`endif
endmodule
