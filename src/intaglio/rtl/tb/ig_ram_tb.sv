// Bench of ig_ram: random writes and reads against an array, a read following a write at the next cycle.
module ig_ram_tb;
  logic clk, rst_n, enable, idle;

  ig_tb_control #(.NAME("ig_ram"), .ROUNDS(10)) u_control (
    .clk_o(clk), .rst_no(rst_n), .enable_o(enable), .idle_o(idle)
  );
  ig_ram_case #(.WIDTH(5), .DEPTH(1), .BLOCK(0)) u_1 (.clk);
  ig_ram_case #(.WIDTH(9), .DEPTH(13), .BLOCK(0)) u_13 (.clk);
  ig_ram_case #(.WIDTH(40), .DEPTH(100), .BLOCK(1)) u_100 (.clk);
endmodule

module ig_ram_case #(
  parameter int unsigned WIDTH = 8,
  parameter int unsigned DEPTH = 16,
  parameter int unsigned BLOCK = 0
) (
  input logic clk
);
  localparam int unsigned AddrBits = DEPTH > 1 ? $clog2(DEPTH) : 1;
  logic we = 1'b0;
  logic [AddrBits-1:0] waddr = '0, raddr = '0;
  logic [WIDTH-1:0] wdata = '0, rdata, words[DEPTH];
  bit written[DEPTH], check[3];
  logic [WIDTH-1:0] expected[3];

  ig_ram #(.WIDTH(WIDTH), .DEPTH(DEPTH), .BLOCK(BLOCK)) u_dut (
    .clk_i(clk), .we_i(we), .waddr_i(waddr), .wdata_i(wdata), .raddr_i(raddr), .rdata_o(rdata)
  );

  always @(posedge clk) begin
    for (int i = 2; i > 0; i--) {check[i], expected[i]} = {check[i-1], expected[i-1]};
    check[0] = written[raddr] && !(we && waddr == raddr);
    expected[0] = words[raddr];
    if (check[2] && rdata !== expected[2]) $fatal(1, "%m: reads %h, not %h", rdata, expected[2]);
    if (we) {written[waddr], words[waddr]} = {1'b1, wdata};
    we    <= 1'($urandom);
    waddr <= AddrBits'($urandom_range(DEPTH - 1));
    wdata <= WIDTH'({$urandom, $urandom});
    raddr <= $urandom_range(3) == 0 ? waddr : AddrBits'($urandom_range(DEPTH - 1));
  end
endmodule
