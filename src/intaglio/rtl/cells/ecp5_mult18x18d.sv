// MULT18X18D: an 18 by 18 bit multiplier, P = A * B, each operand signed as its SIGNED input says.
// Yosys uses it without registers; REG_INPUTA, REG_INPUTB, REG_PIPELINE and REG_OUTPUT add a stage
// each when their _CLK is not "NONE" (clock, enable and synchronous reset 0 to 3 by parameter). Not
// modelled: the shift chains and operand C; they must be off.
module MULT18X18D #(
  parameter REG_INPUTA_CLK = "NONE", parameter REG_INPUTA_CE = "CE0",
  parameter REG_INPUTA_RST = "RST0",
  parameter REG_INPUTB_CLK = "NONE", parameter REG_INPUTB_CE = "CE0",
  parameter REG_INPUTB_RST = "RST0",
  parameter REG_INPUTC_CLK = "NONE", parameter REG_INPUTC_CE = "CE0",
  parameter REG_INPUTC_RST = "RST0",
  parameter REG_PIPELINE_CLK = "NONE", parameter REG_PIPELINE_CE = "CE0",
  parameter REG_PIPELINE_RST = "RST0",
  parameter REG_OUTPUT_CLK = "NONE", parameter REG_OUTPUT_CE = "CE0",
  parameter REG_OUTPUT_RST = "RST0",
  parameter CLK0_DIV = "ENABLED", parameter CLK1_DIV = "ENABLED",
  parameter CLK2_DIV = "ENABLED", parameter CLK3_DIV = "ENABLED",
  parameter HIGHSPEED_CLK = "NONE",
  parameter GSR = "ENABLED",
  parameter CAS_MATCH_REG = "FALSE",
  parameter SOURCEB_MODE = "B_SHIFT",
  parameter MULT_BYPASS = "DISABLED",
  parameter RESETMODE = "SYNC"
) (
  input  A17, A16, A15, A14, A13, A12, A11, A10, A9,
  input  A8, A7, A6, A5, A4, A3, A2, A1, A0,
  input  B17, B16, B15, B14, B13, B12, B11, B10, B9,
  input  B8, B7, B6, B5, B4, B3, B2, B1, B0,
  input  C17, C16, C15, C14, C13, C12, C11, C10, C9,
  input  C8, C7, C6, C5, C4, C3, C2, C1, C0,
  input  SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  input  CLK3, CLK2, CLK1, CLK0, CE3, CE2, CE1, CE0, RST3, RST2, RST1, RST0,
  output P35, P34, P33, P32, P31, P30, P29, P28, P27,
  output P26, P25, P24, P23, P22, P21, P20, P19, P18,
  output P17, P16, P15, P14, P13, P12, P11, P10, P9,
  output P8, P7, P6, P5, P4, P3, P2, P1, P0,
  output SIGNEDP
);
  wire [3:0] clk = {CLK3, CLK2, CLK1, CLK0};
  wire [3:0] ce = {CE3, CE2, CE1, CE0};
  wire [3:0] rst = {RST3, RST2, RST1, RST0};

  wire [18:0] a_in = {SIGNEDA && A17, A17, A16, A15, A14, A13, A12, A11, A10, A9,
    A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire [18:0] b_in = {SIGNEDB && B17, B17, B16, B15, B14, B13, B12, B11, B10, B9,
    B8, B7, B6, B5, B4, B3, B2, B1, B0};
  wire [18:0] a, b;
  wire [36:0] product, p;

  // The number at the end of a clock, enable or reset name is its index ("NONE" is not used).
  ecp5_mult_stage #(.WIDTH(19), .USED(REG_INPUTA_CLK != "NONE")) u_a (
    .clk_i(clk[REG_INPUTA_CLK[1:0]]), .ce_i(ce[REG_INPUTA_CE[1:0]]),
    .rst_i(rst[REG_INPUTA_RST[1:0]]), .d_i(a_in), .q_o(a));
  ecp5_mult_stage #(.WIDTH(19), .USED(REG_INPUTB_CLK != "NONE")) u_b (
    .clk_i(clk[REG_INPUTB_CLK[1:0]]), .ce_i(ce[REG_INPUTB_CE[1:0]]),
    .rst_i(rst[REG_INPUTB_RST[1:0]]), .d_i(b_in), .q_o(b));
  wire [37:0] full = {{19{a[18]}}, a} * {{19{b[18]}}, b};
  ecp5_mult_stage #(.WIDTH(37), .USED(REG_PIPELINE_CLK != "NONE")) u_pipeline (
    .clk_i(clk[REG_PIPELINE_CLK[1:0]]), .ce_i(ce[REG_PIPELINE_CE[1:0]]),
    .rst_i(rst[REG_PIPELINE_RST[1:0]]), .d_i({SIGNEDA || SIGNEDB, full[35:0]}), .q_o(product));
  ecp5_mult_stage #(.WIDTH(37), .USED(REG_OUTPUT_CLK != "NONE")) u_output (
    .clk_i(clk[REG_OUTPUT_CLK[1:0]]), .ce_i(ce[REG_OUTPUT_CE[1:0]]),
    .rst_i(rst[REG_OUTPUT_RST[1:0]]), .d_i(product), .q_o(p));

  assign {SIGNEDP, P35, P34, P33, P32, P31, P30, P29, P28, P27,
    P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9,
    P8, P7, P6, P5, P4, P3, P2, P1, P0} = p;
endmodule

// One optional register stage.
module ecp5_mult_stage #(
  parameter int unsigned WIDTH = 1,
  parameter bit USED = 0
) (
  input              clk_i, ce_i, rst_i,
  input  [WIDTH-1:0] d_i,
  output [WIDTH-1:0] q_o
);
  if (USED) begin : g_register
    reg [WIDTH-1:0] q_q = '0;
    always @(posedge clk_i) begin
      if (rst_i) q_q <= '0;
      else if (ce_i) q_q <= d_i;
    end
    assign q_o = q_q;
  end else begin : g_wire
    assign q_o = d_i;
  end
endmodule
