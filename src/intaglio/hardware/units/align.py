"""Shared exponents of blocks of lanes (`ig_align`): a unit of its own, or a part of the product behind it."""

from dataclasses import dataclass

import numpy as np

from intaglio.hardware.carving import Carving, carve_node
from intaglio.hardware.plan import Fold
from intaglio.hardware.stage import Parameters, Stage
from intaglio.hardware.streams import Wire
from intaglio.hardware.units.gate import GateIssuer
from intaglio.hardware.wiring import Route
from intaglio.ir.errors import DesignError
from intaglio.ir.ops import Align, Conv2d, MatMul, Reshape


@dataclass(frozen=True)
class AlignStage(Stage):
    """Whole values, or the mantissas of one block with its exponent above them.

    `mantissa` counts the sign.  `shift_bits`: of the exponent; 0 for whole values.
    """

    source: Wire
    block: int
    mantissa: int
    shift_bits: int = 0

    passes_end = True

    @property
    def module(self) -> str:
        return "ig_align"

    @property
    def latency(self) -> int:
        """One cycle more to shift the mantissas back."""
        return 4 if self.shift_bits else 5

    @property
    def out(self) -> Wire:
        wire = self.source
        return Wire(wire.lanes, self.mantissa if self.shift_bits else wire.bits, wire.signed)

    @property
    def beside(self) -> int:
        return self.shift_bits

    def parameters(self) -> Parameters:
        wire = self.source
        return {
            "LANES": wire.lanes, "IN_BITS": wire.bits, "IN_SIGNED": int(wire.signed), "BLOCK": self.block,
            "MANTISSA": self.mantissa, "FULL": int(not self.shift_bits), "SHIFT_BITS": max(self.shift_bits, 1),
        }  # fmt: skip


def mantissas(op: Align, wire: Wire) -> AlignStage:
    """The alignment in front of a product, whose block is a beat."""
    mantissa = op.mantissa + wire.signed
    return AlignStage(wire, wire.lanes, mantissa, (wire.bits - mantissa).bit_length())


@carve_node.register(Align)
def _(op: Align, carving: Carving, index: int) -> None:
    node = carving.node(index)
    waiting = carving.wiring.peek(node.inputs[0])
    have = carving.wiring.wire(waiting)
    blocks = np.sort(waiting.order.reshape(-1, op.block), axis=1)
    if len(node.type.shape) == 1 and ((np.diff(blocks, axis=1) != 1).any() or (blocks[:, 0] % op.block).any()):
        raise DesignError(f"{node.name}: aligns a flattened image, which streams pixel by pixel: align before it")
    if _read_by_blocks(carving, index, op) and have.bits > op.mantissa + have.signed:
        route = carving.take(index)
        carving.offer(index, Route(route.stream, route.order, align=op))
        return
    route = carving.take(index, have.lanes if have.lanes % op.block == 0 else op.block)
    wire = carving.wiring.wire(route)
    carving.finish(index, GateIssuer(wire), [AlignStage(wire, op.block, op.mantissa + wire.signed)], [route])


def _read_by_blocks(carving: Carving, index: int, op: Align) -> bool:
    """Whether one product alone reads the blocks, one per beat; zeros of its padding are blocks, too."""
    graph, node = carving.graph, carving.node(index)
    while carving.uses(index) == 1 and index not in graph.outputs:
        (index,) = graph.users(index)
        node = carving.node(index)
        if not isinstance(node.op, Reshape):
            break
    if not isinstance(node.op, MatMul | Conv2d):
        return False
    padded = isinstance(node.op, Conv2d) and any(node.op.padding) and node.op.pad_value != 0
    return not padded and carving.folding.get(node.name, Fold()).simd == op.block
