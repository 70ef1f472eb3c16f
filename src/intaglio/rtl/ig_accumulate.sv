// Accumulators of PE rows, over the beats of a reduction, which end_i ends:
//   acc[p] = sum over the beats up to end_i of sum[p] << (w_shift[p] + a_shift).
//
// Pulses in, one pulse per reduction out; latency 1 from the pulse with end_i, 2 with shifts; no stall. A reduction's
// first beat loads, so that nothing but control is reset.
module ig_accumulate #(
  parameter int unsigned PE = 2,            // rows
  parameter int unsigned IN_BITS = 16,      // bits of a sum, two's complement
  parameter int unsigned ACC_BITS = 24,     // bits of a result, two's complement; enough for each
  parameter int unsigned W_SHIFT_BITS = 0,  // bits of the shift of each row; 0: none
  parameter int unsigned A_SHIFT_BITS = 0,  // bits of the shift that the rows share; 0: none
  localparam int unsigned InBits = PE * W_SHIFT_BITS + A_SHIFT_BITS + PE * IN_BITS
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  // pulses in: {w_shift of each row, a_shift, sums}, row 0 lowest
  input  logic                        valid_i,
  input  logic [InBits-1:0]           data_i,
  input  logic                        end_i,   // last beat of a reduction
  input  logic                        last_i,  // last beat of the frame
  // pulses out
  output logic                        valid_o,
  output logic [PE-1:0][ACC_BITS-1:0] data_o,
  output logic                        last_o
);
  localparam int unsigned SumsBits = PE * IN_BITS;
  localparam bit Shifted = W_SHIFT_BITS != 0 || A_SHIFT_BITS != 0;

  logic [PE-1:0][ACC_BITS-1:0] sum, term;
  logic add, ends, last, first_q;

  for (genvar p = 0; p < PE; p++) begin : g_sum
    assign sum[p] = ACC_BITS'(signed'(data_i[p*IN_BITS+:IN_BITS]));
  end

  if (Shifted) begin : g_shifted
    localparam int unsigned Larger = W_SHIFT_BITS > A_SHIFT_BITS ? W_SHIFT_BITS : A_SHIFT_BITS;
    localparam int unsigned ShiftBits = Larger + 32'(W_SHIFT_BITS != 0 && A_SHIFT_BITS != 0);
    for (genvar p = 0; p < PE; p++) begin : g_row
      // A shift of no bits is 0, by its mask.
      localparam int unsigned Low = SumsBits + A_SHIFT_BITS + p * W_SHIFT_BITS;
      logic [ShiftBits-1:0] w_shift, a_shift, shift;
      logic [ACC_BITS-1:0] term_q;
      assign w_shift = ShiftBits'(data_i >> Low) & ShiftBits'((1 << W_SHIFT_BITS) - 1);
      assign a_shift = ShiftBits'(data_i >> SumsBits) & ShiftBits'((1 << A_SHIFT_BITS) - 1);
      assign shift = w_shift + a_shift;
      always_ff @(posedge clk_i) term_q <= sum[p] << shift;
      assign term[p] = term_q;
    end
    ig_delay #(
      .WIDTH(2), .CYCLES(1)
    ) u_delay (
      .clk_i, .rst_ni, .valid_i, .data_i({end_i, last_i}), .valid_o(add), .data_o({ends, last})
    );
  end else begin : g_plain
    assign term = sum;
    assign {add, ends, last} = {valid_i, end_i, last_i};
  end

  always_ff @(posedge clk_i) begin
    last_o <= last;
    if (!rst_ni) begin
      first_q <= 1'b1;
      valid_o <= 1'b0;
    end else begin
      if (add) first_q <= ends;
      valid_o <= add && ends;
    end
  end

  for (genvar p = 0; p < PE; p++) begin : g_row
    logic [ACC_BITS-1:0] acc_q;
    always_ff @(posedge clk_i) begin
      if (add) acc_q <= (first_q ? '0 : acc_q) + term[p];
    end
    assign data_o[p] = acc_q;
  end
endmodule
