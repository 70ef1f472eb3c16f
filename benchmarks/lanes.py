"""Lanes of a product: SIMD weights and activations in, their dot product, an accumulator. What area_per_mac counts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from intaglio.hardware.emit import library_sources
from intaglio.hardware.rtl import Rtl, StreamSpec

Ints = NDArray[np.int64]
BEATS = 5  # of a row, when a lane is simulated

_LANE = """// The accumulator restarts behind the last beat of a row: its synchronous reset then, so without logic.
module lane (
  input  logic clk_i,
  input  logic add_i,
  input  logic restart_i,
  input  logic [{simd}-1:0][{a_bits}-1:0] a_i,
  input  logic [{simd}-1:0][{w_bits}-1:0] w_i,
  output logic [{acc}-1:0] sum_o
);
  logic [{simd}-1:0][{code_bits}-1:0] codes;
  logic [{dot_bits}-1:0] dot;
  logic [{acc}-1:0] acc_q, next;
  for (genvar s = 0; s < {simd}; s++) begin : g_code
    assign codes[s] = {code};
  end
  {module} #(.SIMD({simd}), .A_BITS({a_bits}){parameters}) u_dot (
    .clk_i(clk_i), .a_i(a_i), .w_i(codes), .sum_o(dot)
  );
  assign next = acc_q + {acc}'(signed'(dot));
  always_ff @(posedge clk_i) begin
    if (restart_i) acc_q <= '0;
    else if (add_i) acc_q <= next;
    sum_o <= next;
  end
endmodule
"""

_STREAM = """// A lane between registers, as a stream: {{weights, activations}} in, one sum per row out.
module stream (
  input  logic clk_i, input logic rst_ni,
  input  logic valid_i, output logic ready_o, input logic [{inputs}-1:0] data_i, input logic last_i,
  output logic valid_o, input logic ready_i, output logic [{acc}-1:0] data_o, output logic last_o
);
  logic [{latency}:0] valid_q, last_q;
  logic [{inputs}-1:0] data_q;
  always_ff @(posedge clk_i) begin
    data_q  <= data_i;
    last_q  <= {{last_q[{latency}-1:0], valid_i && last_i}};
    valid_q <= rst_ni ? {{valid_q[{latency}-1:0], valid_i}} : '0;
    valid_o <= rst_ni && last_q[{latency}];
  end
  assign ready_o = 1'b1;
  assign last_o = 1'b1;
  lane u_lane (
    .clk_i(clk_i), .add_i(valid_q[{latency}]), .restart_i(last_q[{latency}] || !rst_ni),
    .a_i(data_q[{simd}*{a_bits}-1:0]), .w_i(data_q[{inputs}-1:{simd}*{a_bits}]), .sum_o(data_o)
  );
