// Bench of ig_ring: random places in and around the image, while other words are written, after exactly the stated
// latency. Words that were never written are read only where padding hides them.
module ig_ring_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_ring"), .ROUNDS(30), .CYCLES(800), .DRAIN(20)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_ring_case #(.H(4), .WORDS(8), .EXTENT(3), .PH(1), .PW(1), .ROWS(4), .PAD(7)) u_same (.*);
  ig_ring_case #(.H(5), .WORDS(6), .EXTENT(5), .PH(2), .ROWS(6), .LANES(3), .PAD(-3), .SIGNED(1)) u_rows (.*);
  ig_ring_case #(.H(1), .WORDS(5), .EXTENT(1), .PW(2), .ROWS(2), .LANES(2), .PAD(1)) u_columns (.*);
  ig_ring_case #(.H(7), .WORDS(3), .EXTENT(4), .ROWS(5), .BLOCK(1)) u_plain (.*);
  ig_ring_case #(.H(1), .WORDS(1), .EXTENT(1), .ROWS(2), .BITS(40)) u_smallest (.*);
endmodule

module ig_ring_case #(
  parameter int unsigned LANES = 1,
  parameter int unsigned BITS = 5,
  parameter int unsigned SIGNED = 0,
  parameter int unsigned H = 4,
  parameter int unsigned WORDS = 8,
  parameter int unsigned EXTENT = 3,
  parameter int unsigned PH = 0,
  parameter int unsigned PW = 0,  // words beside a row
  parameter int unsigned ROWS = 4,
  parameter int PAD = 0,
  parameter int unsigned BLOCK = 0
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int Latency = PH != 0 || PW != 0 ? 3 : 2;
  localparam int Beside = int'(WORDS + 2 * PW);
  localparam int unsigned SlotBits = $clog2(ROWS);
  localparam int unsigned TopBits = $clog2(H + 2 * PH + 1) + 1;
  localparam int unsigned ColumnBits = Beside > 1 ? $clog2(Beside) : 1;

  typedef logic [LANES-1:0][BITS-1:0] word_t;
  typedef struct packed {
    logic  valid;
    logic  stop;
    logic  last;
    word_t data;
  } pulse_t;

  logic we = 1'b0, in_valid = 1'b0, in_end, in_last, out_valid, out_end, out_last;
  logic [$clog2(ROWS*WORDS)-1:0] waddr = '0;
  word_t wdata, out_data, words[ROWS*WORDS];
  logic [SlotBits-1:0] slot, down;
  logic [TopBits-1:0] top;
  logic [ColumnBits-1:0] column;
  bit written[ROWS*WORDS];
  pulse_t pipe[Latency+2];

  ig_ring #(
    .LANES(LANES), .BITS(BITS), .SIGNED(SIGNED), .HEIGHT(H), .ROW_WORDS(WORDS), .EXTENT(EXTENT),
    .PAD_H(PH), .PAD_W(PW), .PAD_VALUE(PAD), .ROWS(ROWS), .TOP_BITS(TopBits),
    .COLUMN_BITS(ColumnBits), .BLOCK(BLOCK)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n), .we_i(we), .waddr_i(waddr), .wdata_i(wdata),
    .slot_i(slot), .top_i(top), .down_i(down), .column_i(column),
    .valid_i(in_valid), .end_i(in_end), .last_i(in_last),
    .valid_o(out_valid), .data_o(out_data), .end_o(out_end), .last_o(out_last)
  );

  function automatic word_t noise();
    for (int i = 0; i < LANES; i++) noise[i] = BITS'({$urandom, $urandom});
  endfunction

  always @(posedge clk) begin
    int address, place, x, y, below, first;
    bit outside, valid, write;
    if (we) words[waddr] = wdata;
    if (we) written[waddr] = 1'b1;
    for (int i = Latency + 1; i > 0; i--) pipe[i] = pipe[i-1];
    if (rst_n) begin
      if (out_valid !== pipe[Latency+1].valid) $fatal(1, "%m: valid_o is wrong");
      if (out_valid && {1'b1, out_end, out_last, out_data} !== pipe[Latency+1]) begin
        $fatal(1, "%m: pulse %h, not %h", {out_end, out_last, out_data}, pipe[Latency+1]);
      end
      if (idle && out_valid) $fatal(1, "%m: does not drain");
    end

    // The next write, and a place to read in the same cycle.
    address = int'($urandom_range(ROWS * WORDS - 1));
    write = 1'($urandom);
    we <= write;
    waddr <= $bits(waddr)'(address);
    wdata <= noise();
    first = int'($urandom_range(ROWS - 1));
    y = int'($urandom_range(H + PH - 1)) - int'(PH);
    below = int'($urandom_range(EXTENT - 1));
    if (y + below >= int'(H + PH)) below = 0;
    x = int'($urandom_range(Beside - 1)) - int'(PW);
    slot <= SlotBits'(first);
    top <= TopBits'(y);
    down <= SlotBits'(below);
    column <= ColumnBits'(x);
    outside = (PH != 0 && (y + below < 0 || y + below >= int'(H))) || x < 0 || x >= int'(WORDS);
    place = (first + below) % int'(ROWS) * int'(WORDS) + x;
    valid = rst_n && enable && (outside || (written[place] && !(write && address == place)));
    in_valid <= valid;
    pipe[0] = {valid, 2'($urandom), outside ? {LANES{BITS'(PAD)}} : words[outside ? 0 : place]};
    {in_end, in_last} <= {pipe[0].stop, pipe[0].last};
    if (!rst_n) foreach (pipe[i]) pipe[i] = '0;
  end
endmodule
