"""Carving: the nodes of a Graph become units and streams, one after the other, each by the rule of its operation.

`carve_node` is the rule of an operation that begins a unit, `elementwise` of one that is a stage of another's,
`fold_options` says how far one can be folded. The files of `units` register on these, and on the smaller questions at
the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, singledispatch
from math import gcd

import numpy as np

from intaglio.hardware.codes import FloatCode
from intaglio.hardware.memory import IntArray
from intaglio.hardware.plan import Fold, Forced, Plan, biased
from intaglio.hardware.stage import Issuer, Stage
from intaglio.hardware.streams import Wire
from intaglio.hardware.technology.ecp5 import PRICES
from intaglio.hardware.technology.prices import Prices
from intaglio.hardware.unit import Unit
from intaglio.hardware.wiring import Route, Wiring, layout
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Graph
from intaglio.ir.node import Node
from intaglio.ir.op import Op
from intaglio.ir.ops import Input, Requantize, Reshape

Span = tuple[int, int]


@dataclass(frozen=True)
class Values:
    """What a stage takes: a wire, the range of its values, and the IR channel of each in stream order."""

    wire: Wire
    span: Span
    channels: IntArray
    dsp: bool
    spare_luts: bool


@dataclass(frozen=True)
class Option:
    """One Fold of one layer: cycles per frame and LUT4 equivalents, roughly."""

    fold: Fold
    cycles: int
    area: float


@dataclass
class Carving:
    """A Graph on its way to units and streams."""

    graph: Graph
    folding: Mapping[str, Fold] = field(default_factory=dict[str, Fold])
    dsp: bool = True
    spare_luts: bool = False
    forced: Mapping[str, Forced] = field(default_factory=dict[str, Forced])
    prices: Prices = PRICES
    wiring: Wiring = field(default_factory=Wiring)
    plans: dict[str, Plan] = field(default_factory=dict[str, Plan])
    fused: set[int] = field(default_factory=set[int])

    def carve(self) -> tuple[tuple[Route, ...], tuple[Route, ...]]:
        """Carve every node; the routes of what enters and of what leaves, in the Graph's order.

        Raises DesignError where the Graph has no hardware form.
        """
        for what, named in (("folding", self.folding), ("forced plans", self.forced)):
            unknown = sorted(set(named) - {node.name for node in self.graph.nodes})
            if unknown:
                raise DesignError(f"{what} names layers that the graph lacks: {', '.join(unknown)}")
        sources = {i: self.enter(i) for i in self.graph.inputs}
        for index, node in enumerate(self.graph.nodes):
            if index not in sources and index not in self.fused:
                carve_node(node.op, self, index)
        unused = sorted(set(self.forced) - set(self.plans))
        if unused:
            raise DesignError(f"{unused[0]}: has no weights, so that no plan can be forced; leave it out")
        entering = tuple(sources.values())
        return entering, tuple(self._leave(i, {route.stream for route in entering}) for i in self.graph.outputs)

    def _leave(self, index: int, entering: set[int]) -> Route:
        """The route of an output: one that is an input, unchanged, passes a FIFO, so that ready waits for no ready."""
        route = self.wiring.routes[index].pop()
        return self.wiring.buffer(self.node(index).name, route) if route.stream in entering else route

    # -- what rules ask ------------------------------------------------------------------------------------

    def node(self, index: int) -> Node:
        """A node of the Graph."""
        return self.graph.nodes[index]

    def sources(self, index: int) -> list[Node]:
        """The nodes that a node reads."""
        return [self.node(i) for i in self.node(index).inputs]

    def uses(self, index: int) -> int:
        """How often a node is read, the Graph's outputs included."""
        return self._uses[index]

    @cached_property
    def _uses(self) -> list[int]:
        read = [i for node in self.graph.nodes for i in node.inputs] + list(self.graph.outputs)
        return np.bincount(read, minlength=len(self.graph.nodes)).tolist()

    def take(self, index: int, lanes: int | None = None, which: int = 0) -> Route:
        """The route of input `which` of a node, converted to `lanes` lanes (None: as it comes)."""
        node = self.node(index)
        return self.wiring.take(node.inputs[which], lanes, node.name)

    def offer(self, index: int, route: Route) -> None:
        """Hand a node's values on to all who read them."""
        self.wiring.offer(index, self.node(index).name, route, self.uses(index))

    def fold(self, node: Node, simd: int, pe: int) -> Fold:
        """The node's Fold; DesignError unless its lanes divide `simd` inputs and `pe` outputs."""
        fold = self.folding.get(node.name, Fold())
        for name, lanes, size in (("simd", fold.simd, simd), ("pe", fold.pe, pe)):
            if lanes < 1 or size % lanes:
                raise DesignError(f"{node.name}: {name}={lanes} does not divide {size}; choose a divisor")
        return fold

    # -- what rules do -------------------------------------------------------------------------------------

    def enter(self, index: int) -> Route:
        """The stream of an input of the Graph."""
        node, readers = self.node(index), self.graph.users(index)
        flat = self.uses(index) == len(readers) == 1 and isinstance(self.node(readers[0]).op, Reshape)
        pixels, channels, order = layout((node.type.size,) if flat else node.type.shape)
        wire = Wire(self._input_lanes(index, channels), node.type.bits, node.type.signed)
        route = Route(self.wiring.stream(wire, pixels, channels), order)
        self.offer(index, route)
        return route

    def _input_lanes(self, index: int, channels: int) -> int:
        """Lanes of an input stream: its own Fold, or what the first layer behind it takes."""
        while True:
            node = self.node(index)
            if node.name in self.folding:
                return gcd(self.folding[node.name].simd, channels)
            following = self.graph.users(index)
            if not following:
                return 1
            index = following[0]

    def finish(
        self, index: int, issuer: Issuer, stages: Sequence[Stage], inputs: Sequence[Route],
        bias: IntArray | None = None, code: FloatCode | None = None,
    ) -> None:  # fmt: skip
        """Fuse the elementwise nodes behind node `index`, close the unit with an outlet and offer its result.

        `bias` is what the last stage's results exceed the node's by, per channel; `code` how they are written.
        """
        node, name = self.node(index), self.node(index).name
        pixels, channels, order = layout(node.type.shape)
        if issuer.keeps_order and len(node.type.shape) == 1 and node.type.size == inputs[0].order.size:
            order = inputs[0].order
        made = list(stages)
        for position, following, span in self._behind(index, bias):
            end = made[-1] if made else issuer
            code = self.code(position) if position is not None else None
            values = self.values(following, end.out, span, order)
            made.append(elementwise(following.op, following, values, code))
            if position is not None:
                index = position
                self.fused.add(index)
        out = (made[-1] if made else issuer).out
        output = self.wiring.stream(out, pixels, channels)
        self.wiring.units.append(Unit(name, issuer, tuple(made), tuple(r.stream for r in inputs), output))
        self.offer(index, Route(output, order, code))

    def values(self, node: Node, wire: Wire, span: Span, order: IntArray) -> Values:
        """What the stage of an elementwise node takes."""
        shape = node.type.shape
        channels = order if len(shape) == 1 else layout((shape[0],))[2]
        return Values(wire, span, channels, self.dsp, self.spare_luts)

    def _behind(self, index: int, bias: IntArray | None) -> list[tuple[int | None, Node, Span]]:
        """(position, node, input range) of what fuses behind a node whose sums exceed the true ones by `bias`.

        Without a stage that takes the bias away one is put in, which is no node of the Graph.
        """
        found: list[tuple[int | None, Node, Span]] = []
        at, span = index, self.node(index).type.range
        while (following := self._fusable(at)) is not None:
            found.append((following, self.node(following), span))
            at, span = following, self.node(following).type.range
        if bias is None:
            return found
        kept = self.node(index).type
        if found:
            position, node, span = found[0]
            moved = without_bias(node.op, node, bias)
            if moved is not None:
                return [(position, moved, biased(span, bias)), *found[1:]]
        return [(None, subtraction(self.node(index), bias), biased(kept.range, bias)), *found]

    def code(self, index: int) -> FloatCode | None:
        """The code in which a node's results travel, where they have a shorter one and only products read them."""
        found = code_of(self.node(index).op)
        if found is None or index in self.graph.outputs:
            return None
        return found if all(self._reads(user, found) for user in self.graph.users(index)) else None

    def _reads(self, index: int, code: FloatCode) -> bool:
        answer = reads_code(self.node(index).op, code)
        if answer is not None:
            return answer
        return index not in self.graph.outputs and all(self._reads(u, code) for u in self.graph.users(index))

    def _fusable(self, index: int) -> int | None:
        """The elementwise node that alone uses node `index`, if there is one."""
        if self.uses(index) != 1 or index in self.graph.outputs:
            return None
        (user,) = self.graph.users(index)
        return user if is_elementwise(self.node(user).op) else None


