"""Random integer graphs and foldings, so that hardware is tested on shapes nobody thought of."""

from fractions import Fraction

import numpy as np

from intaglio.hardware.design import Fold
from intaglio.hardware.plan import divisors
from intaglio.ir import ops
from intaglio.ir.graph import Builder, Graph
from intaglio.ir.types import Type


class RandomGraph:
    """Builds one random graph from a seed; `graph` and `folding` are the result."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.builder = Builder()
        self.count = 0
        self.folding: dict[str, Fold] = {}
        self.graph = self._build()

    def inputs(self, frames: int) -> np.ndarray:
        """Random input integers over the whole declared range."""
        kind = self.graph.input_types[0]
        return self.random.integers(kind.range[0], kind.range[1] + 1, (frames, *kind.shape))

    def pick(self, *choices: int) -> int:
        return int(self.random.choice(choices))

    def chance(self, p: float) -> bool:
        return bool(self.random.random() < p)

    def type(self, wire: int) -> Type:
        return self.builder.nodes[wire].type

    def _name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def _fold(self, name: str, inputs: int, outputs: int) -> None:
        simd, pe = divisors(inputs), divisors(outputs)
        serial = self.chance(0.15)
        self.folding[name] = Fold(int(self.random.choice(simd)), int(self.random.choice(pe)), serial)

    def _build(self) -> Graph:
        bits = self.pick(1, 2, 4, 8)
        signed = bits > 1 and self.chance(0.3)
        span = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        image = self.chance(0.75)
        shape = (
            (self.pick(1, 2, 3, 4), self.pick(1, 4, 5, 7, 8), self.pick(1, 3, 6, 8))
            if image
            else (self.pick(3, 8, 12),)
        )
        wire = self.builder.add("x", ops.Input(Type(shape, span)))
        if image:
            for _ in range(self.pick(1, 2, 3)):
                wire = self._image_layer(wire)
            if self.chance(0.6):
                wire = self.builder.add(self._name("flat"), ops.Reshape((self.type(wire).size,)), wire)
                wire = self._dense(wire)
        else:
            for _ in range(self.pick(1, 2, 3)):
                wire = self._dense(wire)
        if len(self.type(wire).shape) == 1 and self.chance(0.3):
            wire = self.builder.add(self._name("argmax"), ops.ArgMax(), wire)
        return self.builder.graph((wire,))

    def _image_layer(self, wire: int) -> int:
        kind = self.pick(0, 0, 0, 1, 2, 3, 4)
        if kind == 1:
            return self._pool(wire)
        if kind == 2:
            return self._residual(wire)
        if kind == 3:
            return self._concat(wire)
        if kind == 4:
            return self._requantize(wire)
        return self._requantize(self._conv(wire))

    def _weights(self, *shape: int) -> np.ndarray:
        """Integers of one of the structures that number formats leave."""
        random, kind = self.random, self.pick(*range(12))
        if kind == 0:
            return random.choice([-1, 1], shape)
        if kind == 1:
            return random.choice([-1, 0, 1], shape)
        if kind == 2:
            return random.choice([-self.pick(1, 3, 5), 0, self.pick(2, 7)], shape)
        if kind == 3:
            return sum(c * random.choice([-1, 1], shape) for c in (1, self.pick(2, 3), self.pick(5, 9)))
        if kind == 4:
            return random.choice([-1, 0, 1], shape) << random.integers(0, self.pick(2, 4, 8), shape)
        if kind == 5:
            return random.integers(-7, 8, shape) << random.integers(0, self.pick(3, 8), shape)
        if kind == 6:
            rows = shape[0], *[1] * (len(shape) - 1)
            return random.integers(-7, 8, shape) << random.integers(0, 6, rows)
        limit = self.pick(1, 3, 7, 127)
        weights = self.random.integers(-limit, limit + 1, shape)
        return weights * (self.random.random(shape) < self.pick(10, 10, 4, 1) / 10)

    def _conv(self, wire: int, outputs: int | None = None, same: bool = False) -> int:
        channels, height, width = self.type(wire).shape
        kernel = (self.pick(1, 2, 3), self.pick(1, 2, 3))
        stride, dilation = (self.pick(1, 1, 2, 3), self.pick(1, 1, 2)), (self.pick(1, 1, 2), self.pick(1, 1, 2))
        padding = (self.pick(0, 1, 2), self.pick(0, 1, 2))
        if same:
            kernel, stride, padding = (3, 3), (1, 1), dilation
        extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        if extent[0] > height + 2 * padding[0] or extent[1] > width + 2 * padding[1]:
            kernel, stride, padding, extent = (1, 1), (1, 1), (0, 0), [1, 1]
        padding = (min(padding[0], extent[0] - 1), min(padding[1], extent[1] - 1))
        groups = self.pick(*divisors(channels)) if self.chance(0.3) else 1
        outputs = outputs or groups * self.pick(1, 2, 3, 4)
        groups = groups if outputs % groups == 0 else 1
        low, high = self.type(wire).range
        pad = int(np.clip(self.pick(0, 0, low, high), *self._representable(wire)))
        name = self._name("conv")
        self._fold(name, channels // groups, outputs // groups)
        return self.builder.add(
            name,
            ops.Conv2d(
                self._weights(outputs, channels // groups, *kernel),
                stride=stride,
                padding=padding,
                dilation=dilation,
                groups=groups,
                pad_value=pad,
            ),
            wire,
        )

    def _representable(self, wire: int) -> tuple[int, int]:
        kind = self.type(wire)
        return (-(1 << kind.bits - 1), (1 << kind.bits - 1) - 1) if kind.signed else (0, (1 << kind.bits) - 1)

    def _dense(self, wire: int) -> int:
        outputs = self.pick(1, 4, 5, 6, 8)
        name = self._name("dense")
        self._fold(name, self.type(wire).size, outputs)
        wire = self.builder.add(name, ops.MatMul(self._weights(outputs, self.type(wire).size)), wire)
        return self._requantize(wire) if self.chance(0.8) else wire

    def _requantize(self, wire: int, scale: tuple[Fraction, ...] = (Fraction(1),)) -> int:
        """A random elementwise operation whose result is on the grid `scale`."""
        kind = self.type(wire)
        bits = self.pick(2, 3, 4, 6, 8)
        signed = self.chance(0.4)
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        channels = kind.shape[0] if self.chance(0.6) else 1
        limit = self.pick(1, 1, 7, 200)
        multiplier = self.random.integers(1, limit + 1, channels)
        reach = max(abs(kind.range[0]), abs(kind.range[1]), 1) * limit
        shift = max(reach.bit_length() - bits - self.pick(0, 1, 2), 0)
        offset = self.random.integers(-reach // 4 - 1, reach // 4 + 2, channels) + (1 << shift >> 1)
        if self.chance(0.2):
            levels = np.sort(
                self.random.integers(kind.range[0], kind.range[1] + 1, (channels, self.pick(1, 2, 3, 7))), axis=1
            )
            return self.builder.add(self._name("threshold"), ops.Threshold(levels, self.pick(0, -1), scale), wire)
        if bits <= 4 and kind.bits <= 6 and self.chance(0.3):
            table = self.random.integers(low, high + 1, (1, kind.range[1] - kind.range[0] + 1))
            return self.builder.add(self._name("lookup"), ops.Lookup(table, kind.range[0], scale), wire)
        return self.builder.add(
            self._name("requantize"), ops.Requantize(multiplier, offset, shift, low, high, scale), wire
        )

    def _pool(self, wire: int) -> int:
        channels, height, width = self.type(wire).shape
        kernel = (min(self.pick(1, 2, 3), height), min(self.pick(1, 2, 3), width))
        stride = (self.pick(1, 2, 3), self.pick(1, 2))
        padding = (self.pick(0, kernel[0] // 2), self.pick(0, kernel[1] // 2))
        name = self._name("pool")
        self._fold(name, channels, 1)
        if self.chance(0.5):
            return self.builder.add(name, ops.MaxPool(kernel, stride, padding), wire)
        return self._requantize(self.builder.add(name, ops.SumPool(kernel, stride, padding), wire))

    def _residual(self, wire: int) -> int:
        channels, multipliers = self.type(wire).shape[0], (self.pick(1, 2, 4), self.pick(1, 1, 3))
        inner = self._conv(wire, channels, same=True)
        if self.chance(0.4):
            inner = self._conv(self._requantize(inner), channels, same=True)
        inner = self._requantize(inner, self._aligned(wire, multipliers))
        total = self.builder.add(self._name("add"), ops.Add(multipliers), inner, wire)
        return self._requantize(total) if self.chance(0.8) or len(self.type(total).scale) > 1 else total

    def _aligned(self, wire: int, multipliers: tuple[int, int]) -> tuple[Fraction, ...]:
        """The grid of a first operand that `multipliers` bring onto that of `wire`."""
        return tuple(s * multipliers[0] / multipliers[1] for s in self.type(wire).scale)

    def _concat(self, wire: int) -> int:
        multipliers = (self.pick(1, 2), self.pick(1, 3))
        right = self._requantize(self._conv(wire, self.pick(2, 4), same=True)) if self.chance(0.6) else wire
        left = self._requantize(self._conv(wire, self.pick(2, 4), same=True), self._aligned(right, multipliers))
        return self.builder.add(self._name("concat"), ops.Concat(multipliers), left, right)


class RandomPorts(RandomGraph):
    """A random graph of two inputs and two outputs: a branch of an image or a vector and one of a vector, joined.

    One output is a head of what is joined, the other another one, a node on the way there, or an input.
    """

    def streams(self, frames: int) -> tuple[np.ndarray, ...]:
        """Random integers over the whole declared range of every input."""
        spans = [(kind.range, kind.shape) for kind in self.graph.input_types]
        return tuple(self.random.integers(low, high + 1, (frames, *shape)) for (low, high), shape in spans)

    def _build(self) -> Graph:
        bits, sizes = self.pick(1, 3, 8), (self.pick(2, 6), self.pick(3, 8))
        shape = (self.pick(1, 2, 3), self.pick(4, 5), self.pick(3, 6)) if self.chance(0.6) else (sizes[0],)
        image = self.builder.add("image", ops.Input(Type(shape, (0, (1 << bits) - 1))))
        vector = self.builder.add("vector", ops.Input(Type((sizes[1],), (-4, 3))))
        left = self._image_layer(image) if len(shape) == 3 else image
        if len(shape) == 3:
            left = self.builder.add(self._name("flat"), ops.Reshape((self.type(left).size,)), left)
        left, right = self._dense(left), self._dense(vector)
        left, right = self._requantize(left), self._requantize(right)
        joined = self.builder.add("join", ops.Concat((1, 1)), left, right)
        head = self._dense(joined)
        other = self._dense(joined) if self.chance(0.4) else self.pick(image, vector, left, right)
        return self.builder.graph((head, other) if self.chance(0.5) else (other, head))
