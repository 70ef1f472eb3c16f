// ig_plane for ECP5: the same sums, with the choice of a lane inside the carry cells.
//
// Half a CCU2C adds p(A, B) + q(C, D) + carry. One table serves all of them: p and q are AND (KIND 0), or XOR (else),
// so that a lane enters as its activation and its weight bit, a sum with the constant that lets it pass.
//
// Many additions share a chain. Between two of them stands one half with equal operands p = q: its sum is the carry
// out of the addition before, its carry the bit p, whatever came in. So every addition takes a bit more for nothing,
// and the tree is built to use that: it adds the first half of the lanes, and the lowest bits of the others are these
// carries; what is left of the others is summed likewise (depth 1, without bit 0), and so on, and joined at the end:
//
//   lanes 0..3   depth 0: (0 + 1) + (2 + 3), carries in: bit 0 of lanes 4, 5, 6 ---+-- sum   (SIMD = 8)
//   lanes 4, 5   depth 1: (4 + 5), carry in: bit 1 of lane 6   ----------+---------/   joined with bit 0 of lane 7
//   lane 6       depth 2: --------------------+--------------------------/             with bit 1 of lane 7
//   lane 7       depth 3: -------------------/                                         with bit 2 of lane 7
//
// Signed activations have their highest bit inverted, and binary lanes are counted inverted until the last addition;
// what that adds is a constant, taken back at the end.
module ig_plane #(
  parameter int unsigned SIMD = 8,       // lanes
  parameter int unsigned A_BITS = 8,     // bits of an activation
  parameter int unsigned A_SIGNED = 0,   // 1: activations are two's complement, 0: unsigned
  parameter int unsigned KIND = 0,       // 0: gate, 1: bipolar, 2: ternary
  parameter int unsigned REGISTERS = 0,  // bit l: a register behind level l of the adder tree
  localparam int unsigned WBits = KIND == 2 ? 2 : 1,
  localparam int unsigned SumBits = A_BITS + $clog2(SIMD)
) (
  input  logic                        clk_i,
  input  logic [SIMD-1:0][A_BITS-1:0] a_i,
  input  logic [SIMD-1:0][WBits-1:0]  w_i,
  output logic [SumBits-1:0]          sum_o  // signed if activations are
);
  localparam int unsigned Levels = $clog2(SIMD);
  localparam int unsigned Depths = A_BITS < $clog2(SIMD + 1) ? A_BITS : $clog2(SIMD + 1);
  localparam bit [15:0] Table = KIND == 0 ? 16'h7888 : 16'h6996;
  localparam bit Pass = KIND == 0;  // p(x, Pass) = x
  // Halves of the longest chain. Each begins and ends with an extra half; but timing analysis does not see that carries
  // stop on the way, and counts almost 0.1 ns for every cell.
  localparam int unsigned Chain = SumBits > 46 ? SumBits / 2 * 2 + 4 : 48;

  // The register that REGISTERS does not name: in front (ternary), else behind the first level without one, else last.
  localparam int unsigned Named = REGISTERS & ((1 << Levels) - 1);
  localparam int unsigned Unnamed = ~Named & ((1 << Levels) - 1);
  localparam int unsigned Behind = KIND == 2 ? Named : Named | (Unnamed & (~Unnamed + 1));
  localparam bit AtEnd = KIND != 2 && Unnamed == 0;

  // Where the additions stand: {halves up to the next one, first half (that with the carry in)}, 16 bits each. Depth d
  // has `rows` lanes, the last ones, and adds the first `pairs` of them pairwise, level by level; on the next level
  // one addition joins the deeper ones. It numbers its additions like the lanes that it adds.
  function automatic logic [32*SIMD+15:0] layout();
    int unsigned half, start, number, rows, pairs, nodes, count, columns;
    layout = '0;
    half = 0;
    start = 0;
    number = SIMD;
    for (int unsigned level = 0; level < Levels; level++) begin
      for (int unsigned d = 0; d < Depths; d++) begin
        rows = SIMD >> d;
        pairs = rows - rows / 2;
        nodes = (pairs + (1 << level) - 1) >> level;
        count = nodes / 2;
        columns = A_BITS - d + level;
        if (1 << level >= pairs) begin
          // Of an odd number of rows all lowest bits are carries: it begins at the next bit, if there is one.
          count = 32'(1 << level < 2 * pairs && rows > 1 && (rows % 2 == 0 || d + 1 < A_BITS));
          columns = columns - rows % 2;
        end
        for (int unsigned k = 0; k < count; k++) begin
          if (half % Chain + columns + 2 > Chain) half = (half / Chain + 1) * Chain;
          if (number < SIMD) layout[32*number+16+:16] = 16'(half - start);
          number = SIMD - rows + pairs - nodes + k;
          start = half;
          layout[32*number+:16] = 16'(start);
          half = half + columns + 1;
        end
      end
    end
    half = half / 2 * 2 + 2;
    if (number < SIMD) layout[32*number+16+:16] = 16'(half - start);
    layout[32*SIMD+:16] = 16'(half);
  endfunction

  localparam logic [32*SIMD+15:0] Layout = layout();
  localparam int unsigned Halves = 32'(Layout[32*SIMD+:16]);

  logic [Halves-1:0] in_a, in_b, in_c, in_d, out;
  logic [Halves/2-1:0] carry, carry_out;
  for (genvar i = 0; i < Halves / 2; i++) begin : g_cell
    CCU2C #(
      .INIT0(Table), .INIT1(Table), .INJECT1_0("NO"), .INJECT1_1("NO")
    ) u_carry (
      .CIN(carry[i]), .COUT(carry_out[i]),
      .A0(in_a[2*i]), .B0(in_b[2*i]), .C0(in_c[2*i]), .D0(in_d[2*i]), .S0(out[2*i]),
      .A1(in_a[2*i+1]), .B1(in_b[2*i+1]), .C1(in_c[2*i+1]), .D1(in_d[2*i+1]), .S1(out[2*i+1])
    );
    if (2 * i % Chain == 0) begin : g_first
      assign carry[i] = 1'b0;
    end else begin : g_next
      assign carry[i] = carry_out[i-1];
    end
  end
  if (SIMD == 1) begin : g_no_addition
    assign {in_a, in_b, in_c, in_d} = '0;
  end

  // Lanes, as late as level l sees them: bit i of lane s is p(x[s * A_BITS + i], y[s * A_BITS + i]).
  for (genvar l = 0; l <= Levels; l++) begin : g_late
    logic [SIMD*A_BITS-1:0] x, y;
    if (l == 0) begin : g_now
      for (genvar s = 0; s < SIMD; s++) begin : g_lane
        logic [A_BITS-1:0] lane_x, lane_y;
        if (KIND == 2) begin : g_ternary
          // Zero is the synchronous reset, active low, of these flip-flops: Yosys would put an inverter there.
          logic negative_q;
          always_ff @(posedge clk_i) negative_q <= w_i[s][1];
          assign lane_y = {A_BITS{negative_q}};
          for (genvar i = 0; i < A_BITS; i++) begin : g_bit
            TRELLIS_FF #(
              .GSR("DISABLED"), .CEMUX("1"), .CLKMUX("CLK"), .LSRMUX("INV"), .REGSET("RESET"),
              .SRMODE("LSR_OVER_CE")
            ) u_gate (
              .CLK(clk_i), .LSR(w_i[s][0]), .DI(a_i[s][i]), .Q(lane_x[i])
            );
          end
        end else begin : g_one
          assign lane_x = a_i[s];
          assign lane_y = {A_BITS{w_i[s]}};
        end
        if (A_SIGNED == 0) begin : g_unsigned
          assign {y[s*A_BITS+:A_BITS], x[s*A_BITS+:A_BITS]} = {lane_y, lane_x};
        end else begin : g_signed
          localparam int unsigned Sign = s * A_BITS + A_BITS - 1;
          if (A_BITS > 1) begin : g_rest
            assign x[s*A_BITS+:A_BITS-1] = lane_x[A_BITS-2:0];
            assign y[s*A_BITS+:A_BITS-1] = lane_y[A_BITS-2:0];
          end
          assign x[Sign] = KIND == 0 ? !(lane_x[A_BITS-1] && lane_y[A_BITS-1]) : !lane_x[A_BITS-1];
          assign y[Sign] = KIND == 0 ? Pass : lane_y[A_BITS-1];
        end
      end
    end else if (((Behind >> (l - 1)) & 1) != 0) begin : g_register
      always_ff @(posedge clk_i) begin
        x <= g_late[l-1].x;
        y <= g_late[l-1].y;
      end
    end else begin : g_wire
      assign x = g_late[l-1].x;
      assign y = g_late[l-1].y;
    end
  end

  // The deepest first. Depth j leaves out the bits below j; its nodes at height h are behind level h - 1.
  for (genvar i = 0; i < Depths; i++) begin : g_depth
    localparam int unsigned Depth = Depths - 1 - i;
    localparam int unsigned Rows = SIMD >> Depth;
    localparam int unsigned Base = SIMD - Rows;
    localparam int unsigned Pairs = Rows - Rows / 2;
    localparam int unsigned Top = $clog2(Pairs);
    localparam bit Joined = Rows > 1 && (Rows % 2 == 0 || Depth + 1 < A_BITS);
    localparam int unsigned Bits = A_BITS - Depth;

    for (genvar h = 0; h <= Levels; h++) begin : g_height
      localparam int unsigned Span = 1 << h;
      localparam int unsigned Nodes = h > Top ? 1 : (Pairs + Span - 1) / Span;
      localparam int unsigned Width = Bits + h;
      localparam int unsigned Stride = h == 0 ? A_BITS : Width;  // lanes keep all of their bits
      logic [Nodes*Stride-1:0] x, y;

      if (h == 0) begin : g_leaves
        assign x = g_late[0].x[Base*A_BITS+:Nodes*A_BITS];
        assign y = g_late[0].y[Base*A_BITS+:Nodes*A_BITS];
      end else begin : g_nodes
        localparam int unsigned Level = h - 1;
        localparam int unsigned Below = Width - 1;  // bits and number of the nodes that are added
        localparam int unsigned NodesBelow = Level > Top ? 1 : (Pairs + Span / 2 - 1) / (Span / 2);
        localparam int unsigned Step = h == 1 ? A_BITS : Below;
        localparam bit Join = Joined && Level == Top;
        localparam int unsigned Additions = Join ? 1 : NodesBelow / 2;
        localparam int unsigned Number = Base + Pairs - NodesBelow;  // of the first addition
        logic [NodesBelow*Step-1:0] below_x, below_y;
        logic [Nodes*Width-1:0] x_d, y_d;
        assign {below_x, below_y} = {g_height[Level].x, g_height[Level].y};

        if (Join) begin : g_join
          localparam bit Turn = Depth == 0 && KIND == 1;  // from now on equal bits are counted
          localparam int unsigned Start = 32'(Layout[32*Number+:16]);
          localparam int unsigned Length = 32'(Layout[32*Number+16+:16]);
          logic [Below-1:0] left_x, left_y, deep_x, deep_y;
          assign left_x = below_x[Step-1-:Below];
          assign left_y = below_y[Step-1-:Below] ^ {Below{Turn}};
          if (i == 0) begin : g_nothing
            assign {deep_x, deep_y} = '0;
          end else begin : g_deeper
            localparam int unsigned High = (Level == 0 ? A_BITS : Below - 1) - 1;
            assign deep_x = {1'b0, g_depth[i-1].g_height[Level].x[High-:Below-1]};
            assign deep_y = {
              1'b0, g_depth[i-1].g_height[Level].y[High-:Below-1] ^ {(Below - 1) {Turn}}
            };
          end
          if (Rows % 2 == 0) begin : g_even
            localparam int unsigned Lowest = (SIMD - 1) * A_BITS + Depth;
            assign in_a[Start+:Length] = Length'({left_x, 1'b0});
            assign in_b[Start+:Length] = Length'({left_y, 1'b0});
            assign in_c[Start+:Length] = Length'({deep_x, g_late[Level].x[Lowest], 1'b0});
            assign in_d[Start+:Length] = Length'({deep_y, g_late[Level].y[Lowest] ^ Turn, 1'b0});
            assign x_d = out[Start+1+:Width];
            assign y_d = {Width{Pass}};
          end else begin : g_odd
            assign in_a[Start+:Length] = Length'({left_x[Below-1:1], 1'b0});
            assign in_b[Start+:Length] = Length'({left_y[Below-1:1], 1'b0});
            assign in_c[Start+:Length] = Length'({deep_x, 1'b0});
            assign in_d[Start+:Length] = Length'({deep_y, 1'b0});
            assign x_d = {out[Start+1+:Below], left_x[0]};
            assign y_d = {{Below{Pass}}, left_y[0]};
          end
        end else begin : g_pairs
          // Each addition takes the lowest bit of one of the lanes behind those of this depth, in turn.
          for (genvar k = 0; k < Additions; k++) begin : g_addition
            localparam int unsigned Start = 32'(Layout[32*(Number+k)+:16]);
            localparam int unsigned Length = 32'(Layout[32*(Number+k)+16+:16]);
            localparam int unsigned Lowest = (Pairs + Number + k) * A_BITS + Depth;
            localparam int unsigned High = (2 * k + 1) * Step - 1;
            logic lowest_x, lowest_y;
            assign {lowest_x, lowest_y} = {g_late[Level].x[Lowest], g_late[Level].y[Lowest]};
            assign in_a[Start+:Length] = Length'({below_x[High-:Below], lowest_x});
            assign in_b[Start+:Length] = Length'({below_y[High-:Below], lowest_y});
            assign in_c[Start+:Length] = Length'({below_x[High+Step-:Below], lowest_x});
            assign in_d[Start+:Length] = Length'({below_y[High+Step-:Below], lowest_y});
            assign x_d[k*Width+:Width] = out[Start+1+:Width];
          end
          if (Additions > 0) begin : g_sums
            assign y_d[Additions*Width-1:0] = {Additions*Width{Pass}};
          end
          if (Nodes > Additions) begin : g_single
            assign x_d[Nodes*Width-1-:Width] = {1'b0, below_x[NodesBelow*Step-1-:Below]};
            assign y_d[Nodes*Width-1-:Width] = {1'b0, below_y[NodesBelow*Step-1-:Below]};
          end
        end

        if (((Behind >> Level) & 1) != 0) begin : g_register
          always_ff @(posedge clk_i) begin
            x <= x_d;
            y <= y_d;
          end
        end else begin : g_wire
          assign {x, y} = {x_d, y_d};
        end
      end
    end
  end

  // The constant that inversions have added: mismatches are counted instead of matches unless the last addition turns
  // them, whose operands it complements, each within its own bits; an inverted sign is 2^(A_BITS - 1) more.
  localparam bit Turned = KIND == 1 && SIMD > 1 && (SIMD % 2 == 0 || A_BITS > 1);
  localparam int unsigned LeftBits = A_BITS + (Levels == 0 ? 0 : Levels - 1);
  localparam int unsigned Complements =
      (1 << LeftBits) - 1 + (Depths > 1 ? (1 << LeftBits) - 2 : 0) + 32'(SIMD % 2 == 0);
  localparam int unsigned Matches =
      KIND != 1 ? 0 : SIMD * ((1 << A_BITS) - 1) - (Turned ? Complements : 32'hFFFF_FFFF);
  localparam logic [SumBits-1:0] Constant =
      SumBits'(Matches - (A_SIGNED != 0 ? SIMD << (A_BITS - 1) : 0));

  logic [SumBits-1:0] result_x, result_y, total, sum;
  assign result_x = g_depth[Depths-1].g_height[Levels].x;
  assign result_y = g_depth[Depths-1].g_height[Levels].y ^ {SumBits{KIND == 1 && !Turned}};
  assign total = KIND == 0 ? result_x & result_y : result_x ^ result_y;
  if (Constant == SumBits'(0)) begin : g_exact
    assign sum = total;
  end else if (Constant == SumBits'(1) << (SumBits - 1)) begin : g_sign
    assign sum = total ^ Constant;
  end else begin : g_constant
    assign sum = total + Constant;
  end
  if (AtEnd) begin : g_last
    always_ff @(posedge clk_i) sum_o <= sum;
  end else begin : g_result
    assign sum_o = sum;
  end
endmodule
