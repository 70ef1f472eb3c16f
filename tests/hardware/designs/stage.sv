// A stream stage for tests: each lane x becomes 2 * x + rom[beat]; two entries of storage; FAULT plants one defect.
module stage #(
  parameter int unsigned LANES = 4,
  parameter int unsigned BITS = 8,
  parameter int unsigned BEATS = 5,
  parameter int unsigned FAULT = 0,
  parameter int unsigned OUT = BITS + 2,
  parameter FILE = ""
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  input  logic                  valid_i,
  output logic                  ready_o,
  input  logic [LANES*BITS-1:0] data_i,
  input  logic                  last_i,
  output logic                  valid_o,
  input  logic                  ready_i,
  output logic [LANES*OUT-1:0]  data_o,
  output logic                  last_o
);
  localparam int unsigned W = LANES * OUT + 1;

  logic [BITS-1:0] rom[BEATS];
  initial $readmemh(FILE, rom);

  logic [7:0] beat_q, count_q;
  logic [1:0] held_q;
  logic [W-1:0] slot0_q, slot1_q, value;
  logic push, pop, hiccup_q;

  always_comb begin
    for (int unsigned l = 0; l < LANES; l++) begin
      value[l*OUT +: OUT] =
        {{(OUT-BITS-1){data_i[l*BITS+BITS-1]}}, data_i[l*BITS +: BITS], 1'b0}
        + {{(OUT-BITS){rom[beat_q][BITS-1]}}, rom[beat_q]};
    end
    value[W-1] = (FAULT == 3) ? (beat_q == BEATS - 2) : last_i;
  end

  assign ready_o = (FAULT == 6) ? (held_q != 2 || ready_i)
                 : (held_q != 2) && !(FAULT == 4 && count_q == 7);
  assign valid_o = (held_q != 0) && !(FAULT == 1 && hiccup_q);
  assign data_o = slot0_q[W-2:0] ^ ((FAULT == 2 && hiccup_q) ? 1 : 0);
  assign last_o = slot0_q[W-1];
  assign push = valid_i && ready_o;
  assign pop = valid_o && ready_i;

  always_ff @(posedge clk_i) begin
    hiccup_q <= valid_o && !ready_i && !hiccup_q;
    if (!rst_ni) begin
      held_q <= 0;
      if (FAULT != 5) beat_q <= 0;
      count_q <= 0;
    end else begin
      held_q <= held_q + {1'b0, push} - {1'b0, pop};
      if (push) begin
        beat_q <= last_i ? 0 : beat_q + 1;
        count_q <= count_q + 1;
      end
      if (FAULT == 7 && push && last_i && held_q == {1'b0, pop}) held_q <= 2;
    end
    if (pop) slot0_q <= slot1_q;
    if (push && (held_q - {1'b0, pop}) == 0) slot0_q <= value;
    else if (push) slot1_q <= value;
  end
endmodule
