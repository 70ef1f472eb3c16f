"""What reading one node may do: add to the Graph, turn tensors into integers, say that sums may round, fail."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from intaglio.exchange import stairs
from intaglio.exchange.steps import NOTHING, BinaryStep, Floats, FloatStep, gains, run
from intaglio.exchange.values import (
    EXACT,
    FLOAT,
    Constant,
    Live,
    ReadBorder,
    ReadWire,
    Real,
    Value,
    canonical,
    evaluate,
    grid,
    is_exact,
    rows,
)
from intaglio.ir.affine import unit
from intaglio.ir.errors import DataError, IntaglioError, RangeError, ShapeError, UnsupportedLayer
from intaglio.ir.graph import Builder
from intaglio.ir.op import Op
from intaglio.ir.ops import Input, Lookup, Pad, Requantize, Reshape
from intaglio.ir.types import ONE, Array, Type

MOST_ENTRIES = 1 << 16
"""The largest table that stands for a function that rises and falls."""

FLOOR, PER_BYTE = 1 << 27, 1 << 10
"""Values that float32 operations may be tried on while a file is read, and for each byte of it more."""

NEAR = 2.0**-6
"""How far from a multiple of its scale, in units of it, rounding can have moved a value."""


HUGE = 1e30
"""A value to pad with that is not meant: infinity, or the lowest number of float32."""

_LONGEST = 512
"""Bits of a scale's numerator or denominator: float64, in which integers are scaled, has twice as many."""

_EACH_LEVEL = 64
"""What each level of a staircase costs behind its bisection, in the unit of `State.spend`."""


@dataclass(frozen=True)
class Levels:
    """A quantiser: float32 `steps` that end in integers y, and `after`, steps that give back what they stand for.

    Where the second are (y - zero) * scale with whole zero, they are given as that and `after` is empty.
    """

    steps: tuple[FloatStep, ...]
    zero: int = 0
    scale: tuple[Fraction, ...] = ONE
    after: tuple[FloatStep, ...] = ()


@dataclass(frozen=True)
class Encoder:
    """How real values become the integers of one Input: steps, rounded, less `zero`; without steps by the Type.

    shape: the file's, without the batch axis.  whole: the file's input holds integers.
    """

    name: str
    wire: Type
    shape: tuple[int, ...]
    steps: tuple[FloatStep, ...] = ()
    zero: int = 0
    whole: bool = False

    def __call__(self, values: Array) -> Array:
        """Integers (batch, *wire.shape) for real values (batch, *shape).

        Raises ShapeError for another shape, DataError for what is no number, or no integer of a range that is one.
        """
        real = self._real(np.asarray(values))
        if self.steps:
            with np.errstate(all="ignore"):
                levels = run(self.steps, real, len(self.wire.shape))
            return self._numbers(levels).astype(np.int64) - self.zero
        low, high = self.wire.range
        if self.whole and (real.size and (real.min() < low or real.max() > high or (real != np.rint(real)).any())):
            raise DataError(f"input {self.name!r} takes integers from {low} to {high}: give no others")
        if not np.isfinite(real).all():
            raise DataError(f"input {self.name!r} holds an infinite value: clean the data first")
        return self.wire.quantize(real)

    def _real(self, values: Array) -> Floats:
        if values.dtype.kind not in "biuf":
            raise DataError(f"input {self.name!r} is an array of {values.dtype}: give numbers")
        if values.ndim == 0 or values.shape[1:] != self.shape:
            raise ShapeError(
                f"input {self.name!r} has shape {values.shape}: expected (batch, {str(self.shape)[1:]}, in this order"
            )
        with np.errstate(over="ignore"):
            real = values.astype(np.float32)
        return self._numbers(real).reshape(len(real), *self.wire.shape)

    def _numbers(self, values: Floats) -> Floats:
        if np.isnan(values).any():
            raise DataError(f"input {self.name!r} holds or makes what is not a number (NaN): clean the data first")
        return values


