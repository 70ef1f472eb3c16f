// Bench of ig_window_sparse: every pulse, its data and its exact cycle, against the written rules, under random
// gaps and credits, over several frames, with resets and with a drain after the last frame.
//
// The tables are random words, so kernels and words are powers of two, a length of 0 counts as 2^LENGTH_BITS, and
// lengths need not add up to STEPS: the table simply goes round.
module ig_window_sparse_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_window_sparse"), .ROUNDS(24), .CYCLES(1500), .DRAIN(3000)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_window_sparse_case #(.H(1), .W(1), .C(12), .LANES(3), .KH(1), .KW(1), .FOLDS(5), .ROWS(2),
    .STEPS(11), .STEPS_FILE("random_4x11.mem"), .LENGTHS_FILE("random_2x5.mem"), .LENGTH_BITS(2)) u_dense (.*);
  ig_window_sparse_case #(.H(1), .W(1), .C(8), .KH(1), .KW(1), .FOLDS(70), .ROWS(2), .BLOCK(1),
    .STEPS(300), .STEPS_FILE("random_5x300.mem"), .LENGTHS_FILE("random_3x70.mem"), .LENGTH_BITS(3)) u_deep (.*);
  ig_window_sparse_case #(.H(5), .W(6), .C(2), .KH(4), .KW(2), .DW(2), .PH(1), .PW(1), .PAD(7), .ROWS(5),
    .STEPS(7), .STEPS_FILE("random_4x7.mem"), .LENGTHS_FILE("random_3x1.mem"), .LENGTH_BITS(3)) u_same (.*);
  ig_window_sparse_case #(.H(8), .W(7), .C(8), .G(2), .FOLDS(3), .KH(2), .KW(4), .DH(2), .SH(2), .SW(3), .ROWS(5),
    .STEPS(16), .STEPS_FILE("random_5x16.mem"), .LENGTHS_FILE("random_1x6.mem"), .LENGTH_BITS(1)) u_stride (.*);
  ig_window_sparse_case #(.H(3), .W(2), .C(2), .KH(4), .KW(4), .PH(2), .PW(2), .PAD(-3), .SH(2), .ROWS(6),
    .STEPS(9), .STEPS_FILE("random_5x9.mem"), .LENGTHS_FILE("random_4x1.mem"), .LENGTH_BITS(4)) u_large (.*);
  // every beat several times
  ig_window_sparse_case #(.H(1), .W(1), .C(12), .LANES(3), .KH(1), .KW(1), .FOLDS(5), .REPEAT(3), .ROWS(2),
    .STEPS(11), .STEPS_FILE("random_4x11.mem"), .LENGTHS_FILE("random_2x5.mem"), .LENGTH_BITS(2)) u_serial (.*);
  ig_window_sparse_case #(.H(4), .W(3), .C(8), .G(2), .FOLDS(3), .KH(2), .KW(4), .PH(1), .PW(1), .REPEAT(8), .ROWS(3),
    .STEPS(16), .STEPS_FILE("random_5x16.mem"), .LENGTHS_FILE("random_1x6.mem"), .LENGTH_BITS(1)) u_serial_image (.*);
endmodule