def vector_order(graph: Graph, index: int) -> IntArray:
    """Flat IR index of each value of a wire in the order in which hardware streams it."""
    node = graph.nodes[index]
    while len(node.type.shape) == 1 and node.op.keeps_order:
        index = node.inputs[0]
        node = graph.nodes[index]
    alone = len(graph.users(index)) == 1
    return np.arange(node.type.size) if isinstance(node.op, Input) and alone else layout(node.type.shape)[2]


def subtraction(node: Node, bias: IntArray) -> Node:
    """A Requantize that does nothing but take a constant per channel from what exceeds a node's results by it."""
    op = Requantize(np.array([1]), -bias, 0, *node.type.range, node.type.scale)
    return Node(f"{node.name}.bias", op, (), node.type)


# -- what the files of `units` register on -----------------------------------------------------------------


@singledispatch
def carve_node(op: Op, carving: Carving, index: int) -> None:
    """Make the unit of node `index`, and offer its result."""
    raise DesignError(f"{carving.node(index).name}: {type(op).__name__} has no hardware unit yet")


@singledispatch
def elementwise(op: Op, node: Node, values: Values, code: FloatCode | None) -> Stage:
    """The stage of a node, whose results are written in `code` where there is one."""
    raise DesignError(f"{node.name}: {type(op).__name__} has no hardware unit yet")


def is_elementwise(op: Op) -> bool:
    """Whether an operation can be a stage behind others."""
    return elementwise.dispatch(type(op)) is not elementwise.dispatch(Op)


@singledispatch
def fold_options(op: Op, graph: Graph, index: int, dsp: bool, forced: Forced) -> list[Option]:
    """Every Fold of node `index`, priced with multiplier blocks or without; none where it cannot be folded.

    Only those that the forced parts of its plan fit; DesignError where they fit none.
    """
    del op, graph, index, dsp, forced
    return []


@singledispatch
def without_bias(op: Op, node: Node, bias: IntArray) -> Node | None:
    """The node that gives the same for values that are larger by `bias` (channels,); None where there is no such."""
    del op, node, bias


@singledispatch
def code_of(op: Op) -> FloatCode | None:
    """A code that an operation's results have, shorter than they."""
    del op


@singledispatch
def reads_code(op: Op, code: FloatCode) -> bool | None:
    """Whether an operation reads values in a code; None where it is for those behind it to say."""
    del op, code
    return False
