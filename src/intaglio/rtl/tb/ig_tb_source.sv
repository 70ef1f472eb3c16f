// Random stream source: frames of BEATS beats of random data with random gaps; valid is never
// withdrawn.
//
// How often it is idle changes at random: never, seldom, half of the time, nearly always. While it
// is idle, data and last are noise. With `enable_i` low it finishes the current frame and stops.
// With PULSES=1 it ignores ready_i (a pulse source).
module ig_tb_source #(
  parameter int unsigned WIDTH  = 8,
  parameter int unsigned BEATS  = 4,
  parameter int unsigned PULSES = 0
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             enable_i,
  output logic             valid_o,
  input  logic             ready_i,
  output logic [WIDTH-1:0] data_o,
  output logic             last_o
);
  int unsigned rate = 16;
  int unsigned beat = 0;  // index in the frame of the beat being offered or offered next

  function automatic logic [WIDTH-1:0] noise();
    logic [WIDTH-1:0] word;
    for (int unsigned i = 0; i < WIDTH; i++) word[i] = 1'($urandom);
    case ($urandom_range(7))
      0:       return '0;
      1:       return '1;
      default: return word;
    endcase
  endfunction

  initial valid_o = 1'b0;
  always @(posedge clk_i) begin
    int unsigned next;
    bit          moved;
    if (!rst_ni) begin
      valid_o <= 1'b0;
      beat    <= 0;
    end else begin
      if ($urandom_range(63) == 0) rate <= 1 << $urandom_range(4);
      moved = valid_o && (ready_i || PULSES != 0);
      next  = !moved ? beat : last_o ? 0 : beat + 1;
      beat <= next;
      if (moved || !valid_o) begin
        valid_o <= $urandom_range(15) < (enable_i ? rate : 12) && (enable_i || next != 0);
        data_o  <= noise();
        last_o  <= (next == BEATS - 1);
      end
    end
  end
endmodule