module ig_window_sparse_case #(
  parameter int unsigned H = 4,
  parameter int unsigned W = 4,
  parameter int unsigned C = 2,
  parameter int unsigned LANES = 1,
  parameter int unsigned BITS = 5,
  parameter int unsigned KH = 3,
  parameter int unsigned KW = 3,
  parameter int unsigned SH = 1,
  parameter int unsigned SW = 1,
  parameter int unsigned DH = 1,
  parameter int unsigned DW = 1,
  parameter int unsigned PH = 0,
  parameter int unsigned PW = 0,
  parameter int unsigned G = 1,
  parameter int unsigned FOLDS = 1,
  parameter int unsigned REPEAT = 1,
  parameter int PAD = 0,
  parameter int unsigned ROWS = 4,
  parameter int unsigned BLOCK = 0,
  parameter int unsigned STEPS = 4,
  parameter STEPS_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter LENGTHS_FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned LENGTH_BITS = 4
) (
  input logic clk,
  input logic rst_n,
  input logic enable,
  input logic idle
);
  localparam int Pixel = C / LANES;
  localparam int Words = Pixel / G;
  localparam int Extent = (KH - 1) * DH + 1;
  localparam int OutH = (H + 2 * PH - Extent) / SH + 1;
  localparam int OutW = (W + 2 * PW - ((KW - 1) * DW + 1)) / SW + 1;
  localparam int KyBits = KH > 1 ? $clog2(KH) : 1;
  localparam int KxBits = KW > 1 ? $clog2(KW) : 1;
  localparam int WordBits = $clog2(Words);
  localparam int Operations = OutW * G * FOLDS;  // per output row
  localparam int Latency = PH != 0 || PW != 0 ? 5 : 4;

  typedef logic [LANES-1:0][BITS-1:0] word_t;
  typedef struct packed {
    logic  valid;
    logic  stop;
    logic  last;
    word_t data;
  } pulse_t;

  logic in_valid, in_ready, in_last, grant = 1'b0, take, out_valid, out_end, out_last;
  word_t in_data, out_data;
  logic [LANES*BITS-1:0] image[$];  // beats accepted and not yet dropped; the first belongs to the oldest frame
  pulse_t pipe[Latency+1];
  int unsigned rate = 16;
  int row = 0, operation = 0, pulse = 0, accepted = 0, held = 0, step = 0, beats, pulses;
  logic [KyBits+KxBits+WordBits-1:0] steps[STEPS];
  logic [LENGTH_BITS-1:0] lengths[G*FOLDS];
  initial $readmemh(STEPS_FILE, steps);
  initial $readmemh(LENGTHS_FILE, lengths);

  ig_tb_source #(.WIDTH(LANES * BITS), .BEATS(H * W * Pixel)) u_source (
    .clk_i(clk), .rst_ni(rst_n), .enable_i(enable),
    .valid_o(in_valid), .ready_i(in_ready), .data_o(in_data), .last_o(in_last)
  );
  ig_window_sparse #(
    .LANES(LANES), .BITS(BITS), .SIGNED(PAD < 0 ? 1 : 0), .HEIGHT(H), .WIDTH(W), .CHANNELS(C),
    .KERNEL_H(KH), .KERNEL_W(KW), .STRIDE_H(SH), .STRIDE_W(SW), .DILATION_H(DH), .DILATION_W(DW),
    .PAD_H(PH), .PAD_W(PW), .GROUPS(G), .FOLDS(FOLDS), .REPEAT(REPEAT), .PAD_VALUE(PAD), .ROWS(ROWS), .BLOCK(BLOCK),
    .STEPS(STEPS), .STEPS_FILE(STEPS_FILE), .LENGTHS_FILE(LENGTHS_FILE), .LENGTH_BITS(LENGTH_BITS)
  ) u_dut (
    .clk_i(clk), .rst_ni(rst_n),
    .valid_i(in_valid), .ready_o(in_ready), .data_i(in_data), .last_i(in_last),
    .grant_i(grant), .take_o(take),
    .valid_o(out_valid), .data_o(out_data), .end_o(out_end), .last_o(out_last)
  );

  function automatic int base(input int oy);
    int top;
    top = oy * int'(SH) - int'(PH);
    if (oy == 0 || top < 0) return 0;
    return top > int'(H) ? int'(H) : top;
  endfunction
  function automatic int next(input int oy);
    return oy == OutH - 1 ? int'(H) : base(oy + 1);
  endfunction
  function automatic int need(input int oy);
    int bottom;
    bottom = oy * int'(SH) - int'(PH) + Extent;
    if (bottom > int'(H)) bottom = int'(H);
    return bottom > next(oy) ? bottom : next(oy);
  endfunction

  // The word that the listed beat `listed` of operation `n` of output row `oy` must carry.
  function automatic word_t window(input int oy, input int n, input int listed);
    int x, y, group, index;
    logic [KyBits-1:0] ky;
    logic [KxBits-1:0] kx;
    logic [WordBits-1:0] w;
    {ky, kx, w} = steps[listed];
    group = (n / int'(FOLDS)) % int'(G);
    y = oy * int'(SH) - int'(PH) + (KH > 1 ? int'(ky) : 0) * int'(DH);
    x = (n / int'(FOLDS * G)) * int'(SW) - int'(PW) + (KW > 1 ? int'(kx) : 0) * int'(DW);
    if (y < 0 || y >= int'(H) || x < 0 || x >= int'(W)) return {LANES{BITS'(PAD)}};
    index = (y * int'(W) + x) * Pixel + group * Words + int'(w);
    return image[index];
  endfunction

  always @(posedge clk) begin
    bit start, issue, row_done;
    if ($urandom_range(63) == 0) rate <= 1 << $urandom_range(4);
    grant <= $urandom_range(15) < rate;
    if (!rst_n) begin
      {row, operation, pulse, accepted, held, step} = '0;
      image.delete();
      foreach (pipe[i]) pipe[i] = '0;
    end else begin
      start = pulse == 0 && base(row) + held >= need(row) && grant;
      issue = pulse != 0 || start;
      if (in_ready !== (held != ROWS)) $fatal(1, "%m: ready_o is wrong");
      if (take !== start) $fatal(1, "%m: take_o is wrong in row %0d, operation %0d", row, operation);
      row_done = in_valid && in_ready && accepted % (W * Pixel) == W * Pixel - 1;
      if (in_valid && in_ready) begin
        image.push_back(in_data);
        accepted = (accepted + 1) % (W * Pixel);
      end

      for (int i = Latency; i > 0; i--) pipe[i] = pipe[i-1];
      pipe[0] = '0;
      if (issue) begin
        beats = int'(lengths[operation%int'(G*FOLDS)]);
        if (beats == 0) beats = 1 << LENGTH_BITS;
        pulses = beats * int'(REPEAT);
        pipe[0] = {1'b1, pulse == pulses - 1,
                   pulse == pulses - 1 && operation == Operations - 1 && row == OutH - 1,
                   window(row, operation, step)};
        pulse = (pulse + 1) % pulses;
        if (pulse % int'(REPEAT) == 0) step = (step + 1) % int'(STEPS);
        if (pulse == 0) operation = (operation + 1) % Operations;
        if (pulse == 0 && operation == 0) begin
          held -= next(row) - base(row);
          row = (row + 1) % OutH;
          if (row == 0) repeat (H * W * Pixel) void'(image.pop_front());
        end
      end
      if (row_done) held++;

      if (out_valid !== pipe[Latency].valid) $fatal(1, "%m: valid_o is wrong");
      if (out_valid && {1'b1, out_end, out_last, out_data} !== pipe[Latency]) begin
        $fatal(1, "%m: pulse %p, not %p", {out_end, out_last, out_data}, pipe[Latency]);
      end
      if (idle && (image.size() != 0 || row != 0 || pulse != 0 || pipe[Latency].valid)) begin
        $fatal(1, "%m: does not drain");
      end
    end
  end
endmodule
