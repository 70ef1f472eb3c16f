// Clock, resets and phases for a bench; after ROUNDS rounds without a failure it prints PASS and
// ends.
//
// A round is: `enable_o` high for a random number of cycles (sources send frames), then low for
// DRAIN cycles (sources finish their frame and fall silent), then `idle_o` for one cycle, in which
// a bench checks that nothing is left inside the design. Half of the rounds are cut short by a
// reset at a random cycle.
module ig_tb_control #(
  parameter NAME = "",  // verilog_lint: waive explicit-parameter-storage-type
  parameter int unsigned ROUNDS = 40,
  parameter int unsigned CYCLES = 400,  // longest enabled phase
  parameter int unsigned DRAIN  = 400
) (
  output logic clk_o,
  output logic rst_no,
  output logic enable_o,
  output logic idle_o
);
  initial clk_o = 1'b0;
  always #5 clk_o = ~clk_o;

  task automatic wait_cycles(input int unsigned count);
    repeat (count) @(posedge clk_o);
    #1;  // after the edge, so that no process races with it
  endtask

  initial begin
    rst_no   = 1'b0;
    enable_o = 1'b0;
    idle_o   = 1'b0;
    wait_cycles(3);
    for (int unsigned r = 0; r < ROUNDS; r++) begin
      rst_no   = 1'b1;
      enable_o = 1'b1;
      wait_cycles(1 + $urandom_range(CYCLES));
      if (r % 2 == 0) begin
        enable_o = 1'b0;
        wait_cycles(DRAIN);
        idle_o = 1'b1;
        wait_cycles(1);
        idle_o = 1'b0;
      end else begin
        rst_no = 1'b0;
        wait_cycles(1 + $urandom_range(2));
      end
    end
    $display("PASS %s", NAME);
    $finish;
  end
endmodule
