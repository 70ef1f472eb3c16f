// Random stream sink, which also checks that valid is never withdrawn and that data and last are
// stable while valid and not ready. How often it stalls changes at random; without `enable_i` it
// stalls seldom.
module ig_tb_sink #(
  parameter int unsigned WIDTH = 8
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             enable_i,
  input  logic             valid_i,
  output logic             ready_o,
  input  logic [WIDTH-1:0] data_i,
  input  logic             last_i
);
  int unsigned      rate = 16;
  bit               waiting = 1'b0;
  logic [WIDTH-1:0] data;
  logic             last;

  initial ready_o = 1'b0;
  always @(posedge clk_i) begin
    if ($urandom_range(63) == 0) rate <= 1 << $urandom_range(4);
    ready_o <= $urandom_range(15) < (enable_i ? rate : 12);
    if (rst_ni && waiting && !(valid_i && data_i === data && last_i === last)) begin
      $fatal(1, "%m: valid withdrawn or data changed before ready");
    end
    waiting <= rst_ni && valid_i && !ready_o;
    data    <= data_i;
    last    <= last_i;
  end
endmodule
