"""What an operation is: typed constants, a type rule, integer semantics and the work it counts."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt

from intaglio.ir.encodings import Encoding, cheapest, rows_of
from intaglio.ir.errors import RangeError, ShapeError, StructureError
from intaglio.ir.types import MAX_BITS, Array, Type, fractions, width


@dataclass(frozen=True)
class Work:
    """What one evaluation costs, counted: times 0 is nothing, +-1 an add, +-2**k a shift and an add."""

    multiplies: int = 0
    adds: int = 0
    shifts: int = 0
    xnors: int = 0
    lookups: int = 0
    weight_bits: int = 0

    def __add__(self, other: Self) -> "Work":
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Work)))


class Op(ABC):
    """An operation of the Graph: a frozen dataclass (eq=False) of constants, equal by content.

    Arrays passed to `execute` have a leading batch axis. Their memory order is free: the golden model passes
    views whose batch axis is innermost in memory, so that every inner loop is long.
    """

    in_integers: ClassVar[bool] = False
    """Whether `execute` is faster in int32 than in float64."""

    keeps_order: ClassVar[bool] = False
    """Whether value i of a vector comes from the values i of its inputs, in whatever order they stream."""

    @abstractmethod
    def type(self, *inputs: Type) -> Type:
        """Shape, proved range and scale of the result; raises when the inputs do not fit."""

    @abstractmethod
    def execute(self, *inputs: Array) -> Array:
        """THE integer semantics, in the dtype given (float32, float64, int32 or int64); inputs are not modified."""

    @abstractmethod
    def magnitude(self, *inputs: Type) -> int:
        """A bound on |every input and intermediate value|, in any order of summation."""

    def work(self, *inputs: Type) -> Work:
        """Operations and stored bits of one evaluation."""
        return Work()

    def parts(self, *inputs: Type) -> list[tuple[slice, "Op"]]:
        """Operations on ranges of the input's channels that are exact in float32 and whose sum is this one; or none."""
        return []

    def scratch(self, *inputs: Type) -> int:
        """Elements of temporary memory that `execute` needs per sample."""
        return 0

    def constant(self, name: str, dtype: npt.DTypeLike, axes: int = 0) -> Array:
        """Field `name` in a dtype, kept; with `axes`, reshaped (C,) -> (1, C, ..., 1) of so many axes."""
        key = (name, dtype, axes)
        if key not in self._cache:
            value = np.asarray(getattr(self, name)).astype(dtype)
            self._cache[key] = value.reshape(1, -1, *[1] * (axes - 2)) if axes else value
        return self._cache[key]

    def encoded(self, name: str) -> Encoding:
        """Field `name`, an array, in the encoding of the fewest bits, found once."""
        key = ("encoded", name)
        if key not in self._cache:
            self._cache[key] = cheapest(rows_of(getattr(self, name)))
        return self._cache[key]

    @cached_property
    def _cache(self) -> dict[Any, Any]:
        """What is derived from the constants, once."""
        return {}

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _integers(self, name: str, axes: int) -> None:
        """Replace field `name` by a read-only int64 array of that many axes."""
        self._set(name, integers(getattr(self, name), name, axes))

    def _scale(self) -> None:
        self._set("scale", fractions(vars(self)["scale"]))

    def _pairs(self, *names: str, least: int = 1) -> None:
        """Replace fields by pairs of integers >= least."""
        for name in names:
            values = tuple(int(value) for value in getattr(self, name))
            if len(values) != 2 or min(values) < least:
                raise ShapeError(f"{name} {values} is not a pair of integers >= {least}")
            self._set(name, values)

    def values(self) -> dict[str, Any]:
        """The constants by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # pyright: ignore

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, tuple(self.values().values())

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        return tuple(_content(value) for value in self.values().values())

    def __eq__(self, other: object) -> bool:
        return self.__class__ is other.__class__ and isinstance(other, Op) and self._key == other._key

    def __hash__(self) -> int:
        return hash((self.__class__.__name__, self._key))


def _content(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        array = cast(Array, value)
        return array.shape, hashlib.sha256(array.tobytes()).hexdigest()
    return value


def integers(values: npt.ArrayLike, name: str, axes: int) -> npt.NDArray[np.int64]:
    """A read-only int64 copy; StructureError unless integers, RangeError beyond 62 bits, ShapeError."""
    array = np.asarray(values)
    if array.ndim == 0 and axes == 1:
        array = array.reshape(1)
    if array.ndim != axes or 0 in array.shape:
        raise ShapeError(f"{name} has shape {array.shape}: expected {axes} axes, none of them empty")
    if array.dtype.kind not in "biuf" and not all(isinstance(v, int) for v in array.flat):
        raise StructureError(f"{name} of dtype {array.dtype} does not hold integers: quantise it first")
    if array.dtype.kind == "f":
        wrong = array[~(np.isfinite(array) & (np.floor(array) == array))]
        if wrong.size:
            raise StructureError(f"{name} holds {wrong.flat[0]}, not an integer: quantise it first")
    low, high = int(array.min()), int(array.max())
    if width(low, high) > MAX_BITS:
        raise RangeError(
            f"{name} holds {low}..{high}, more than {MAX_BITS} bits: use fewer bits, or "
            "bring the sizes of the layer's weights and biases nearer to each other"
        )
    result = np.array(array, dtype=np.int64, order="C")
    result.flags.writeable = False
    return result


def one_of(name: str, count: int, channels: int) -> None:
    """ShapeError unless a per-channel constant has one entry or one per channel."""
    if count not in (1, channels):
        raise ShapeError(f"{name} has {count} entries for {channels} channels: give one, or one per channel")
