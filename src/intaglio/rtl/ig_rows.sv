// Ring of image rows: counts rows in and out for a sliding window, and says when an output row may be computed.
//
// Rows of WORDS beats are written one behind the other into ROWS slots of a memory. Of the frame's HEIGHT rows,
// output row oy = 0 .. OUT_HEIGHT - 1 reads those of oy * STRIDE - PAD + [0, EXTENT) that exist. With
//   base(oy) = clamp(oy * STRIDE - PAD, 0, HEIGHT), base(0) = 0,    next(oy) = base(oy + 1), at the last row HEIGHT,
//   need(oy) = max(min(oy * STRIDE - PAD + EXTENT, HEIGHT), next(oy))
// rows before base(oy) are free, and oy may start once need(oy) rows have arrived.
//
// Timing: a row counts as held from the cycle after its last beat; `step_i` in the last cycle of an output row frees
// its next - base rows and moves on to the next output row for the following cycle. ready_o = fewer than ROWS rows
// held, ok_o = base + held >= need: both depend on registers only. Write port: latency 0.
module ig_rows #(
  parameter int unsigned WORDS = 4,   // beats of a row
  parameter int unsigned HEIGHT = 4,  // rows of a frame
  parameter int unsigned EXTENT = 3,  // rows from the first to the last of a window
  parameter int unsigned STRIDE = 1,
  parameter int unsigned PAD = 1,     // rows missing above and below, < EXTENT
  parameter int unsigned ROWS = 4,    // slots, >= every need(oy) - base(oy)
  localparam int unsigned OutHeight = (HEIGHT + 2 * PAD - EXTENT) / STRIDE + 1,
  localparam int unsigned AddrBits = $clog2(ROWS * WORDS),
  localparam int unsigned SlotBits = $clog2(ROWS),
  localparam int unsigned TopBits = $clog2(HEIGHT + 2 * PAD + STRIDE) + 1
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  // stream in: handshake only
  input  logic                valid_i,
  output logic                ready_o,
  input  logic                last_i,
  // memory write port
  output logic                we_o,
  output logic [AddrBits-1:0] waddr_o,
  // window side
  input  logic                step_i,  // last cycle of an output row
  output logic                ok_o,    // the output row's image rows are here
  output logic [SlotBits-1:0] slot_o,  // slot of row oy * STRIDE - PAD, of which there may be none
  output logic [TopBits-1:0]  top_o,   // oy * STRIDE - PAD, two's complement
  output logic                last_o   // this is the frame's last output row
);
  localparam int unsigned CountBits = $clog2(ROWS + 1);
  localparam int unsigned ColumnBits = WORDS > 1 ? $clog2(WORDS) : 1;

  localparam int Height = int'(HEIGHT);
  localparam int Extent = int'(EXTENT);
  localparam int Stride = int'(STRIDE);
  localparam int Pad = int'(PAD);
  localparam int LastTop = (int'(OutHeight) - 1) * Stride - Pad;

  // Row counts of the output row whose window begins at row `top`.
  function automatic int base(input int top);
    base = top;
    if (top < 0) base = 0;
    if (top > Height) base = Height;
  endfunction
  function automatic int next(input int top);
    next = base(top + Stride);
    if (top == LastTop) next = Height;
  endfunction
  function automatic int needed(input int top);
    needed = top + Extent;
    if (needed > Height) needed = Height;
    if (needed < next(top)) needed = next(top);
    needed = needed - base(top);
  endfunction

  // Input side: slot and column of the next beat.
  logic [SlotBits-1:0] slot_q;
  logic row_done;

  assign we_o = valid_i && ready_o;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) slot_q <= '0;
    else if (row_done) slot_q <= slot_q == SlotBits'(ROWS - 1) ? '0 : slot_q + 1'b1;
  end

  if (WORDS == 1) begin : g_one_word
    assign row_done = we_o;
    assign waddr_o = AddrBits'(slot_q);
  end else begin : g_words
    logic [ColumnBits-1:0] column_q;
    logic [AddrBits-1:0] start;
    assign row_done = we_o && column_q == ColumnBits'(WORDS - 1);
    always_ff @(posedge clk_i) begin
      if (!rst_ni || row_done) column_q <= '0;
      else if (we_o) column_q <= column_q + 1'b1;
    end
    always_comb begin
      start = '0;
      for (int unsigned r = 1; r < ROWS; r++) begin
        if (slot_q == SlotBits'(r)) start = AddrBits'(r * WORDS);
      end
    end
    assign waddr_o = start + AddrBits'(column_q);
  end

  // Rows held, and what the current output row needs and frees.
  logic [CountBits-1:0] held_q, held_d, need, free;

  always_comb begin
    held_d = held_q;
    if (row_done) held_d = held_d + 1'b1;
    if (step_i) held_d = held_d - free;
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) held_q <= '0;
    else held_q <= held_d;
  end
  assign ready_o = held_q != CountBits'(ROWS);
  assign ok_o = held_q >= need;

  if (OutHeight == 1) begin : g_single
    // Every frame has one output row: it needs and frees them all.
    assign need = CountBits'(HEIGHT);
    assign free = CountBits'(HEIGHT);
    assign top_o = TopBits'(0 - PAD);
    assign last_o = 1'b1;
    if (HEIGHT % ROWS == 0) begin : g_fixed
      assign slot_o = SlotBits'((ROWS - PAD % ROWS) % ROWS);
    end else begin : g_turn
      logic [SlotBits-1:0] window_q;
      always_ff @(posedge clk_i) begin
        if (!rst_ni) window_q <= SlotBits'((ROWS - PAD % ROWS) % ROWS);
        else if (step_i) window_q <= window_q >= SlotBits'(ROWS - HEIGHT % ROWS) ?
            window_q - SlotBits'(ROWS - HEIGHT % ROWS) : window_q + SlotBits'(HEIGHT % ROWS);
      end
      assign slot_o = window_q;
    end
  end else begin : g_many
    // Slots to advance from one window to the next, and from a frame's last to the next frame's first.
    localparam int unsigned Advance = STRIDE % ROWS;
    localparam int unsigned Rest = (HEIGHT + (ROWS - 1) * (OutHeight - 1) * STRIDE) % ROWS;
    logic signed [TopBits-1:0] top_q, top_d;
    logic [SlotBits-1:0] window_q;
    logic [SlotBits:0] moved;
    logic [CountBits-1:0] need_q, free_q;

    assign last_o = top_q == TopBits'(LastTop);
    assign top_d = last_o ? TopBits'(-Pad) : top_q + TopBits'(Stride);
    assign moved = {1'b0, window_q} + {1'b0, last_o ? SlotBits'(Rest) : SlotBits'(Advance)};
    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        top_q <= TopBits'(-Pad);
        window_q <= SlotBits'((ROWS - PAD % ROWS) % ROWS);
        need_q <= CountBits'(needed(-Pad));
        free_q <= CountBits'(next(-Pad));
      end else if (step_i) begin
        top_q <= top_d;
        window_q <= SlotBits'(moved >= (SlotBits + 1)'(ROWS) ? moved - (SlotBits + 1)'(ROWS)
                                                             : moved);
        need_q <= CountBits'(needed(int'(top_d)));
        free_q <= CountBits'(next(int'(top_d)) - base(int'(top_d)));
      end
    end
    assign need = need_q;
    assign free = free_q;
    assign slot_o = window_q;
    assign top_o = top_q;
  end

`ifndef SYNTHESIS
  initial begin
    if (PAD >= EXTENT) $fatal(1, "ig_rows: a window without an image row: PAD >= EXTENT");
    for (int top = -Pad; top <= LastTop; top = top + Stride) begin
      if (needed(top) > int'(ROWS)) $fatal(1, "ig_rows: ROWS < %0d", needed(top));
    end
  end

  // The frame marker must agree with the count of beats.
  int unsigned beat_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      beat_q <= 0;
    end else if (we_o) begin
      assert (last_i == (beat_q == HEIGHT * WORDS - 1))
      else $fatal(1, "ig_rows: last_i at beat %0d", beat_q);
      beat_q <= last_i ? 0 : beat_q + 1;
    end
  end
`endif
endmodule
