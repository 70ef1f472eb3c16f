"""Input: where integers enter a Graph."""

from dataclasses import dataclass

from intaglio.ir.errors import ShapeError, shown
from intaglio.ir.op import Op
from intaglio.ir.types import Array, Type


@dataclass(frozen=True, eq=False)
class Input(Op):
    """A wire from outside, of the given Type; the Graph checks every value against it."""

    wire: Type

    def __post_init__(self) -> None:
        if not isinstance(self.wire, Type):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ShapeError(f"wire {shown(self.wire)} is no Type: give shape, range and scale")

    def type(self, *inputs: Type) -> Type:
        return self.wire

    def execute(self, *inputs: Array) -> Array:
        return inputs[0]

    def magnitude(self, *inputs: Type) -> int:
        return self.wire.largest