endmodule
"""


@dataclass(frozen=True)
class Lane:
    """A lane. a_bits, w_bits: of one activation and weight as they come in.

    module, parameters: the dot product, and its parameters besides SIMD and A_BITS. kind: of the weights (`fixed`,
    `binary`, `ternary`, `log`); log_activations: they are powers of two and zero. zero: whether a log weight has a
    mantissa bit, 0 for zero. grow: bits of a product beyond those of the activation.
    """

    name: str
    module: str
    simd: int
    a_bits: int
    w_bits: int
    kind: str
    parameters: str = ""
    grow: int = 0
    zero: bool = True
    log_activations: bool = False

    @property
    def acc(self) -> int:
        """Bits of the accumulator: a product's, 5, and clog2(SIMD): 2b + 8 for b bits and 8 lanes."""
        return self.a_bits + self.grow + 5 + (self.simd - 1).bit_length()

    @property
    def latency(self) -> int:
        """Cycles of the dot product."""
        return 1 + -(-(self.simd - 1).bit_length() // 2) + (self.module == "ig_dot_shift")

    @property
    def dot_bits(self) -> int:
        """Bits of its sum."""
        depth = (self.simd - 1).bit_length()
        if self.kind == "log":
            exponents = 14 if self.log_activations else 7
            return self.a_bits + self.w_bits + (not self.zero) + exponents + depth
        return self.a_bits + (max(self.w_bits, 2) if self.kind == "fixed" else 1) + depth

    def text(self) -> str:
        """SystemVerilog of `lane` and `stream`."""
        code = "w_i[s]" if self.zero else "{w_i[s], 1'b1}"
        values = {
            "simd": self.simd, "a_bits": self.a_bits, "w_bits": self.w_bits, "acc": self.acc, "code": code,
            "code_bits": self.w_bits + (not self.zero), "dot_bits": self.dot_bits, "module": self.module,
            "parameters": self.parameters, "latency": self.latency, "inputs": self.simd * (self.a_bits + self.w_bits),
        }  # fmt: skip
        return _LANE.format(**values) + _STREAM.format(**values)

    def rtl(self, directory: Path, top: str) -> Rtl:
        """The files with `lane` or `stream` on top."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "lane.sv"
        path.write_text(text := self.text())
        inputs = StreamSpec(self.simd * (self.a_bits + self.w_bits), 1, False, BEATS)
        return Rtl(directory, top, (*library_sources(text), path), inputs, StreamSpec(1, self.acc, True, 1))

    def beats(self, rows: int) -> tuple[Ints, Ints]:
        """Codes of activations and weights (rows, BEATS, SIMD): the extremes, then random ones."""
        generator = np.random.default_rng(1)
        shape = (rows, BEATS, self.simd)
        a, w = (generator.integers(0, 1 << bits, shape) for bits in (self.a_bits, self.w_bits))
        for row in range(16):
            a[row], w[row] = (
                [0, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1][row >> shift & 3]
                for bits, shift in ((self.a_bits, 0), (self.w_bits, 2))
            )
        if self.kind == "ternary":
            w[w == 2] = 0
        return a, w

    def sums(self, a: Ints, w: Ints) -> Ints:
        """(rows,): what comes out for these codes."""
        if self.kind == "fixed":
            product = a * (w - (w >> (self.w_bits - 1) << self.w_bits))
        elif self.kind == "log":
            product = self._shifted(a, w)
        else:
            other = (1 << self.a_bits) - 1 - a
            product = np.where(w == 1, a, other if self.kind == "binary" else np.where(w == 3, other, 0))
        return product.sum(axis=(1, 2))

    def _shifted(self, a: Ints, w: Ints) -> Ints:
        if self.log_activations:
            a = (a & 1) << (a >> 1)
        magnitude = w >> self.zero
        negative = magnitude >> 3 & 1
        product = np.where(w & 1 if self.zero else 1, a << (magnitude & 7), 0)
        return np.where(negative & (w & 1 if self.zero else 1), -product - 1, product)


def fixed(simd: int, w_bits: int, a_bits: int) -> Lane:
    """Two's complement weights."""
    name = f"{w_bits} b" if w_bits == a_bits else f"W{w_bits}A{a_bits}"
    return Lane(name, "ig_dot", simd, a_bits, w_bits, "fixed", f", .W_BITS({w_bits})", grow=w_bits)


def binary(simd: int, a_bits: int) -> Lane:
    """Weights of one bit."""
    return Lane("1 b" if a_bits == 1 else f"W1A{a_bits}", "ig_dot_binary", simd, a_bits, 1, "binary", grow=1)


def ternary(simd: int, a_bits: int) -> Lane:
    """Weights -1, 0, 1."""
    return Lane(f"ternary A{a_bits}", "ig_dot_ternary", simd, a_bits, 2, "ternary", grow=1)


def logarithmic(simd: int, a_bits: int, *, zero: bool = False, log_activations: bool = False) -> Lane:
    """Weights +-2^e of a sign and three bits of e, with a fifth bit if zero is one of them."""
    parameters = f", .W_BITS(5), .W_EXP_BITS(3){', .A_EXP_BITS(3)' if log_activations else ''}"
    name = f"log W{4 + zero}{' and zero' if zero else ''} {'log A' if log_activations else 'A'}{a_bits}"
    grow = 8 + (7 - 3 if log_activations else 0)
    return Lane(name, "ig_dot_shift", simd, a_bits, 4 + zero, "log", parameters, grow, zero, log_activations)