@dataclass
class ReadState:
    """The Graph while it grows, and what was found on the way.

    batch: the extent of every batch axis.  left: on how many more values float32 operations may be tried.
    """

    opsets: Mapping[str, int]
    exact: bool
    batch: int = 1
    left: int = FLOOR
    builder: Builder = field(default_factory=Builder)
    encoders: list[Encoder] = field(default_factory=list[Encoder])
    rounded: list[str] = field(default_factory=list[str])
    _names: set[str] = field(default_factory=set[str])
    _numbers: dict[str, int] = field(default_factory=dict[str, int])

    def spend(self, values: int) -> None:
        """Count work before it is done; DataError where a file asks for more than its size allows."""
        self.left -= values
        if self.left < 0:
            raise DataError(
                "it takes more work or memory than a file of this size may ask for: use smaller pads, kernels and "
                "shapes, or fewer bits"
            )

    def unique(self, name: str) -> str:
        """A node name that the Graph, files and SystemVerilog can bear, not used before."""
        plain = base = re.sub(r"[^\w.]+", "_", name, flags=re.ASCII).strip("_") or "node"
        while plain in self._names:
            self._numbers[base] = self._numbers.get(base, 1) + 1
            plain = f"{base}.{self._numbers[base]}"
        self._names.add(plain)
        return plain


