// Sliding window that skips zeros: like ig_window, but of every (group, fold) only the listed beats are issued.
//
// For each output pixel the STEPS_FILE is gone through once: STEPS words {ky, kx, word}, of clog2(KERNEL_H),
// clog2(KERNEL_W) and clog2(CHANNELS / GROUPS / LANES) bits, each at least one; ky highest. They are cut into
// GROUPS * FOLDS operations, group by group, whose numbers of beats are the words of LENGTHS_FILE (each >= 1).
// List a beat if its block of weights is not all zero, and one beat if a whole operation is zero. Every beat is issued
// REPEAT times in a row.
//
// Order, padding, credits, and what an operation waits for are those of ig_window, where D is now the length of the
// operation. Latency = 4, or 5 with padding: 2 for the table, then as ig_window. Writing into the ring is
// delayed by those 2 cycles as well, so that a row's space may be given back in the same cycle as there.
// ready_o depends on registers only.
module ig_window_sparse #(
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
  parameter int unsigned BLOCK = 0,       // 1: ring in block RAM, 0: distributed
  parameter int unsigned STEPS = 4,       // listed beats of a window, over all groups and folds
  parameter STEPS_FILE = "",    // verilog_lint: waive explicit-parameter-storage-type
  parameter LENGTHS_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned LENGTH_BITS = 4  // bits of a word of LENGTHS_FILE
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
  localparam int unsigned TableLatency = 2;
  localparam int unsigned AddrBits = $clog2(ROWS * RowWords);
  localparam int unsigned SlotBits = $clog2(ROWS);
  localparam int unsigned TopBits = $clog2(HEIGHT + 2 * PAD_H + STRIDE_H) + 1;
  localparam int unsigned KyBits = KERNEL_H > 1 ? $clog2(KERNEL_H) : 1;
  localparam int unsigned KxBits = KERNEL_W > 1 ? $clog2(KERNEL_W) : 1;
  localparam int unsigned WordBits = Words > 1 ? $clog2(Words) : 1;
  localparam int unsigned StepBits = STEPS > 1 ? $clog2(STEPS) : 1;
  localparam int unsigned Operations = GROUPS * FOLDS;
  localparam int unsigned OperationBits = Operations > 1 ? $clog2(Operations) : 1;

  // Nested counters, innermost first: fold, group, ox. carry[i] steps counter i, the last one the row.
  localparam int unsigned Loops = 3;
  localparam logic [Loops*32-1:0] Trips = {OutWidth, GROUPS, FOLDS};
  logic [Loops:0] carry;
  logic issue, step, busy_q, ok, row_last;

  assign take_o = !busy_q && ok && grant_i;
  assign issue = busy_q || take_o;
  if (REPEAT == 1) begin : g_once
    assign step = issue;
  end else begin : g_repeat
    logic [$clog2(REPEAT)-1:0] pulse_q;
    assign step = issue && pulse_q == $bits(pulse_q)'(REPEAT - 1);
    always_ff @(posedge clk_i) begin
      if (!rst_ni || step) pulse_q <= '0;
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
    else busy_q <= issue && !carry[0];
  end

  // Length of the operation: the word for the next cycle is read in this one, so that no gap arises.
  (* ram_style = "logic" *) logic [LENGTH_BITS-1:0] lengths[Operations];
  logic [LENGTH_BITS-1:0] length_q, beat_q;
  logic [OperationBits-1:0] operation_q, operation_d;
  initial $readmemh(LENGTHS_FILE, lengths);

  assign carry[0] = step && beat_q == length_q;
  always_comb begin
    operation_d = operation_q;
    if (!rst_ni) operation_d = '0;
    else if (carry[0]) begin
      operation_d = operation_q == OperationBits'(Operations - 1) ? '0 : operation_q + 1'b1;
    end
  end
  always_ff @(posedge clk_i) begin
    operation_q <= operation_d;
    length_q <= lengths[operation_d];
    if (!rst_ni || carry[0]) beat_q <= LENGTH_BITS'(1);
    else if (step) beat_q <= beat_q + 1'b1;
  end

  // Table of beats, read in step with the issue.
  logic [StepBits-1:0] step_q;
  logic [KyBits-1:0] ky;
  logic [KxBits-1:0] kx;
  logic [WordBits-1:0] word;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) step_q <= '0;
    else if (step) step_q <= step_q == StepBits'(STEPS - 1) ? '0 : step_q + 1'b1;
  end
  ig_rom #(
    .WIDTH(KyBits + KxBits + WordBits), .DEPTH(STEPS), .FILE(STEPS_FILE),
    .BLOCK(32'(STEPS >= 32 && STEPS * (KyBits + KxBits + WordBits) >= 1024))
  ) u_steps (
    .clk_i, .addr_i(step_q), .data_o({ky, kx, word})
  );

  // Ring: writing, and which rows there are.
  logic we;
  logic [AddrBits-1:0] waddr;
  logic [SlotBits-1:0] window_slot, down;
  logic [TopBits-1:0] window_top;

  ig_rows #(
    .WORDS(RowWords), .HEIGHT(HEIGHT), .EXTENT(Extent), .STRIDE(STRIDE_H), .PAD(PAD_H), .ROWS(ROWS)
  ) u_rows (
    .clk_i, .rst_ni, .valid_i, .ready_o, .last_i, .we_o(we), .waddr_o(waddr),
    .step_i(carry[3]), .ok_o(ok), .slot_o(window_slot), .top_o(window_top), .last_o(row_last)
  );

  // First column of the window, in words from the start of the image row, modulo 2^ColumnBits.
  localparam int unsigned ColumnWords = (WIDTH + 2 * PAD_W) * Pixel;
  localparam int unsigned ColumnBits = ColumnWords > 1 ? $clog2(ColumnWords) : 1;
  logic [ColumnBits-1:0] window_column, right, column;
  if (OutWidth * GROUPS == 1) begin : g_fixed
    assign window_column = ColumnBits'(0 - PAD_W * Pixel);
  end else begin : g_column
    localparam int StepOut = int'(STRIDE_W * Pixel) - int'((GROUPS - 1) * Words);
    logic [ColumnBits-1:0] column_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni || carry[3]) column_q <= ColumnBits'(0 - PAD_W * Pixel);
      else if (carry[2]) column_q <= column_q + ColumnBits'(StepOut);
      else if (carry[1]) column_q <= column_q + ColumnBits'(Words);
    end
    assign window_column = column_q;
  end

  // While the table is read, the window's place, the write port and the flags wait.
  localparam int unsigned PlaceBits = SlotBits + TopBits + ColumnBits;
  localparam int unsigned WriteBits = AddrBits + LANES * BITS;
  logic [SlotBits-1:0] slot1;
  logic [TopBits-1:0] top1;
  logic [ColumnBits-1:0] column1;
  logic [AddrBits-1:0] waddr1;
  logic [LANES*BITS-1:0] wdata1;
  logic [TableLatency-1:0] we_q, valid_q, end_q, last_q;
  logic [TableLatency-1:0][PlaceBits-1:0] place_q;
  logic [TableLatency-1:0][WriteBits-1:0] write_q;
  always_ff @(posedge clk_i) begin
    place_q <= {place_q[TableLatency-2:0], {window_slot, window_top, window_column}};
    write_q <= {write_q[TableLatency-2:0], {waddr, data_i}};
    end_q   <= {end_q[TableLatency-2:0], carry[0]};
    last_q  <= {last_q[TableLatency-2:0], carry[3] && row_last};
    we_q    <= rst_ni ? {we_q[TableLatency-2:0], we} : '0;
    valid_q <= rst_ni ? {valid_q[TableLatency-2:0], issue} : '0;
  end
  assign {slot1, top1, column1} = place_q[TableLatency-1];
  assign {waddr1, wdata1} = write_q[TableLatency-1];

  // Row and column of the beat: the products with constants are tables.
  always_comb begin
    down = '0;
    for (int unsigned k = 1; k < KERNEL_H; k++) begin
      if (ky == KyBits'(k)) down = SlotBits'(k * DILATION_H);
    end
    right = '0;
    for (int unsigned k = 1; k < KERNEL_W; k++) begin
      if (kx == KxBits'(k)) right = ColumnBits'(k * DILATION_W * Pixel);
    end
    column = column1 + right + ColumnBits'(word);
  end

  ig_ring #(
    .LANES(LANES), .BITS(BITS), .SIGNED(SIGNED), .HEIGHT(HEIGHT), .ROW_WORDS(RowWords),
    .EXTENT(Extent), .PAD_H(PAD_H), .PAD_W(PAD_W), .PAD_VALUE(PAD_VALUE), .ROWS(ROWS),
    .TOP_BITS(TopBits), .COLUMN_BITS(ColumnBits), .BLOCK(BLOCK)
  ) u_ring (
    .clk_i, .rst_ni, .we_i(we_q[TableLatency-1]), .waddr_i(waddr1), .wdata_i(wdata1),
    .slot_i(slot1), .top_i(top1), .down_i(down), .column_i(column),
    .valid_i(valid_q[TableLatency-1]), .end_i(end_q[TableLatency-1]),
    .last_i(last_q[TableLatency-1]), .valid_o, .data_o, .end_o, .last_o
  );

`ifndef SYNTHESIS
  int file;
  initial begin
    file = $fopen(LENGTHS_FILE, "r");
    if (file == 0) $fatal(1, "ig_window_sparse: cannot open memory file '%s'", LENGTHS_FILE);
    $fclose(file);
    if (CHANNELS % (LANES * GROUPS) != 0) $fatal(1, "ig_window_sparse: CHANNELS, LANES, GROUPS");
  end
`endif
endmodule
