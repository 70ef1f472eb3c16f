"""Carving: from the nodes of a Graph to units and the streams between them."""

from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from intaglio.hardware.carve import (
    biased,
    elementwise_stage,
    listed_beats,
    lookup_stage,
    matmul_stage,
    row_bias,
    sparse_steps,
    subtraction,
    weight_blocks,
    without_bias,
)
from intaglio.hardware.issuers import Add, Concat, Gate, Issuer, Window
from intaglio.hardware.memory import IntArray, signed_bits
from intaglio.hardware.products import FloatCode, float_code, float_product, product
from intaglio.hardware.stages import AlignStage, ArgMaxStage, PoolStage, Stage
from intaglio.hardware.units import UNSIZED, AnyUnit, Fold, Fork, Stream, Unit, Width
from intaglio.ir import ops
from intaglio.ir.errors import DesignError
from intaglio.ir.graph import Graph, Node

ELEMENTWISE = (ops.Requantize, ops.Threshold, ops.Lookup)
WIDEST_WINDOW = 30  # bits of a value in ig_window, whose padding is a 32-bit parameter


@dataclass
class Route:
    """Where a wire's values travel: a stream, and the flat IR index of each value in stream order.

    `code` says how values are written when they are not plain integers; `align` is what the product that reads
    them still has to do to them.
    """

    stream: int
    order: IntArray
    pixels: int
    channels: int
    code: FloatCode | None = None
    align: ops.Align | None = None