@dataclass(frozen=True)
class ReadScope:
    """The state, and the file's name for the node that is being read."""

    state: ReadState
    name: str
    op: str = ""

    def add(self, op: Op, *inputs: int, part: str = "") -> int:
        """Add an operation; `part` distinguishes the operations of one node."""
        name = self.state.unique(f"{self.name}.{part}" if part else self.name)
        node = self.state.builder.add(name, op, *inputs)
        made = self.state.builder.type(node)
        self.state.spend(made.size)
        if max(max(scale.as_integer_ratio()) for scale in made.scale).bit_length() > _LONGEST:
            raise RangeError("its scale is beyond all numbers: use scales nearer to one")
        return node

    def type(self, x: ReadWire) -> Type:
        """What the Graph's wire carries."""
        return self.state.builder.type(x.node)

    def fail(self, problem: str) -> UnsupportedLayer:
        """The error that names this node."""
        return UnsupportedLayer(f"{self.name} ({self.op}): {problem}")

    def constant(self, value: Value | None, what: str) -> Constant:
        """A parameter, which must be known when the file is read."""
        if not isinstance(value, Constant):
            raise self.fail(f"its {what} is not a constant: fold constants before export")
        return value

    def reals(self, value: Value | None, what: str) -> Floats:
        """A parameter of float32, all of it finite."""
        known = self.constant(value, what).value
        if known.dtype != FLOAT:
            raise self.fail(f"its {what} is of {known.dtype}: only float32 is supported; cast it before export")
        return self.finite(known, what)

    def finite(self, value: Array, what: str) -> Array:
        """The array; DataError where a value is infinite or not a number."""
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise DataError(f"{self.name} ({self.op}): its {what} is not finite: check the file's constants")
        return value

    def may_round(self, why: str) -> None:
        """Note that the file's own float32 sums may round here, or refuse."""
        if self.state.exact:
            raise RangeError(
                f"{self.name} ({self.op}): {why}, so float32 may round and runtimes differ; use scales that are "
                "powers of two, or accept integers that may differ from the file with exact=False"
            )
        self.state.rounded.append(self.name)

    def wire(self, x: Value | None) -> ReadWire:
        """A tensor that has been quantised."""
        x = self.live(x)
        if isinstance(x, Real):
            raise self.fail(f"input {x.name!r} comes here before any quantiser: give input_type, the Type it carries")
        return x

    def live(self, x: Value | None) -> Live:
        """A tensor that depends on an input."""
        if x is None or isinstance(x, Constant):
            raise self.fail("its input is a constant; only its parameters may be")
        return x

    def reshaped(self, x: Live, shape: tuple[int, ...]) -> Live:
        """The same values under another shape of the file, row-major; constants per channel follow."""
        before, after = canonical(x.shape), canonical(shape)
        steps = x.steps
        if before[0] != after[0] and steps.rows > 1:
            if after[0] % before[0]:
                raise ShapeError(f"reshaping {x.shape} to {shape} mixes channels that are scaled differently")
            self.state.spend(len(steps) * after[0])
            each = after[0] // before[0]
            steps = NOTHING.then(*(step.spread(each) if step.rows > 1 else step for step in steps))
        if isinstance(x, ReadWire) and self.type(x).shape != after:
            x = replace(x, node=self.add(Reshape(after), x.node))
        return replace(x, shape=shape, steps=steps)

    def values(self, x: ReadWire, *more: FloatStep) -> Array:
        """What x holds after more steps, for every integer of its range: float32 (rows, integers)."""
        of, steps = self.type(x), x.steps.then(*more)
        low, high = of.range
        count = rows(of, steps)
        if (high - low + 1) * count > stairs.BUDGET:
            raise RangeError(f"{count} x {high - low + 1} values are too many to look at: quantise to fewer bits first")
        self.state.spend((high - low + 1) * count * (1 + len(steps)))
        return evaluate(of, steps, np.tile(np.arange(low, high + 1), (count, 1)))

    def quantised(self, x: Value | None, levels: Levels) -> ReadWire:
        """Levels of a tensor: an Input, or an operation that equals the float32 steps on every integer."""
        if isinstance(x, Real):
            return self._input(x, levels)
        x = self.wire(x)
        if x.dtype != FLOAT:
            raise self.fail(f"quantises a tensor of {x.dtype}: only float32 is supported")
        if (x.steps.then(*levels.steps).directions == 0).any():
            op: Op = self._table(self.values(x, *levels.steps), x, levels)
        else:
            x = self.rising(x)
            op = self._stairs(x, levels)
        return ReadWire(x.shape, NOTHING.then(*levels.after), node=self.add(op, x.node))

    def _stairs(self, x: ReadWire, levels: Levels) -> Op:
        of, steps = self.type(x), x.steps.then(*levels.steps)

        def function(integers: stairs.Integers) -> Floats:
            self.state.spend(integers.size * (1 + len(steps)))
            return evaluate(of, steps, integers)

        found = stairs.stairs(function, rows(of, steps), *of.range)
        self.state.spend(_EACH_LEVEL * found.limits.size)
        slopes = np.abs(gains(steps)) * np.array([float(scale) for scale in of.scale])
        return stairs.operation(found, slopes, levels.scale, levels.zero)

    def _table(self, values: Array, x: ReadWire, levels: Levels) -> Lookup:
        if values.size > MOST_ENTRIES:
            raise self.fail(
                f"a function that rises and falls over {values.shape[1]} values in {len(values)} rows needs too "
                "large a table: quantise before it"
            )
        return stairs.table(values, self.type(x).range[0], levels.scale, levels.zero)

    def _input(self, x: Real, levels: Levels) -> ReadWire:
        """The Graph's Input is what the first quantiser makes of the file's."""
        if any(encoder.name == x.name for encoder in self.state.encoders):
            raise self.fail(f"input {x.name!r} is quantised twice: give input_type, the Type it carries")
        everything = np.array([[-np.inf, np.inf]], np.float32)
        ends = run(x.steps.then(*levels.steps), everything)
        if not np.isfinite(ends).all() or not x.steps.directions.all():
            ends = run(levels.steps, everything)
        if not np.isfinite(ends).all():
            raise self.fail(f"its levels have no end, so input {x.name!r} needs input_type, the Type it carries")
        wire = Type(canonical(x.shape), (int(ends.min()) - levels.zero, int(ends.max()) - levels.zero), levels.scale)
        name = self.state.unique(x.name)
        steps = tuple(x.steps.then(*levels.steps))
        self.state.encoders.append(Encoder(x.name, wire, x.file_shape, steps, levels.zero))
        return ReadWire(x.shape, NOTHING.then(*levels.after), node=self.state.builder.add(name, Input(wire)))

    def rising(self, x: ReadWire) -> ReadWire:
        """The tensor with the channels negated in which it falls, so that it rises in all of them.

        A pass moves the signs into the weights before it.
        """
        signs = x.steps.directions
        if (signs == 0).any():
            return self.integers(x)
        if (signs > 0).all():
            return x
        low, high = self.type(x).range
        bound = max(abs(low), abs(high))
        flip = Requantize.of(signs, 0, (-bound, bound), self.type(x).scale)
        node = self.add(flip, x.node, part="sign")
        return replace(x, node=node, steps=NOTHING.then(BinaryStep("Mul", signs.astype(np.float32)), *x.steps))

    def integers(self, x: Value | None) -> ReadWire:
        """The tensor as integers * scale without steps, as products, sums and pools need it.

        Exactly where float32 allows it; else, if that is accepted, as what the scales mean.
        """
        x = self.wire(x)
        if x.dtype != FLOAT:
            raise self.fail(f"computes with a tensor of {x.dtype}: only float32 is supported")
        if not x.steps:
            if not is_exact(self.type(x)):
                self.may_round("its input is not an exact multiple of a power of two")
            return x
        values = self.values(x)
        step = grid(values)
        scale = self._meant(x, values) if step is None else (step,)
        units = np.array([float(each) for each in scale])[:, None]
        whole = np.rint(values.astype(np.float64) / units).astype(np.int64)
        low = self.type(x).range[0]
        op = stairs.affine(whole, low, scale)
        if op is None and whole.size > MOST_ENTRIES:
            raise self.fail(f"its input takes {whole.shape[1]} values that lie on no line: quantise it first")
        node = self.add(op or Lookup(whole, low, scale), x.node, part="grid")
        return replace(x, node=node, steps=NOTHING)

    def _meant(self, x: ReadWire, values: Array) -> tuple[Fraction, ...]:
        """Scales of which the values are multiples but for the rounding of float32."""
        self.may_round("its input lies on no grid of float32")
        units = np.abs(gains(x.steps)) * np.array([float(scale) for scale in self.type(x).scale])
        ratios = values.astype(np.float64) / np.where(units > 0, units, 1)[:, None]
        if (units == 0).any() or np.abs(ratios - np.rint(ratios)).max() > NEAR:
            raise self.fail("its input lies on no grid: quantise it first")
        return tuple(Fraction(float(unit)) for unit in units)

    def on_grid(self, x: ReadWire, *others: Fraction) -> ReadWire:
        """Integers on one scale, of which all of the tensor's and the others are multiples."""
        scale = self.type(x).scale
        step = unit([*scale, *others])
        if scale == (step,):
            return x
        multiplier = [int(each / step) for each in scale]
        low, high = self.type(x).range
        most = max(multiplier)
        if most >= EXACT:
            raise RangeError(f"its input has scales whose common grid is {most} times finer: quantise it to one scale")
        op = Requantize.of(multiplier, 0, (min(low, low * most), max(high, high * most)), (step,))
        return replace(x, node=self.add(op, x.node, part="grid"))

    def ordinary(self, border: ReadBorder) -> ReadBorder:
        """The border; UnsupportedLayer where its value is infinite or as good as that: only a max pool takes that."""
        if not abs(border.value) < HUGE:
            raise self.fail(f"reads a tensor padded with {border.value:g}: only a MaxPool does so; pad with zeros")
        return border

    def unbordered(self, x: ReadWire) -> ReadWire:
        """The tensor with its border made, by an operation of its own."""
        if x.border is None:
            return x
        border = self.ordinary(x.border)
        top, left, bottom, right = border.sides
        if (top, left) != (bottom, right):
            raise self.fail(f"reads a tensor padded {border.sides}: only a Conv takes a border that is not even")
        x = self.on_grid(self.integers(x), *filter(None, [abs(Fraction(border.value))]))
        value = int(Fraction(border.value) / self.type(x).scale[0])
        return replace(x, node=self.add(Pad((top, left), value), x.node, part="border"), border=None)


def named(scope: ReadScope, error: IntaglioError) -> IntaglioError:
    """The error, naming the node."""
    text = str(error)
    return error if text.startswith(scope.name) else error.__class__(f"{scope.name} ({scope.op}): {text}")
