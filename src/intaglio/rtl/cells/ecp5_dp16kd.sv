// DP16KD: 18 kbit of block RAM with two ports, in the modes that Yosys emits, and with the output
// registers (REGMODE "OUTREG") that it does not.
//
// The array is 1024 words of 18 bits. A port of width 18 takes byte enables from AD1, AD0; one of
// width 9, 4, 2 or 1 sees part of a word, chosen by the low address bits (widths up to 4 skip the
// parity bits 8 and 17). A port of width 36 takes two words at once: DIA and DOA carry the even,
// DIB and DOB the odd one, with byte enables AD3..AD0; then port A only writes and B only reads.
// A write leaves the port's own output alone (WRITEMODE "NORMAL"), shows the new word there
// ("WRITETHROUGH") or the old one ("READBEFOREWRITE"). Bits that the other port writes in the same
// cycle read undefined in the device; here they come out inverted, so that a design which relies on
// their old value fails. INITVAL_xx holds 16 words in slots of 20 bits.
module DP16KD #(
  parameter DATA_WIDTH_A = 18,
  parameter DATA_WIDTH_B = 18,
  parameter REGMODE_A = "NOREG",
  parameter REGMODE_B = "NOREG",
  parameter RESETMODE = "SYNC",
  parameter ASYNC_RESET_RELEASE = "SYNC",
  parameter CSDECODE_A = "0b000",
  parameter CSDECODE_B = "0b000",
  parameter WRITEMODE_A = "NORMAL",
  parameter WRITEMODE_B = "NORMAL",
  parameter CLKAMUX = "CLKA",
  parameter CLKBMUX = "CLKB",
  parameter WID = 0,
  parameter GSR = "ENABLED",
  parameter INIT_DATA = "STATIC",
  parameter [319:0] INITVAL_00 = 320'h0,
  parameter [319:0] INITVAL_01 = 320'h0,
  parameter [319:0] INITVAL_02 = 320'h0,
  parameter [319:0] INITVAL_03 = 320'h0,
  parameter [319:0] INITVAL_04 = 320'h0,
  parameter [319:0] INITVAL_05 = 320'h0,
  parameter [319:0] INITVAL_06 = 320'h0,
  parameter [319:0] INITVAL_07 = 320'h0,
  parameter [319:0] INITVAL_08 = 320'h0,
  parameter [319:0] INITVAL_09 = 320'h0,
  parameter [319:0] INITVAL_0A = 320'h0,
  parameter [319:0] INITVAL_0B = 320'h0,
  parameter [319:0] INITVAL_0C = 320'h0,
  parameter [319:0] INITVAL_0D = 320'h0,
  parameter [319:0] INITVAL_0E = 320'h0,
  parameter [319:0] INITVAL_0F = 320'h0,
  parameter [319:0] INITVAL_10 = 320'h0,
  parameter [319:0] INITVAL_11 = 320'h0,
  parameter [319:0] INITVAL_12 = 320'h0,
  parameter [319:0] INITVAL_13 = 320'h0,
  parameter [319:0] INITVAL_14 = 320'h0,
  parameter [319:0] INITVAL_15 = 320'h0,
  parameter [319:0] INITVAL_16 = 320'h0,
  parameter [319:0] INITVAL_17 = 320'h0,
  parameter [319:0] INITVAL_18 = 320'h0,
  parameter [319:0] INITVAL_19 = 320'h0,
  parameter [319:0] INITVAL_1A = 320'h0,
  parameter [319:0] INITVAL_1B = 320'h0,
  parameter [319:0] INITVAL_1C = 320'h0,
  parameter [319:0] INITVAL_1D = 320'h0,
  parameter [319:0] INITVAL_1E = 320'h0,
  parameter [319:0] INITVAL_1F = 320'h0,
  parameter [319:0] INITVAL_20 = 320'h0,
  parameter [319:0] INITVAL_21 = 320'h0,
  parameter [319:0] INITVAL_22 = 320'h0,
  parameter [319:0] INITVAL_23 = 320'h0,
  parameter [319:0] INITVAL_24 = 320'h0,
  parameter [319:0] INITVAL_25 = 320'h0,
  parameter [319:0] INITVAL_26 = 320'h0,
  parameter [319:0] INITVAL_27 = 320'h0,
  parameter [319:0] INITVAL_28 = 320'h0,
  parameter [319:0] INITVAL_29 = 320'h0,
  parameter [319:0] INITVAL_2A = 320'h0,
  parameter [319:0] INITVAL_2B = 320'h0,
  parameter [319:0] INITVAL_2C = 320'h0,
  parameter [319:0] INITVAL_2D = 320'h0,
  parameter [319:0] INITVAL_2E = 320'h0,
  parameter [319:0] INITVAL_2F = 320'h0,
  parameter [319:0] INITVAL_30 = 320'h0,
  parameter [319:0] INITVAL_31 = 320'h0,
  parameter [319:0] INITVAL_32 = 320'h0,
  parameter [319:0] INITVAL_33 = 320'h0,
  parameter [319:0] INITVAL_34 = 320'h0,
  parameter [319:0] INITVAL_35 = 320'h0,
  parameter [319:0] INITVAL_36 = 320'h0,
  parameter [319:0] INITVAL_37 = 320'h0,
  parameter [319:0] INITVAL_38 = 320'h0,
  parameter [319:0] INITVAL_39 = 320'h0,
  parameter [319:0] INITVAL_3A = 320'h0,
  parameter [319:0] INITVAL_3B = 320'h0,
  parameter [319:0] INITVAL_3C = 320'h0,
  parameter [319:0] INITVAL_3D = 320'h0,
  parameter [319:0] INITVAL_3E = 320'h0,
  parameter [319:0] INITVAL_3F = 320'h0
) (
  input  DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9,
  input  DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0,
  input  ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7,
  input  ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input  CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9,
  output DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0,
  input  DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9,
  input  DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
  input  ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7,
  input  ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input  CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9,
  output DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
);
  localparam [64*320-1:0] Init = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
    INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
    INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
    INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
    INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
    INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
    INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
    INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00
  };

  reg [17:0] mem[1024];
  initial for (int i = 0; i < 1024; i++) mem[i] = Init[20*i +: 18];

  // What each port asks for in this cycle. Masks have 36 bits: a word and the odd one above.
  wire clk_a = (CLKAMUX == "INV") ? ~CLKA : CLKA;
  wire clk_b = (CLKBMUX == "INV") ? ~CLKB : CLKB;
  wire [13:0] ad_a = {
    ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5,
    ADA4, ADA3, ADA2, ADA1, ADA0
  };
  wire [13:0] ad_b = {
    ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5,
    ADB4, ADB3, ADB2, ADB1, ADB0
  };
  wire [17:0] di_a = {
    DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9,
    DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0
  };
  wire [17:0] di_b = {
    DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9,
    DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0
  };
  wire en_a = CEA && {CSA2, CSA1, CSA0} == {CSDECODE_A[16], CSDECODE_A[8], CSDECODE_A[0]};
  wire en_b = CEB && {CSB2, CSB1, CSB0} == {CSDECODE_B[16], CSDECODE_B[8], CSDECODE_B[0]};
  wire we_a = en_a && WEA && !(RESETMODE == "SYNC" && RSTA);
  wire we_b = en_b && WEB && !(RESETMODE == "SYNC" && RSTB);

  // Word address: the even one of a pair when the port is 36 bits wide.
  wire [9:0] word_a = (DATA_WIDTH_A == 36) ? {ad_a[13:5], 1'b0} : ad_a[13:4];
  wire [9:0] word_b = (DATA_WIDTH_B == 36) ? {ad_b[13:5], 1'b0} : ad_b[13:4];
  wire [4:0] low_a = low(DATA_WIDTH_A, ad_a[3:0]);
  wire [4:0] low_b = low(DATA_WIDTH_B, ad_b[3:0]);
  wire [35:0] mask_a = mask(DATA_WIDTH_A, low_a);
  wire [35:0] mask_b = mask(DATA_WIDTH_B, low_b);
  wire [35:0] write_a = we_a ? mask_a & enables(DATA_WIDTH_A, ad_a[3:0]) : 36'h0;
  wire [35:0] write_b = we_b ? mask_b & enables(DATA_WIDTH_B, ad_b[3:0]) : 36'h0;
  wire [35:0] new_a = {di_b, di_a} << low_a;
  wire [35:0] new_b = {18'h0, di_b} << low_b;

  // Lowest bit of the part of a word that a narrow port sees.
  function automatic [4:0] low(input integer width, input [3:0] address);
    case (width)
      9: low = address[3] ? 5'd9 : 5'd0;
      4: low = {1'b0, address[3:2], 2'b0} + (address[3] ? 5'd1 : 5'd0);
      2: low = {1'b0, address[3:1], 1'b0} + (address[3] ? 5'd1 : 5'd0);
      1: low = {1'b0, address[3:0]} + (address[3] ? 5'd1 : 5'd0);
      default: low = 5'd0;
    endcase
  endfunction

  function automatic [35:0] mask(input integer width, input [4:0] lowest);
    mask = (width == 36) ? 36'hFFFFFFFFF : ((36'h1 << width) - 36'h1) << lowest;
  endfunction

  function automatic [35:0] enables(input integer width, input [3:0] address);
    case (width)
      36: enables = {{9{address[3]}}, {9{address[2]}}, {9{address[1]}}, {9{address[0]}}};
      18: enables = {18'h0, {9{address[1]}}, {9{address[0]}}};
      default: enables = 36'hFFFFFFFFF;
    endcase
  endfunction

  // The bits of the word at `word` (and the next) that the other port is writing.
  function automatic [35:0] clash(input [9:0] word, input [9:0] other, input [35:0] bits);
    clash = (word == other) ? bits
          : ({word[9:1], 1'b1} == other) ? {bits[17:0], 18'h0}
          : (word == {other[9:1], 1'b1}) ? {18'h0, bits[35:18]} : 36'h0;
  endfunction

  wire [35:0] held_a = {mem[word_a | 10'd1], mem[word_a]};
  wire [35:0] held_b = {mem[word_b | 10'd1], mem[word_b]};
  wire [35:0] merged_a = (held_a & ~write_a) | (new_a & write_a);
  wire [35:0] merged_b = (held_b & ~write_b) | (new_b & write_b);

  always @(posedge clk_a) begin
    if (|write_a[17:0]) mem[word_a] <= merged_a[17:0];
    if (|write_a[35:18]) mem[word_a | 10'd1] <= merged_a[35:18];
  end
  always @(posedge clk_b) begin
    if (|write_b[17:0]) mem[word_b] <= merged_b[17:0];
  end

  wire [35:0] old_a = held_a ^ clash(word_a, word_b, write_b);
  wire [35:0] old_b = held_b ^ clash(word_b, word_a, write_a);
  wire [35:0] through_a = (WRITEMODE_A == "WRITETHROUGH")
                         ? (old_a & ~write_a) | (new_a & write_a) : old_a;
  wire [35:0] through_b = (WRITEMODE_B == "WRITETHROUGH")
                         ? (old_b & ~write_b) | (new_b & write_b) : old_b;
  wire read_a = en_a && (!WEA || WRITEMODE_A != "NORMAL");
  wire read_b = en_b && (!WEB || WRITEMODE_B != "NORMAL");

  // Output latches, then the optional output registers; a reset does not wait for the clock enable.
  reg [35:0] latch_a, latch_b, reg_a, reg_b;
  initial {latch_a, latch_b, reg_a, reg_b} = '0;

  if (RESETMODE == "ASYNC") begin : g_async
    always @(posedge clk_a or posedge RSTA) begin
      if (RSTA) latch_a <= '0;
      else if (read_a) latch_a <= (through_a & mask_a) >> low_a;
    end
    always @(posedge clk_b or posedge RSTB) begin
      if (RSTB) latch_b <= '0;
      else if (read_b) latch_b <= (through_b & mask_b) >> low_b;
    end
  end else begin : g_sync
    always @(posedge clk_a) begin
      if (RSTA) latch_a <= '0;
      else if (read_a) latch_a <= (through_a & mask_a) >> low_a;
    end
    always @(posedge clk_b) begin
      if (RSTB) latch_b <= '0;
      else if (read_b) latch_b <= (through_b & mask_b) >> low_b;
    end
  end
  always @(posedge clk_a) begin
    if (RSTA) reg_a <= '0;
    else if (OCEA) reg_a <= latch_a;
  end
  always @(posedge clk_b) begin
    if (RSTB) reg_b <= '0;
    else if (OCEB) reg_b <= latch_b;
  end

  wire [35:0] do_a = (REGMODE_A == "OUTREG") ? reg_a : latch_a;
  wire [35:0] do_b = (REGMODE_B == "OUTREG") ? reg_b : latch_b;
  // A 36-bit read port uses both outputs; a narrower one beside a 36-bit write port uses B alone.
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9,
    DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} =
    (DATA_WIDTH_B == 36) ? do_b[17:0] : do_a[17:0];
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9,
    DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} =
    (DATA_WIDTH_B == 36) ? do_b[35:18] : do_b[17:0];
endmodule
