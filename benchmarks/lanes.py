"""Lanes of a product: SIMD weights and activations in, their dot product, an accumulator. What area_per_mac counts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from intaglio.hardware.emit import LIBRARY, library_sources
from intaglio.hardware.rtl import Rtl, StreamSpec

Ints = NDArray[np.int64]
OWN, ECP5 = Path(__file__).parent / "rtl", LIBRARY / "ecp5"
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
    .clk_i(clk_i), {ports}
  );
  assign next = acc_q + {acc}'(signed'(dot));
  always_ff @(posedge clk_i) begin
    if (restart_i) acc_q <= '0;
    else if (add_i) acc_q <= next;
    sum_o <= next;
  end
endmodule
"""

# Of the library's stages: what says which pulse is which is not counted.
_PULSES = (
    ".rst_ni(1'b1), .valid_i(1'b1), .data_i({codes, a_i}), .end_i(1'b0), .last_i(1'b0), "
    ".valid_o(), .data_o(dot), .end_o(), .last_o()"
)

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

    module, parameters: the dot product, and its parameters besides SIMD and A_BITS; `lane_*` are in benchmarks/rtl,
    for ECP5 only. kind: of the weights (`fixed`, `binary`, `ternary`, `log`). grow: bits of a product beyond those of
    the activation. zero: whether a log weight has a mantissa bit, 0 for zero. w_exp, a_exp: bits of their exponents
    (activations: and one that says nonzero). steps: exponents of a log weight by its lowest two bits, 3 is zero if
    that is less than four. rival: the lane of fixed-point numbers with as many bits.
    """

    name: str
    module: str
    simd: int
    a_bits: int
    w_bits: int
    kind: str
    parameters: str = ""
    grow: int = 0
    zero: bool = False
    w_exp: int = 0
    a_exp: int = 0
    steps: int = 4
    rival: str = ""

    @property
    def forms(self) -> tuple[bool, ...]:
        """True: of cells of ECP5; False: portable."""
        return (True, False) if self.module.startswith("ig_") else (True,)

    @property
    def acc(self) -> int:
        """Bits of the accumulator: a product's, 5, and clog2(SIMD): 2b + 8 for b bits and 8 lanes."""
        return self.a_bits + self.grow + 5 + (self.simd - 1).bit_length()

    @property
    def latency(self) -> int:
        """Cycles of the dot product."""
        before = {"ig_dot_shift": 2, "lane_places": 2, "lane_copies": 3}.get(self.module, 1)
        return before + -(-(self.simd - 1).bit_length() // 2)

    @property
    def code_bits(self) -> int:
        """Bits of a weight's code: the library's powers of two have a mantissa."""
        return self.w_bits + (self.module == "ig_dot_shift" and self.kind == "log" and not self.zero)

    @property
    def dot_bits(self) -> int:
        """Bits of its sum."""
        depth = (self.simd - 1).bit_length()
        if self.module == "ig_dot_shift":
            exponents = sum((1 << bits) - 1 for bits in (self.w_exp, self.a_exp) if bits)
            return self.a_bits + self.code_bits + exponents + depth
        return self.a_bits + self.grow + depth

    def text(self) -> str:
        """SystemVerilog of `lane` and `stream`."""
        values = {
            "simd": self.simd, "a_bits": self.a_bits, "w_bits": self.w_bits, "acc": self.acc,
            "code": "w_i[s]" if self.code_bits == self.w_bits else "{w_i[s], 1'b1}", "code_bits": self.code_bits,
            "dot_bits": self.dot_bits, "module": self.module, "parameters": self.parameters,
            "latency": self.latency, "inputs": self.simd * (self.a_bits + self.w_bits),
            "ports": _PULSES if self.module.startswith("ig_") else ".a_i(a_i), .w_i(codes), .sum_o(dot)",
        }  # fmt: skip
        return _LANE.format(**values) + _STREAM.format(**values)

    def rtl(self, directory: Path, top: str) -> Rtl:
        """The files with `lane` or `stream` on top."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "lane.sv"
        path.write_text(text := self.text())
        own = (ECP5 / "ig_chains.sv", OWN / "lane_gate.sv", OWN / f"{self.module}.sv")
        sources = library_sources(text) if False in self.forms else own
        inputs = StreamSpec(self.simd * (self.a_bits + self.w_bits), 1, False, BEATS)
        return Rtl(directory, top, (*sources, path), (inputs,), (StreamSpec(1, self.acc, True, 1),))

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
        if self.a_exp:
            a = (a & 1) << (a >> 1)
        if self.kind == "fixed":
            product = a * (w - (w >> (self.w_bits - 1) << self.w_bits))
        elif self.kind == "log":
            product = self._shifted(a, w)
        else:
            other = (1 << self.a_bits) - 1 - a
            product = np.where(w == 1, a, other if self.kind == "binary" else np.where(w == 3, other, 0))
        return product.sum(axis=(1, 2))

    def _shifted(self, a: Ints, w: Ints) -> Ints:
        code, there = w >> self.zero, w & 1 if self.zero else np.ones_like(w)
        exponent = (code >> 2 & (1 << self.w_exp) // 4 - 1) * self.steps + (code & min(3, (1 << self.w_exp) - 1))
        magnitude = np.where(self.steps == 3 and code & 3 == 3, 0, a << exponent)
        return there * np.where(code >> self.w_exp & 1, -magnitude - 1, magnitude)


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


def logarithmic(simd: int, a_bits: int, *, exp: int = 3, zero: bool = False, log_activations: bool = False) -> Lane:
    """Weights +-2^e of a sign and `exp` bits of e, with one bit more if zero is one of them."""
    bits = 1 + exp + zero
    name = f"log W{bits}{' and zero' if zero else ''} {'log A' if log_activations else 'A'}{a_bits}"
    parameters = f", .W_BITS({2 + exp}), .W_EXP_BITS({exp}){', .A_EXP_BITS(3)' if log_activations else ''}"
    grow = (1 << exp) + (7 - 3 if log_activations else 0)
    rival = "4 b" if a_bits == 4 and bits == 4 else f"W{bits}A{a_bits}"
    return Lane(name, "ig_dot_shift", simd, a_bits, bits, "log", parameters, grow, zero, exp,
                3 * log_activations, rival=rival)  # fmt: skip


def log_activations(simd: int, w_bits: int, *, copies: bool = False) -> Lane:
    """Two's complement weights, activations 0 or 2^e, e from 0 to 7."""
    name, module = f"W{w_bits} log A4", "ig_dot_shift"
    parameters = f", .W_BITS({w_bits}), .W_EXP_BITS(0), .A_EXP_BITS(3)"
    if copies:
        name, module, parameters = f"{name}, copies", "lane_copies", f", .W_BITS({w_bits}), .LOG_A(1)"
    rival = "4 b" if w_bits == 4 else f"W{w_bits}A4"
    return Lane(name, module, simd, 4, w_bits, "fixed", parameters, w_bits + 3, a_exp=3, rival=rival)


def log_copies(simd: int, steps: int) -> Lane:
    """4-bit weights +-2^e, e below 8 or, with zero, below 6 (`steps` 3), on 8-bit activations."""
    name = "log W4 A8, copies" if steps == 4 else "log W4 of 6 exponents and zero A8, copies"
    parameters = f", .COPIES({steps})"
    return Lane(name, "lane_copies", simd, 8, 4, "log", parameters, 2 * steps, w_exp=3, steps=steps, rival="W4A8")


def log_places(simd: int) -> Lane:
    """Weights and activations of 4 bits are powers of two, a product is a bit at its place."""
    return Lane("log W4 log A4, places", "lane_places", simd, 4, 4, "log", "", 12, w_exp=3, a_exp=3, rival="4 b")