class Carver:
    """Carves a Graph node by node; `units` and `streams` grow in topological order."""

    def __init__(self, graph: Graph, folding: dict[str, Fold], dsp: bool, spare_luts: bool) -> None:
        self.graph, self.folding, self.dsp, self.spare_luts = graph, folding, dsp, spare_luts
        self.units: list[AnyUnit] = []
        self.streams: list[Stream] = []
        self.routes: dict[int, list[Route]] = {}
        self.fused: set[int] = set()
        self.uses = [0] * len(graph.nodes)
        for node in graph.nodes:
            for i in node.inputs:
                self.uses[i] += 1
        for i in graph.outputs:
            self.uses[i] += 1

    def carve(self) -> tuple[Route, Route]:
        """Carve every node; the routes of what enters and of what leaves."""
        graph = self.graph
        inputs = [i for i, n in enumerate(graph.nodes) if isinstance(n.op, ops.Input)]
        if len(inputs) != 1 or len(graph.outputs) != 1:
            raise DesignError(
                f"hardware has one input and one output stream; this graph has {len(inputs)} inputs "
                f"and {len(graph.outputs)} outputs: combine them before lowering"
            )
        self._check_folding()
        source = self._input(inputs[0])
        for index in range(len(graph.nodes)):
            if index not in self.fused:
                self._node(index)
        return source, self.routes[graph.outputs[0]].pop()

    def _check_folding(self) -> None:
        unknown = set(self.folding) - {n.name for n in self.graph.nodes}
        if unknown:
            raise DesignError(f"folding names layers that the graph lacks: {', '.join(sorted(unknown))}")

    # -- wires ---------------------------------------------------------------------------------------------

    def _stream(self, lanes: int, bits: int, signed: bool, pixels: int, channels: int) -> int:
        self.streams.append(Stream(lanes, bits, signed, pixels, channels))
        return len(self.streams) - 1

    def _offer(self, index: int, route: Route) -> None:
        """Make `route` available to every use of node `index`, through a fork if there are several."""
        uses = self.uses[index]
        if uses == 0:
            raise DesignError(f"{self.graph.nodes[index].name}: nothing reads its result; remove it from the graph")
        if uses == 1:
            self.routes[index] = [route]
            return
        copies = [self._copy(route.stream) for _ in range(uses)]
        self.units.append(Fork(f"{self.graph.nodes[index].name}.fork", route.stream, tuple(copies), (UNSIZED,) * uses))
        self.routes[index] = [replace(route, stream=copy) for copy in reversed(copies)]

    def _copy(self, stream: int) -> int:
        self.streams.append(self.streams[stream])
        return len(self.streams) - 1

    def _take(self, index: int, lanes: int | None, user: str) -> Route:
        """A use of node `index`, converted to `lanes` lanes (None: as it comes)."""
        route = self.routes[index].pop()
        have = self.streams[route.stream].lanes
        if lanes is None or lanes == have:
            return route
        common = gcd(have, lanes)
        for step in [common, lanes]:
            route = self._convert(route, step, user)
        return route

    def _convert(self, route: Route, lanes: int, user: str) -> Route:
        stream = self.streams[route.stream]
        if stream.lanes == lanes:
            return route
        new = self._stream(lanes, stream.bits, stream.signed, stream.pixels, stream.channels)
        self.units.append(Width(f"{user}.width{new}", route.stream, new))
        return replace(route, stream=new)

    # -- nodes ---------------------------------------------------------------------------------------------

    def _input(self, index: int) -> Route:
        node = self.graph.nodes[index]
        users = self.graph.users(index)
        flat = len(users) == 1 and isinstance(self.graph.nodes[users[0]].op, ops.Reshape)
        pixels, channels, order = _layout((node.type.size,) if flat else node.type.shape)
        lanes = self._input_lanes(index, channels)
        route = Route(self._stream(lanes, node.type.bits, node.type.signed, pixels, channels), order, pixels, channels)
        self._offer(index, route)
        return route

    def _input_lanes(self, index: int, channels: int) -> int:
        """Lanes of the input stream: its own Fold, or what the first layer behind it takes."""
        while True:
            node = self.graph.nodes[index]
            if node.name in self.folding:
                return gcd(self.folding[node.name].simd, channels)
            following = self.graph.users(index)
            if not following:
                return 1
            index = following[0]

    def _node(self, index: int) -> None:
        """Carve node `index` and the elementwise nodes fused behind it."""
        node = self.graph.nodes[index]
        match node.op:
            case ops.Input():
                pass
            case ops.Reshape():
                self._reshape(index, node)
            case ops.MatMul() | ops.Conv2d():
                self._matmul(index, node, node.op)
            case ops.MaxPool() | ops.SumPool():
                self._pool(index, node, node.op)
            case ops.Align():
                self._align(index, node, node.op)
            case ops.Add():
                self._add(index, node, node.op)
            case ops.Concat():
                self._concat(index, node, node.op)
            case ops.ArgMax():
                self._argmax(index, node)
            case ops.Requantize() | ops.Threshold() | ops.Lookup():
                self._elementwise(index, node)
            case _:
                raise DesignError(f"{node.name}: {type(node.op).__name__} has no hardware unit yet")

    def _fold(self, node: Node, simd: int, pe: int) -> Fold:
        fold = self.folding.get(node.name, Fold())
        for name, lanes, size in (("simd", fold.simd, simd), ("pe", fold.pe, pe)):
            if lanes < 1 or size % lanes:
                raise DesignError(f"{node.name}: {name}={lanes} does not divide {size}; choose a divisor")
        return fold

    def _reshape(self, index: int, node: Node) -> None:
        route = self._take(node.inputs[0], None, node.name)
        pixels, channels, order = _layout(node.type.shape)
        if len(node.type.shape) == 1:
            order = route.order
        elif not np.array_equal(order, route.order):
            raise DesignError(
                f"{node.name}: reshaping to {node.type.shape} would reorder the stream; flatten to a vector instead"
            )
        self._offer(index, replace(route, order=order, pixels=pixels, channels=channels))

    def _matmul(self, index: int, node: Node, op: ops.MatMul | ops.Conv2d) -> None:
        source = self.graph.nodes[node.inputs[0]].type
        groups = 1 if isinstance(op, ops.MatMul) else op.groups
        fold = self._fold(node, source.shape[0] // groups, op.weight.shape[0] // groups)
        route = self._take(node.inputs[0], fold.simd, node.name)
        stream = self.streams[route.stream]
        aligned = self._mantissas(route, fold.simd)
        plain = route.code is None and aligned is None
        serial = fold.serial and stream.bits > 1 and plain
        dsp = self.dsp and not serial
        if route.code is not None:
            form = float_product(op.weight, route.code)
        else:
            form = product(op.weight, stream.bits, stream.signed, dsp, serial, exact=aligned is not None)
        weights, codes = (weight_blocks(op, fold.simd, fold.pe, route.order, v) for v in (None, form.codes))
        steps = sparse_steps(op, weights, fold.simd)
        skipped = np.zeros(weights.shape[:2], dtype=np.bool_) if steps is None else ~listed_beats(weights)
        bias = None
        if form.excess is not None:
            bias = row_bias(weight_blocks(op, fold.simd, fold.pe, route.order, form.excess), skipped)
        window = replace(
            _window(node.name, stream, source.shape, op),
            spare_luts=self.spare_luts,
            folds=op.weight.shape[0] // groups // fold.pe,
            steps=steps,
            repeat=stream.bits if serial else 1,
        )
        signed = stream.signed if route.code is None else route.code.signed
        bits = stream.bits if aligned is None else aligned.mantissa
        core = matmul_stage(node, form, codes, skipped, bias, bits, signed, dsp, serial)
        if aligned is None:
            self._finish(index, node, window, [core], [route], bias)
        else:
            core = replace(core, activation_shift=aligned.shift_bits)
            self._finish(index, node, window, [aligned, core], [route], bias)

    def _mantissas(self, route: Route, lanes: int) -> AlignStage | None:
        """The alignment in front of a product, whose block is a beat."""
        if route.align is None:
            return None
        stream = self.streams[route.stream]
        mantissa = route.align.mantissa + stream.signed
        shift_bits = (stream.bits - mantissa).bit_length()
        return AlignStage(lanes, stream.bits, stream.signed, lanes, mantissa, shift_bits)

    def _align(self, index: int, node: Node, op: ops.Align) -> None:
        """A unit of its own, or a part of the product behind it when that takes a block per beat."""
        waiting = self.routes[node.inputs[0]][-1]
        have = self.streams[waiting.stream]
        blocks = np.sort(waiting.order.reshape(-1, op.block), axis=1)
        if len(node.type.shape) == 1 and ((np.diff(blocks, axis=1) != 1).any() or (blocks[:, 0] % op.block).any()):
            raise DesignError(f"{node.name}: aligns a flattened image, which streams pixel by pixel: align before it")
        if self._takes_blocks(index, op) and have.bits > op.mantissa + have.signed:
            route = self._take(node.inputs[0], None, node.name)
            self._offer(index, replace(route, align=op))
            return
        route = self._take(node.inputs[0], have.lanes if have.lanes % op.block == 0 else op.block, node.name)
        stream = self.streams[route.stream]
        mantissa = op.mantissa + stream.signed
        stage = AlignStage(stream.lanes, stream.bits, stream.signed, op.block, mantissa)
        self._finish(index, node, Gate(stream.lanes, stream.bits, stream.signed), [stage], [route])

    def _takes_blocks(self, index: int, op: ops.Align) -> bool:
        """Whether one product alone reads the blocks, one per beat; zeros of its padding are blocks, too."""
        node = self.graph.nodes[index]
        while self.uses[index] == 1 and index not in self.graph.outputs:
            (index,) = self.graph.users(index)
            node = self.graph.nodes[index]
            if not isinstance(node.op, ops.Reshape):
                break
        if not isinstance(node.op, ops.MatMul | ops.Conv2d):
            return False
        padded = isinstance(node.op, ops.Conv2d) and any(node.op.padding) and node.op.pad_value != 0
        return not padded and self.folding.get(node.name, Fold()).simd == op.block

    def _pool(self, index: int, node: Node, op: ops.MaxPool | ops.SumPool) -> None:
        source = self.graph.nodes[node.inputs[0]].type
        fold = self._fold(node, source.shape[0], 1)
        route = self._take(node.inputs[0], fold.simd, node.name)
        stream = self.streams[route.stream]
        total = isinstance(op, ops.SumPool)
        window = replace(_window(node.name, stream, source.shape, op), spare_luts=self.spare_luts)
        window = replace(
            window,
            groups=source.shape[0] // fold.simd,
            pad_value=0 if total else (-(1 << stream.bits - 1) if stream.signed else 0),
        )
        bits = node.type.bits + (stream.signed and not node.type.signed) if total else stream.bits
        self._finish(index, node, window, [PoolStage(fold.simd, stream.bits, stream.signed, bits, total)], [route])

    def _add(self, index: int, node: Node, op: ops.Add) -> None:
        a = self._take(node.inputs[0], None, node.name)
        b = self._take(node.inputs[1], self.streams[a.stream].lanes, node.name)
        if not np.array_equal(a.order, b.order):
            raise DesignError(f"{node.name}: its two inputs stream their values in different orders")
        sa, sb = self.streams[a.stream], self.streams[b.stream]
        m0, m1 = (int(m) for m in op.multipliers)
        issuer = Add(sa.lanes, (sa.bits, sb.bits), (sa.signed, sb.signed), (m0, m1), signed_bits(*node.type.range))
        self._finish(index, node, issuer, [], [a, b])

    def _concat(self, index: int, node: Node, op: ops.Concat) -> None:
        if len(node.inputs) != 2:
            raise DesignError(f"{node.name}: concatenates {len(node.inputs)} tensors; the unit joins two, so nest them")
        types = [self.graph.nodes[i].type for i in node.inputs]
        channels = [t.shape[0] for t in types]
        first = self.streams[self.routes[node.inputs[0]][-1].stream]
        lanes = gcd(first.lanes, *channels)
        a, b = (self._take(i, lanes, node.name) for i in node.inputs)
        if len(types[0].shape) == 1 and not all(np.array_equal(r.order, np.arange(r.order.size)) for r in (a, b)):
            raise DesignError(f"{node.name}: concatenates flattened images; concatenate before flattening")
        sa, sb = self.streams[a.stream], self.streams[b.stream]
        m0, m1 = (int(m) for m in op.multipliers)
        issuer = Concat(
            lanes,
            (sa.bits, sb.bits),
            (sa.signed, sb.signed),
            (channels[0] // lanes, channels[1] // lanes),
            (m0, m1),
            node.type.bits,
            node.type.signed,
        )
        self._finish(index, node, issuer, [], [a, b])

    def _argmax(self, index: int, node: Node) -> None:
        route = self._take(node.inputs[0], None, node.name)
        stream = self.streams[route.stream]
        if not np.array_equal(route.order, np.arange(route.order.size)):
            raise DesignError(f"{node.name}: argmax over an image streams pixels first; flatten through a layer first")
        beats = route.order.size // stream.lanes
        stage = ArgMaxStage(stream.lanes, stream.bits, stream.signed, beats, node.type.bits)
        self._finish(index, node, Gate(stream.lanes, stream.bits, stream.signed, beats), [stage], [route])

    def _elementwise(self, index: int, node: Node) -> None:
        route = self._take(node.inputs[0], None, node.name)
        stream = self.streams[route.stream]
        span = self.graph.nodes[node.inputs[0]].type.range
        code = self._code(index, node)
        stage = self._stage(node, span, stream.lanes, stream.bits, stream.signed, route.order, code)
        self._finish(index, node, Gate(stream.lanes, stream.bits, stream.signed), [stage], [route])

    # -- finishing a unit ----------------------------------------------------------------------------------

    def _stage(
        self,
        node: Node,
        span: tuple[int, int],
        lanes: int,
        bits: int,
        signed: bool,
        order: IntArray,
        code: FloatCode | None = None,
    ) -> Stage:
        if code is not None and isinstance(node.op, ops.Lookup):
            return lookup_stage(node.name, node.op, lanes, bits, signed, code)
        shape = node.type.shape
        channels = order if len(shape) == 1 else np.arange(shape[0])
        return elementwise_stage(node, span, lanes, bits, signed, channels, self.dsp, self.spare_luts)

    def _elementwise_behind(self, index: int, bias: IntArray | None) -> list[tuple[int, Node, tuple[int, int]]]:
        """(position, node, input range) of what fuses behind a node whose sums exceed the true ones by `bias`."""
        found: list[tuple[int, Node, tuple[int, int]]] = []
        span = self.graph.nodes[index].type.range
        while (following := self._fusable(index)) is not None:
            found.append((following, self.graph.nodes[following], span))
            index, span = following, self.graph.nodes[following].type.range
        if bias is None or not bias.any():
            return found
        if found and not isinstance(found[0][1].op, ops.Lookup):
            position, node, span = found[0]
            return [(position, without_bias(node, bias), biased(span, bias)), *found[1:]]
        node = self.graph.nodes[index if not found else self.graph.nodes[found[0][0]].inputs[0]]
        return [(-1, subtraction(node.name, node.type, bias), biased(node.type.range, bias)), *found]

    def _finish(
        self,
        index: int,
        node: Node,
        issuer: Window | Gate | Add | Concat,
        stages: list[Stage],
        inputs: list[Route],
        bias: IntArray | None = None,
    ) -> None:
        """Fuse the elementwise nodes behind `node`, close the unit with an outlet and offer its result.

        `bias` is what the last stage's results exceed the node's by, per channel.
        """
        keeps_order = isinstance(issuer, Gate | Add) and len(node.type.shape) == 1
        pixels, channels, order = _layout(node.type.shape)
        order = inputs[0].order if keeps_order and not isinstance(node.op, ops.ArgMax) else order
        end: Stage | Issuer = stages[-1] if stages else issuer
        lanes = stages[-1].out_lanes if stages else issuer.lanes
        code = inputs[0].code if isinstance(node.op, ops.MaxPool) else self._code(index, node)
        for position, following, span in self._elementwise_behind(index, bias):
            code = self._code(position, following)
            end = self._stage(following, span, lanes, end.out_bits, end.out_signed, order, code)
            stages.append(end)
            if position >= 0:
                index = position
                self.fused.add(index)
        output = self._stream(lanes, end.out_bits, end.out_signed, pixels, channels)
        self.units.append(Unit(node.name, issuer, tuple(stages), tuple(r.stream for r in inputs), output))
        self._offer(index, Route(output, order, pixels, channels, code))

    def _code(self, index: int, node: Node) -> FloatCode | None:
        """The code in which a Lookup's results travel, where only products (behind pools and reshapes) read them."""
        found = float_code(node.op.table[0]) if isinstance(node.op, ops.Lookup) else None
        if found is None or index in self.graph.outputs:
            return None
        return found[0] if all(self._reads_code(user, found[0]) for user in self.graph.users(index)) else None

    def _reads_code(self, index: int, code: FloatCode) -> bool:
        op = self.graph.nodes[index].op
        if isinstance(op, ops.MatMul | ops.Conv2d):
            return not isinstance(op, ops.Conv2d) or not any(op.padding) or op.pad_value == 0
        if not isinstance(op, ops.Reshape) and (code.signed or not isinstance(op, ops.MaxPool)):
            return False
        return index not in self.graph.outputs and all(self._reads_code(u, code) for u in self.graph.users(index))

    def _fusable(self, index: int) -> int | None:
        """The elementwise node that alone uses node `index`, if there is one."""
        if self.uses[index] != 1 or index in self.graph.outputs:
            return None
        user = self.graph.users(index)[0]
        return user if isinstance(self.graph.nodes[user].op, ELEMENTWISE) else None


def vector_order(graph: Graph, index: int) -> IntArray:
    """Flat IR index of each value of a wire in the order in which the hardware streams it."""
    node = graph.nodes[index]
    while len(node.type.shape) == 1 and isinstance(node.op, (*ELEMENTWISE, ops.Reshape, ops.Add)):
        index = node.inputs[0]
        node = graph.nodes[index]
    alone = len(graph.users(index)) == 1
    return np.arange(node.type.size) if isinstance(node.op, ops.Input) and alone else _layout(node.type.shape)[2]


def _layout(shape: tuple[int, ...]) -> tuple[int, int, IntArray]:
    """(pixels, channels, order) of a tensor streamed pixel by pixel, channels innermost."""
    if len(shape) == 1:
        return 1, shape[0], np.arange(shape[0])
    order = np.arange(int(np.prod(shape))).reshape(shape)
    return shape[1] * shape[2], shape[0], order.transpose(1, 2, 0).reshape(-1)


def _window(
    name: str, stream: Stream, shape: tuple[int, ...], op: ops.MatMul | ops.Conv2d | ops.MaxPool | ops.SumPool
) -> Window:
    channels, height, width = shape if len(shape) == 3 else (shape[0], 1, 1)
    if stream.bits > WIDEST_WINDOW:
        raise DesignError(
            f"{name}: its input has {stream.bits} bits, and a window carries at most {WIDEST_WINDOW}; "
            "requantise it first"
        )
    window = Window(stream.lanes, stream.bits, stream.signed, height, width, channels)
    if isinstance(op, ops.MatMul):
        return window
    kernel = op.weight.shape[2:] if isinstance(op, ops.Conv2d) else op.kernel
    dilation = (1, 1) if isinstance(op, ops.SumPool) else op.dilation
    window = replace(
        window, kernel=tuple(kernel), stride=tuple(op.stride), padding=tuple(op.padding), dilation=tuple(dilation)
    )
    if any(p >= e for p, e in zip(op.padding, window.extent, strict=True)):
        raise DesignError(
            f"{name}: padding {op.padding} makes windows without any pixel of the image "
            f"({window.extent[0]} x {window.extent[1]}); pad less than the kernel's extent"
        )
    if not isinstance(op, ops.Conv2d):
        return window
    low, high = (-(1 << stream.bits - 1), (1 << stream.bits - 1) - 1) if stream.signed else (0, (1 << stream.bits) - 1)
    if max(op.padding) and not low <= op.pad_value <= high:
        raise DesignError(
            f"{name}: pad value {op.pad_value} does not fit the input's {stream.bits} bits; "
            "widen the activation or pad with a value in its range"
        )
    return replace(window, groups=op.groups, pad_value=int(op.pad_value))
