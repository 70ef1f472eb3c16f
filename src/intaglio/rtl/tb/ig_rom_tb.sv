// Bench of ig_rom: every word, two cycles after its address, from both kinds of memory.
module ig_rom_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_rom"), .ROUNDS(4)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_rom_case #(.WIDTH(5), .DEPTH(1), .FILE("random_5x1.mem"), .BLOCK(0)) u_1 (.clk);
  ig_rom_case #(.WIDTH(9), .DEPTH(13), .FILE("random_9x13.mem"), .BLOCK(0)) u_13 (.clk);
  ig_rom_case #(.WIDTH(70), .DEPTH(64), .FILE("random_70x64.mem"), .BLOCK(1)) u_64 (.clk);
endmodule

module ig_rom_case #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned DEPTH = 16,
  parameter FILE = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned BLOCK = 0
) (
  input logic clk
);
  localparam int unsigned AddrBits = DEPTH > 1 ? $clog2(DEPTH) : 1;
  logic [AddrBits-1:0] addr = '0, addr1 = '0, addr2 = '0;
  logic [WIDTH-1:0] data, words[DEPTH];
  int unsigned cycle = 0;

  ig_rom #(.WIDTH(WIDTH), .DEPTH(DEPTH), .FILE(FILE), .BLOCK(BLOCK)) u_dut (
    .clk_i(clk), .addr_i(addr), .data_o(data)
  );

  initial $readmemh(FILE, words);
  always @(posedge clk) begin
    addr  <= AddrBits'(cycle < 2 * DEPTH ? cycle % DEPTH : $urandom_range(DEPTH - 1));
    addr1 <= addr;
    addr2 <= addr1;
    cycle <= cycle + 1;
    if (cycle > 3 && data !== words[addr2]) $fatal(1, "%m: word %0d reads %h", addr2, data);
  end
endmodule
