// Sum of lanes in the carry cells of ECP5: sum_o = sum over s of lane[s] + OFFSET, modulo 2^SumBits, where lane[s] is
//   x[s] & y[s]       with GATE,
//   x[s] ^ y[s]       without, or, with COMPLEMENT, 2^BITS - 1 - (x[s] ^ y[s]).
// Bit by bit: y[s] has BITS bits, too.
//
// Latency: the number of ones in the low clog2(SIMD) bits of REGISTERS. No handshake, no reset.
//
// Half a CCU2C adds p(A, B) + q(C, D) + carry. One table serves all of them, p and q both AND or XOR, so that choosing
// a lane takes no logic; a sum enters with the constant that lets it pass, or, after COMPLEMENT, that inverts it.
//
// Many additions share a chain. Between two of them stands one half with equal operands p = q: its sum is the carry
// out of the addition before, its carry the bit p, whatever came in. So every addition takes one bit more for nothing,
// and the tree is built to use that: it adds the first half of the lanes pairwise, and these bits are the lowest ones
// of the other lanes; what is left of those is summed likewise (depth 1, from bit 1 on), and so on, and joined in the
// end:
//
//   lanes 0..3   depth 0: (0 + 1) + (2 + 3), carries in: bit 0 of lanes 4, 5, 6 ---+-- sum   (SIMD = 8)
//   lanes 4, 5   depth 1: (4 + 5), carry in: bit 1 of lane 6   ----------+---------/   joined with bit 0 of lane 7
//   lane 6       depth 2: --------------------+--------------------------/             with bit 1 of lane 7
//   lane 7       depth 3: -------------------/                                         with bit 2 of lane 7
module ig_chains #(
  parameter int unsigned SIMD = 8,        // lanes
  parameter int unsigned BITS = 8,        // bits of a lane
  parameter int unsigned GATE = 1,
  parameter int unsigned COMPLEMENT = 0,  // without GATE
  parameter logic [BITS+$clog2(SIMD)-1:0] OFFSET = '0,
  parameter int unsigned REGISTERS = 0,   // bit l: a register behind level l of the adder tree
  localparam int unsigned SumBits = BITS + $clog2(SIMD)
) (
  input  logic                      clk_i,
  input  logic [SIMD-1:0][BITS-1:0] x_i,
  input  logic [SIMD-1:0][BITS-1:0] y_i,
  output logic [SumBits-1:0]        sum_o
);
  localparam int unsigned Levels = $clog2(SIMD);
  localparam int unsigned Depths = BITS < $clog2(SIMD + 1) ? BITS : $clog2(SIMD + 1);
  localparam bit [15:0] Table = GATE != 0 ? 16'h7888 : 16'h6996;
  localparam bit Pass = GATE != 0;  // p(x, Pass) = x
  // Halves of the longest chain. Each begins and ends with an extra half; but timing analysis does not see that carries
  // stop on the way, and counts almost 0.1 ns for every cell.
  localparam int unsigned Chain = SumBits > 46 ? SumBits / 2 * 2 + 4 : 48;
  // With COMPLEMENT the addition that joins all lanes inverts its operands, if there is one.
  localparam bit Turned = COMPLEMENT != 0 && SIMD > 1 && (SIMD % 2 == 0 || BITS > 1);

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
        columns = BITS - d + level;
        if (1 << level >= pairs) begin
          // Of an odd number of rows all lowest bits are carries: it begins at the next bit, if there is one.
          count = 32'(1 << level < 2 * pairs && rows > 1 && (rows % 2 == 0 || d + 1 < BITS));
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

  // Lanes, as late as level l sees them: bit i of lane s is p(x[s * BITS + i], y[s * BITS + i]).
  for (genvar l = 0; l <= Levels; l++) begin : g_late
    logic [SIMD*BITS-1:0] x, y;
    if (l == 0) begin : g_now
      assign {x, y} = {x_i, y_i};
    end else if (((REGISTERS >> (l - 1)) & 1) != 0) begin : g_register
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
    localparam bit Joined = Rows > 1 && (Rows % 2 == 0 || Depth + 1 < BITS);
    localparam int unsigned Bits = BITS - Depth;

    for (genvar h = 0; h <= Levels; h++) begin : g_height
      localparam int unsigned Span = 1 << h;
      localparam int unsigned Nodes = h > Top ? 1 : (Pairs + Span - 1) / Span;
      localparam int unsigned Width = Bits + h;
      localparam int unsigned Stride = h == 0 ? BITS : Width;  // lanes keep all of their bits
      logic [Nodes*Stride-1:0] x, y;

      if (h == 0) begin : g_leaves
        assign x = g_late[0].x[Base*BITS+:Nodes*BITS];
        assign y = g_late[0].y[Base*BITS+:Nodes*BITS];
      end else begin : g_nodes
        localparam int unsigned Level = h - 1;
        localparam int unsigned Below = Width - 1;  // bits and number of the nodes that are added
        localparam int unsigned NodesBelow = Level > Top ? 1 : (Pairs + Span / 2 - 1) / (Span / 2);
        localparam int unsigned Step = h == 1 ? BITS : Below;
        localparam bit Join = Joined && Level == Top;
        localparam int unsigned Additions = Join ? 1 : NodesBelow / 2;
        localparam int unsigned Number = Base + Pairs - NodesBelow;  // of the first addition
        logic [NodesBelow*Step-1:0] below_x, below_y;
        logic [Nodes*Width-1:0] x_d, y_d;
        assign {below_x, below_y} = {g_height[Level].x, g_height[Level].y};

        if (Join) begin : g_join
          localparam bit Turn = Depth == 0 && Turned;
          localparam int unsigned Start = 32'(Layout[32*Number+:16]);
          localparam int unsigned Length = 32'(Layout[32*Number+16+:16]);
          logic [Below-1:0] left_x, left_y, deep_x, deep_y;
          assign left_x = below_x[Step-1-:Below];
          assign left_y = below_y[Step-1-:Below] ^ {Below{Turn}};
          if (i == 0) begin : g_nothing
            assign {deep_x, deep_y} = '0;
          end else begin : g_deeper
            localparam int unsigned High = (Level == 0 ? BITS : Below - 1) - 1;
            assign deep_x = {1'b0, g_depth[i-1].g_height[Level].x[High-:Below-1]};
            assign deep_y = {
              1'b0, g_depth[i-1].g_height[Level].y[High-:Below-1] ^ {(Below - 1) {Turn}}
            };
          end
          if (Rows % 2 == 0) begin : g_even
            localparam int unsigned Lowest = (SIMD - 1) * BITS + Depth;
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
            localparam int unsigned Lowest = (Pairs + Number + k) * BITS + Depth;
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

        if (((REGISTERS >> Level) & 1) != 0) begin : g_register
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

  // SIMD * (2^BITS - 1) - sum is what COMPLEMENT asks for. An inverted operand is 2^bits - 1 less itself.
  localparam int unsigned LeftBits = BITS + (Levels == 0 ? 0 : Levels - 1);
  localparam logic [SumBits-1:0] One = SumBits'(1);
  localparam logic [SumBits-1:0] Wanted = SumBits'(SIMD) * ((One << BITS) - One);
  localparam logic [SumBits-1:0] Inverted =
      (One << LeftBits) - One + (Depths > 1 ? (One << LeftBits) - One - One : '0) +
      SumBits'(SIMD % 2 == 0);
  localparam logic [SumBits-1:0] Constant =
      OFFSET + (COMPLEMENT == 0 ? '0 : Wanted - (Turned ? Inverted : -One));

  logic [SumBits-1:0] x, y, sum;
  assign x = g_depth[Depths-1].g_height[Levels].x;
  assign y = g_depth[Depths-1].g_height[Levels].y ^ {SumBits{COMPLEMENT != 0 && !Turned}};
  assign sum = GATE != 0 ? x & y : x ^ y;
  if (Constant == SumBits'(0)) begin : g_exact
    assign sum_o = sum;
  end else if (Constant == One << (SumBits - 1)) begin : g_highest
    assign sum_o = sum ^ Constant;
  end else begin : g_constant
    assign sum_o = sum + Constant;
  end
endmodule
