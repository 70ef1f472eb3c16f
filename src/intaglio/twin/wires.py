"""What is known of the values between modules: how large they get, and of which unit they are whole multiples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import singledispatch

import numpy as np
from torch import nn

from intaglio.ir.affine import unit
from intaglio.twin.grid import OFFSET_GRID
from intaglio.twin.modules import Add, Affine, SumPool
from intaglio.twin.quantizers import ActivationQuantizer

INSIDE_BITS = 20
"""Biases inside a network lie on a grid of this many bits of the largest sum: a quantiser rounds far coarser."""

OUTPUT_BITS = 14
"""At the outputs a finer grid would widen every output; it is never coarser than the unit of the sums."""


@dataclass(frozen=True)
class TwinWire:
    """Values of magnitude at most `bound`, whole multiples of `unit` (None: not known)."""

    bound: float
    unit: Fraction | None = None


@singledispatch
def wire(module: nn.Module | None, *inputs: TwinWire) -> TwinWire:
    """What a module gives for such inputs; by default the widest of them. A method registers what it adds."""
    del module
    units = {x.unit for x in inputs}
    return TwinWire(max((x.bound for x in inputs), default=math.inf), units.pop() if len(units) == 1 else None)


@wire.register
def _quantizer(module: ActivationQuantizer, *inputs: TwinWire) -> TwinWire:
    del inputs
    return TwinWire(float(max(-module.low, module.high) * module.scale), module.scale)


@wire.register
def _add(module: Add, *inputs: TwinWire) -> TwinWire:
    del module
    return TwinWire(sum(x.bound for x in inputs))


@wire.register
def _affine(module: Affine, x: TwinWire) -> TwinWire:
    return TwinWire(float((module.gain.abs() * x.bound + module.offset.abs()).max()))


@wire.register
def _sum_pool(module: SumPool, x: TwinWire) -> TwinWire:
    del module
    return TwinWire(2 * x.bound)  # the factor rounds 1/size by at most 2**-12


def inside_grid(bound: float) -> Fraction:
    """The grid of biases whose sums reach `bound` inside a network: relative, so that units do not matter."""
    if not 0 < bound < math.inf:
        return OFFSET_GRID
    return Fraction(2) ** (math.frexp(bound)[1] - INSIDE_BITS)


def output_grid(bound: float, x: TwinWire, scales: Sequence[Fraction]) -> Fraction:
    """The grid of biases at the outputs: the unit of the sums, halved until it is fine beside what they reach."""
    if x.unit is None or not 0 < bound < math.inf:
        return inside_grid(bound)
    grid = unit([x.unit * scale for scale in scales])
    needed = math.ceil(math.log2(float(grid)) - math.log2(bound) + OUTPUT_BITS)
    return grid / 2 ** max(0, needed)


def on_grid(values: np.ndarray, grid: Fraction) -> np.ndarray:
    """Values rounded half up to whole multiples of `grid`; those that float64 cannot shift stay as they are."""
    whole = np.floor(values / float(grid) + 0.5)
    return np.where(np.abs(whole) < 2.0**52, whole * float(grid), values)
