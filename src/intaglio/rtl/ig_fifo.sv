// First-in first-out buffer of DEPTH beats: stream in, stream out.
//
//   A beat accepted in cycle t is offered from cycle t+1, also when the buffer was empty. ready_o =
//   fewer than DEPTH beats held; a register, so no path leads from ready_i to ready_o. DEPTH >= 2
//   carries one beat per cycle; DEPTH = 1 one beat every second cycle.
//
// Storage: DEPTH <= 2 registers, up to 64 LUT memory read asynchronously, above that block memory
// behind four slots that hide its read latency (same timing). Storage is not reset, and is never
// read before it was written. It does not pass a beat through in the same cycle.
module ig_fifo #(
  parameter int unsigned WIDTH = 8,             // bits of data_i
  parameter int unsigned DEPTH = 2,             // beats held at most, >= 1
  parameter int unsigned BLOCK = 32'(DEPTH > 64)  // 1: block memory
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  // in
  input  logic             valid_i,
  output logic             ready_o,
  input  logic [WIDTH-1:0] data_i,
  input  logic             last_i,
  // out
  output logic             valid_o,
  input  logic             ready_i,
  output logic [WIDTH-1:0] data_o,
  output logic             last_o
);
  localparam int unsigned Word = WIDTH + 1;

  logic push, pop;
  assign push = valid_i && ready_o;
  assign pop  = valid_o && ready_i;

  if (DEPTH == 1) begin : g_one
    logic            full_q;
    logic [Word-1:0] word_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) full_q <= 1'b0;
      else full_q <= push || (full_q && !pop);
      if (push) word_q <= {last_i, data_i};
    end
    assign ready_o = !full_q;
    assign valid_o = full_q;
    assign {last_o, data_o} = word_q;

  end else if (DEPTH == 2) begin : g_two
    // head_q holds the oldest beat, tail_q the younger one when there are two.
    logic valid_q, full_q;
    logic [Word-1:0] head_q, tail_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        valid_q <= 1'b0;
        full_q  <= 1'b0;
      end else begin
        valid_q <= push || full_q || (valid_q && !pop);
        full_q  <= !pop && (full_q || (push && valid_q));
      end
      if (pop || !valid_q) head_q <= full_q ? tail_q : {last_i, data_i};
      if (!full_q) tail_q <= {last_i, data_i};
    end
    assign ready_o = !full_q;
    assign valid_o = valid_q;
    assign {last_o, data_o} = head_q;

  end else if (BLOCK == 0) begin : g_lut
    localparam int unsigned Address = $clog2(DEPTH);

    logic [Address-1:0] write_q, read_q, write_next, read_next;
    (* ram_style = "distributed" *) logic [Word-1:0] memory[DEPTH];
    logic valid_q, full_q;

    assign write_next = (write_q == Address'(DEPTH - 1)) ? '0 : write_q + 1'b1;
    assign read_next  = (read_q == Address'(DEPTH - 1)) ? '0 : read_q + 1'b1;
    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        write_q <= '0;
        read_q  <= '0;
        valid_q <= 1'b0;
        full_q  <= 1'b0;
      end else begin
        if (push) write_q <= write_next;
        if (pop) read_q <= read_next;
        if (push != pop) begin
          valid_q <= push || (read_next != write_q);
          full_q  <= push && (write_next == read_q);
        end
      end
    end
    always_ff @(posedge clk_i) if (push) memory[write_q] <= {last_i, data_i};

    assign ready_o = !full_q;
    assign valid_o = valid_q;
    assign {last_o, data_o} = memory[read_q];

  end else begin : g_block
    // The oldest beats have one of 4 slots each, the others wait in block memory. A beat takes a
    // free slot at once if none waits (`direct`); a waiting one is fetched as soon as a slot is
    // free. A fetch is visible three cycles later, while the slots ahead drain: 4 slots keep
    // valid_o gapless. Each slot has two memories, one per way in, and `fetched_q` tells which of
    // them holds it.
    localparam int unsigned Address = $clog2(DEPTH);
    localparam int unsigned Count = $clog2(DEPTH + 1);

    logic [Address-1:0] write_q, read_q;
    logic [Count-1:0] count_q, count_d;
    logic [2:0] slots_q;  // slots in use
    logic [1:0] fetch_q, new_q, old_q, new1_q, new2_q;
    logic [3:0] fetched_q;
    (* ram_style = "distributed" *) logic [Word-1:0] direct_memory[4];
    (* ram_style = "distributed" *) logic [Word-1:0] fetch_memory[4];
    logic [Word-1:0] fetch_word;
    logic full_q, waiting, direct, store, fetch;

    assign waiting = write_q != read_q;  // never all around: at least one beat has a slot
    assign direct  = push && !waiting && slots_q != 3'd4;
    assign store   = push && !direct;
    assign fetch   = waiting && slots_q != 3'd4;
    assign count_d = count_q + Count'(push) - Count'(pop);
    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        write_q <= '0;
        read_q  <= '0;
        count_q <= '0;
        full_q  <= 1'b0;
        slots_q <= '0;
        fetch_q <= '0;
        new_q   <= '0;
        old_q   <= '0;
      end else begin
        if (store) write_q <= (write_q == Address'(DEPTH - 1)) ? '0 : write_q + 1'b1;
        if (fetch) read_q <= (read_q == Address'(DEPTH - 1)) ? '0 : read_q + 1'b1;
        count_q <= count_d;
        full_q  <= count_d == Count'(DEPTH);
        slots_q <= slots_q + 3'(direct || fetch) - 3'(pop);
        fetch_q <= {fetch_q[0], fetch};
        new_q   <= new_q + 2'(direct || fetch);
        old_q   <= old_q + 2'(pop);
      end
    end
    always_ff @(posedge clk_i) begin
      new1_q <= new_q;
      new2_q <= new1_q;
      if (direct || fetch) fetched_q[new_q] <= fetch;
      if (direct) direct_memory[new_q] <= {last_i, data_i};
      if (fetch_q[1]) fetch_memory[new2_q] <= fetch_word;
    end

    ig_ram #(
      .WIDTH(Word), .DEPTH(DEPTH), .BLOCK(1)
    ) u_ram (
      .clk_i, .we_i(store), .waddr_i(write_q), .wdata_i({last_i, data_i}),
      .raddr_i(read_q), .rdata_o(fetch_word)
    );

    assign ready_o = !full_q;
    assign valid_o = count_q != '0;
    assign {last_o, data_o} = fetched_q[old_q] ? fetch_memory[old_q] : direct_memory[old_q];
  end

endmodule
