"""Several streams become one: sums beat by beat (`ig_add`), channels one after the other (`ig_concat`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np

from intaglio.hardware.actors import Actor, Join, Link
from intaglio.hardware.carving import Carving, carve_node
from intaglio.hardware.memory import signed_bits
from intaglio.hardware.stage import Issuer, Parameters
from intaglio.hardware.streams import Wire
from intaglio.ir import ops
from intaglio.ir.errors import DesignError

NAMES = "ab"


@dataclass(frozen=True)
class AddIssuer(Issuer):
    """`m0 * a + m1 * b` of two streams."""

    sources: tuple[Wire, ...]
    multipliers: tuple[int, ...]
    out_bits: int

    keeps_order = True
    passes_end = False

    @property
    def module(self) -> str:
        return "ig_add"

    @property
    def latency(self) -> int:
        return 1

    @property
    def out(self) -> Wire:
        return Wire(self.sources[0].lanes, self.out_bits, signed=True)

    def actors(self, inputs: Sequence[Link], out: Link, depth: int, latency: int) -> tuple[Actor, ...]:
        return (Join(None, depth, latency, inputs, out),)

    def parameters(self) -> Parameters:
        return _parameters(self.sources, self.multipliers) | {"OUT_BITS": self.out_bits}


@dataclass(frozen=True)
class ConcatIssuer(Issuer):
    """Streams pixel by pixel: `words` of the first, then those of the others, each times its multiplier."""

    sources: tuple[Wire, ...]
    words: tuple[int, ...]
    multipliers: tuple[int, ...]
    result: Wire

    passes_end = False

    @property
    def module(self) -> str:
        return "ig_concat"

    @property
    def latency(self) -> int:
        return 1

    @property
    def out(self) -> Wire:
        return self.result

    def actors(self, inputs: Sequence[Link], out: Link, depth: int, latency: int) -> tuple[Actor, ...]:
        return (Join(self.words, depth, latency, inputs, out),)

    def parameters(self) -> Parameters:
        words: Parameters = {
            f"{name.upper()}_WORDS": count for name, count in zip(NAMES, self.words, strict=True)
        }
        ends: Parameters = {"OUT_BITS": self.result.bits, "OUT_SIGNED": int(self.result.signed)}
        return _parameters(self.sources, self.multipliers) | words | ends


def _parameters(sources: Sequence[Wire], multipliers: Sequence[int]) -> Parameters:
    found: Parameters = {"LANES": sources[0].lanes}
    for name, wire, multiplier in zip(NAMES.upper(), sources, multipliers, strict=True):
        found |= {f"{name}_BITS": wire.bits, f"{name}_SIGNED": int(wire.signed), f"{name}_MULTIPLIER": multiplier}
    return found


@carve_node.register(ops.Add)
def _(op: ops.Add, carving: Carving, index: int) -> None:
    node = carving.node(index)
    a = carving.take(index)
    b = carving.take(index, carving.wiring.wire(a).lanes, which=1)
    if not np.array_equal(a.order, b.order):
        raise DesignError(f"{node.name}: its two inputs stream their values in different orders")
    wires = tuple(carving.wiring.wire(route) for route in (a, b))
    issuer = AddIssuer(wires, tuple(int(m) for m in op.multipliers), signed_bits(*node.type.range))
    carving.finish(index, issuer, [], [a, b])


@carve_node.register(ops.Concat)
def _(op: ops.Concat, carving: Carving, index: int) -> None:
    node, sources = carving.node(index), carving.sources(index)
    if len(sources) != 2:
        raise DesignError(f"{node.name}: concatenates {len(sources)} tensors; the unit joins two, so nest them")
    channels = [source.type.shape[0] for source in sources]
    first = carving.wiring.wire(carving.wiring.peek(node.inputs[0]))
    lanes = gcd(first.lanes, *channels)
    routes = [carving.take(index, lanes, which) for which in range(2)]
    vector = len(sources[0].type.shape) == 1
    if vector and not all(np.array_equal(route.order, np.arange(route.order.size)) for route in routes):
        raise DesignError(f"{node.name}: concatenates flattened images; concatenate before flattening")
    wires = tuple(carving.wiring.wire(route) for route in routes)
    words, multipliers = tuple(c // lanes for c in channels), tuple(int(m) for m in op.multipliers)
    issuer = ConcatIssuer(wires, words, multipliers, Wire(lanes, node.type.bits, node.type.signed))
    carving.finish(index, issuer, [], routes)
