"""What every approximation is: a frozen record of knobs that changes a torch module."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from intaglio.ir.errors import RecipeError, shown, unknown
from intaglio.twin.layers import Batches


@dataclass(frozen=True)
class Choice:
    """A knob of a search space that takes one of the listed values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Span:
    """A knob of a search space in [low, high]; whole numbers only if `integer`."""

    low: float
    high: float
    integer: bool = False


SearchSpace = dict[str, Choice | Span]


class Method(BaseModel):
    """An approximation: knobs, what it does to a network, and what it adds to training.

    `select` says which layers: a name (`conv1`), a glob (`features.*`) or a type (`type:Conv2d`), or a list
    of these. A later method of the same kind wins on the layers that it selects.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    order_free: ClassVar[bool] = True
    select: str | tuple[str, ...] = "*"

    def __init__(self, **knobs: Any) -> None:
        try:
            super().__init__(**knobs)
        except ValidationError as error:
            raise RecipeError(_explain(type(self), error)) from None

    @classmethod
    def key(cls) -> str:
        """The name in a recipe: `FixedPoint` is `fixed_point`."""
        return "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("_")

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """Return the approximated network; may change `model` (the recipe copies once). `data` calibrates."""
        del data
        return model

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor | float:
        """A term added to the training loss of a batch."""
        del model, x, y
        return 0.0

    def step(self, model: nn.Module, progress: float) -> None:
        """Called before every training step, and once at the end with `progress` = 1, for schedules."""
        del model, progress

    def verify(self, model: nn.Module) -> None:
        """Raise StructureError if the structure that this method made in `model` is gone."""
        del model

    def structured(self, whole: np.ndarray) -> bool:
        """Whether a selected layer's integers (outputs, inputs, ...) have the structure that this method leaves.

        The greatest factor that all of them share does not count. A method that leaves weights alone says yes.
        """
        del whole
        return True

    @classmethod
    def space(cls) -> SearchSpace:
        """The knobs that a search may turn, by field name."""
        return {}

    def replaced(self, **knobs: Any) -> Self:
        """A copy with some knobs changed, validated again."""
        return type(self)(**{**self.model_dump(exclude_unset=True), **knobs})


def _explain(method: type[Method], error: ValidationError) -> str:
    """The first validation error as one line: method, key, value, and the nearest valid key."""
    first = min(error.errors(), key=lambda entry: entry["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"]) or "(whole)"
    if first["type"] == "extra_forbidden":
        return unknown(f"{method.key()}: unknown key", key, method.model_fields)
    return f"{method.key()}: {key} = {shown(first['input'])}: {first['msg']}"
