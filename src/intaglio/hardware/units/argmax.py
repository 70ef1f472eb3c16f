"""The index of the largest value (`ig_argmax`)."""

from dataclasses import dataclass

import numpy as np

from intaglio.hardware.carving import Carving, carve_node
from intaglio.hardware.stage import Parameters, Stage
from intaglio.hardware.streams import Wire
from intaglio.hardware.units.gate import GateIssuer
from intaglio.ir.errors import DesignError
from intaglio.ir.ops import ArgMax


@dataclass(frozen=True)
class ArgMaxStage(Stage):
    """Index of the largest of `beats * lanes` values, ties to the lowest."""

    source: Wire
    beats: int
    out_bits: int

    @property
    def module(self) -> str:
        return "ig_argmax"

    @property
    def latency(self) -> int:
        return 2

    @property
    def out(self) -> Wire:
        return Wire(1, self.out_bits, signed=False)

    def parameters(self) -> Parameters:
        wire = self.source
        return {
            "LANES": wire.lanes, "BITS": wire.bits, "SIGNED": int(wire.signed), "BEATS": self.beats,
            "OUT_BITS": self.out_bits,
        }  # fmt: skip


@carve_node.register(ArgMax)
def _(op: ArgMax, carving: Carving, index: int) -> None:
    del op
    node, route = carving.node(index), carving.take(index)
    if not np.array_equal(route.order, np.arange(route.order.size)):
        raise DesignError(f"{node.name}: argmax over an image streams pixels first; flatten through a layer first")
    wire = carving.wiring.wire(route)
    beats = route.order.size // wire.lanes
    carving.finish(index, GateIssuer(wire, beats), [ArgMaxStage(wire, beats, node.type.bits)], [route])
