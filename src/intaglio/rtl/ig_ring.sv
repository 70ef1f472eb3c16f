// Memory of image rows for a sliding window: the word at a place of the window, or the padding outside of the image.
//
// ROWS slots of ROW_WORDS words are written in any order. The place is given as the window's slot and row in the image
// (two's complement, above it negative), the rows below that, < EXTENT, and the column: the distance in words from the
// start of the image row, modulo 2^COLUMN_BITS, outside of it if not below ROW_WORDS.
//
// Latency: 2 cycles, or 3 with padding, for the word and for the flags that go with it. A word written in cycle t may
// be read from cycle t+1. Only valid_o is reset.
module ig_ring #(
  parameter int unsigned LANES = 1,        // values of a word
  parameter int unsigned BITS = 8,         // bits of a value
  parameter int unsigned SIGNED = 0,       // 1: values are two's complement (PAD_VALUE is checked)
  parameter int unsigned HEIGHT = 4,       // rows of the image
  parameter int unsigned ROW_WORDS = 8,
  parameter int unsigned EXTENT = 3,       // rows from the first to the last of a window
  parameter int unsigned PAD_H = 1,        // 0: no row is outside of the image
  parameter int unsigned PAD_W = 1,        // 0: no column is outside of the image
  parameter int PAD_VALUE = 0,
  parameter int unsigned ROWS = 4,         // slots
  parameter int unsigned TOP_BITS = 4,     // bits of the window's row
  parameter int unsigned COLUMN_BITS = 4,
  parameter int unsigned BLOCK = 0,        // 1: block RAM, 0: distributed
  localparam int unsigned Width = LANES * BITS,
  localparam int unsigned AddrBits = $clog2(ROWS * ROW_WORDS),
  localparam int unsigned SlotBits = $clog2(ROWS)
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  // memory write port
  input  logic                   we_i,
  input  logic [AddrBits-1:0]    waddr_i,
  input  logic [Width-1:0]       wdata_i,
  // place to read
  input  logic [SlotBits-1:0]    slot_i,
  input  logic [TOP_BITS-1:0]    top_i,
  input  logic [SlotBits-1:0]    down_i,
  input  logic [COLUMN_BITS-1:0] column_i,
  input  logic                   valid_i,
  input  logic                   end_i,
  input  logic                   last_i,
  // pulses out
  output logic                   valid_o,
  output logic [Width-1:0]       data_o,
  output logic                   end_o,
  output logic                   last_o
);
  localparam bit Padded = PAD_H != 0 || PAD_W != 0;
  localparam int unsigned Latency = Padded ? 3 : 2;

  // Slot of the row.
  logic [SlotBits-1:0] slot;
  if (EXTENT == 1) begin : g_one_row
    assign slot = slot_i;
  end else begin : g_rows
    logic [SlotBits:0] sum;
    assign sum = {1'b0, slot_i} + {1'b0, down_i};
    assign slot = SlotBits'(sum >= (SlotBits + 1)'(ROWS) ? sum - (SlotBits + 1)'(ROWS) : sum);
  end

  // Slot times ROW_WORDS, as a table.
  logic [AddrBits-1:0] start, raddr;
  always_comb begin
    start = '0;
    for (int unsigned r = 1; r < ROWS; r++) begin
      if (slot == SlotBits'(r)) start = AddrBits'(r * ROW_WORDS);
    end
  end
  assign raddr = start + AddrBits'(column_i);

  logic [Width-1:0] word;
  ig_ram #(
    .WIDTH(Width), .DEPTH(ROWS * ROW_WORDS), .BLOCK(BLOCK)
  ) u_words (
    .clk_i, .we_i, .waddr_i, .wdata_i, .raddr_i(raddr), .rdata_o(word)
  );

  if (Padded) begin : g_pad
    logic outside_y, outside_x;
    logic [1:0] outside_q;
    logic [Width-1:0] data_q;
    if (PAD_H != 0) begin : g_y
      logic [TOP_BITS-1:0] y;  // a negative row is a large number
      assign y = top_i + TOP_BITS'(down_i);
      assign outside_y = y >= TOP_BITS'(HEIGHT);
    end else begin : g_no_y
      assign outside_y = 1'b0;
    end
    if (PAD_W != 0) begin : g_x
      assign outside_x = column_i >= COLUMN_BITS'(ROW_WORDS);
    end else begin : g_no_x
      assign outside_x = 1'b0;
    end
    always_ff @(posedge clk_i) begin
      outside_q <= {outside_q[0], outside_y || outside_x};
      data_q <= outside_q[1] ? {LANES{BITS'(PAD_VALUE)}} : word;
    end
    assign data_o = data_q;
  end else begin : g_no_pad
    assign data_o = word;
  end

  logic [Latency-1:0] valid_q, end_q, last_q;
  always_ff @(posedge clk_i) begin
    end_q  <= {end_q[Latency-2:0], end_i};
    last_q <= {last_q[Latency-2:0], last_i};
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[Latency-2:0], valid_i};
  end
  assign valid_o = valid_q[Latency-1];
  assign end_o = end_q[Latency-1];
  assign last_o = last_q[Latency-1];

`ifndef SYNTHESIS
  initial begin
    if ((PAD_VALUE < 0 && SIGNED == 0) || (BITS < 31 && (PAD_VALUE < -(1 << (BITS - 1)) ||
        PAD_VALUE >= (1 << (SIGNED != 0 ? BITS - 1 : BITS))))) begin
      $fatal(1, "%m: PAD_VALUE");
    end
  end
`endif
endmodule
