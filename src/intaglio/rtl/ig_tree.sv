// Balanced tree of two-operand additions: sum_o = sum over i of (+-) x_i[i] * 2^(i * SHIFT), exact.
//
// Latency: the number of ones in REGISTERS; bit l puts a register behind tree level l (level 0 adds neighbouring
// elements, there are clog2(COUNT) levels). 0 makes it combinational. No handshake.
//
// Every node is as wide as its own largest value. With SHIFT = 1 the low bits of the lower operand pass an addition
// unchanged and cost no adder.
module ig_tree #(
  parameter int unsigned COUNT = 4,      // number of elements
  parameter int unsigned BITS = 8,       // bits of an element
  parameter int unsigned SIGNED = 1,     // 1: elements are two's complement, 0: unsigned
  parameter int unsigned SHIFT = 0,      // 0: plain sum, 1: element i weighs 2^i (bit planes)
  parameter int unsigned NEGATE = 0,     // 1: the last element is negative (SHIFT = 1, COUNT > 1)
  parameter int unsigned REGISTERS = 1,  // bit l: a register behind level l
  localparam int unsigned Levels = $clog2(COUNT),
  localparam int unsigned SumBits = BITS + (SHIFT != 0 && COUNT > 1 ? COUNT : Levels)
) (
  input  logic                       clk_i,
  input  logic [COUNT-1:0][BITS-1:0] x_i,
  output logic [SumBits-1:0]         sum_o
);
  // Bits of a node on level k.
  function automatic int unsigned width(input int unsigned k);
    if (SHIFT == 0 || k == 0) width = BITS + k;
    else width = BITS + ((1 << k) < COUNT ? (1 << k) : COUNT);
  endfunction

  for (genvar k = 0; k <= Levels; k++) begin : g_level
    localparam int unsigned Span = 1 << k;  // elements of a full node
    localparam int unsigned Nodes = (COUNT + Span - 1) / Span;
    localparam int unsigned Bits = width(k);
    logic [Nodes*Bits-1:0] sum;

    if (k == 0) begin : g_leaves
      assign sum = x_i;
    end else begin : g_nodes
      localparam int unsigned Half = Span / 2;
      localparam int unsigned Below = (COUNT + Half - 1) / Half;
      localparam int unsigned Tail = COUNT - (Below - 1) * Half;  // elements of the last node below
      localparam int unsigned Shift = SHIFT * Half;
      localparam int unsigned High = Bits - Shift;
      localparam int unsigned BitsBelow = width(k - 1);
      // Kept: Yosys would fuse additions that no register separates into larger carry-save adders.
      (* keep *) logic [Nodes*Bits-1:0] sum_d;
      logic [Below*BitsBelow-1:0] below;
      assign below = g_level[k-1].sum;

      for (genvar j = 0; j < Nodes; j++) begin : g_node
        // The last node below holds the negative element: still to be subtracted if alone, else already signed.
        localparam bit Negative = NEGATE != 0 && 2 * j + 2 >= Below;
        if (2 * j + 1 < Below) begin : g_add
          localparam bit HighSigned = SIGNED != 0 || (Negative && Tail > 1);
          logic [High-1:0] low, high;
          if (SIGNED != 0) begin : g_low_signed
            assign low = High'(signed'(below[2*j*BitsBelow+:BitsBelow]) >>> Shift);
          end else begin : g_low
            assign low = High'(below[2*j*BitsBelow+:BitsBelow] >> Shift);
          end
          if (HighSigned) begin : g_high_signed
            assign high = High'(signed'(below[(2*j+1)*BitsBelow+:BitsBelow]));
          end else begin : g_high
            assign high = High'(below[(2*j+1)*BitsBelow+:BitsBelow]);
          end
          if (Negative && Tail == 1) begin : g_subtract
            assign sum_d[j*Bits+Shift+:High] = low - high;
          end else begin : g_sum
            assign sum_d[j*Bits+Shift+:High] = low + high;
          end
          if (Shift != 0) begin : g_pass
            assign sum_d[j*Bits+:Shift] = below[2*j*BitsBelow+:Shift];
          end
        end else if (SIGNED != 0 || (Negative && Tail > 1)) begin : g_odd_signed
          assign sum_d[j*Bits+:Bits] = Bits'(signed'(below[2*j*BitsBelow+:BitsBelow]));
        end else begin : g_odd
          assign sum_d[j*Bits+:Bits] = Bits'(below[2*j*BitsBelow+:BitsBelow]);
        end
      end

      if (((REGISTERS >> (k - 1)) & 1) != 0) begin : g_register
        always_ff @(posedge clk_i) sum <= sum_d;
      end else begin : g_wire
        assign sum = sum_d;
      end
    end
  end

  assign sum_o = g_level[Levels].sum;

  logic unused_clk;
  assign unused_clk = clk_i;  // without registers
endmodule
