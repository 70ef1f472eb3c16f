"""What every approximation is: a frozen record of knobs that changes a torch module."""

import difflib
import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from intaglio.ir.errors import DataError, RangeError, RecipeError

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""The layers with a `weight` matrix that weight methods act on."""

Batches = Tensor | Iterable[Tensor | tuple[Tensor, Tensor]]
"""Network inputs: one tensor (N, ...), or an iterable of batches `x` or `(x, y)`."""


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

    model_config = ConfigDict(frozen=True, extra="forbid")
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
    return f"{method.key()}: {key} = {first['input']!r}: {first['msg']}"


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`what 'name'`, with the nearest of the known names as remedy."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    remedy = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return f"{what} '{name}'; {remedy}"


def matches(name: str, module: nn.Module, select: str | Iterable[str]) -> bool:
    """Whether a selector (name, glob, or `type:Class`) picks this module."""
    for pattern in [select] if isinstance(select, str) else select:
        if pattern.startswith("type:"):
            if any(base.__name__ == pattern[5:] for base in type(module).__mro__):
                return True
        elif fnmatch.fnmatchcase(name, pattern):
            return True
    return False


def weighted_layers(model: nn.Module, select: str | Iterable[str] = "*") -> list[tuple[str, nn.Module]]:
    """The selected layers with weights, in order of definition.

    Raises:
        RecipeError: the selector picks no layer; RangeError: a selected weight is not finite.
    """
    layers: list[tuple[str, nn.Module]] = [
        (name, module) for name, module in model.named_modules() if isinstance(module, WEIGHTED)
    ]
    chosen = [(name, module) for name, module in layers if matches(name, module, select)]
    if not layers:
        raise RecipeError(f"{_kind(model)}: the network has no layer with weights; known: Linear, Conv1d, Conv2d")
    if not chosen:
        pattern = select if isinstance(select, str) else ", ".join(select)
        names = [name for name, _ in layers]
        if pattern.startswith("type:"):
            names = [f"type:{kind}" for kind in sorted({_kind(module) for _, module in layers})]
        raise RecipeError(unknown("no layer with weights is selected by", pattern, names))
    for name, module in chosen:
        require_finite(name, module)
    return chosen


def _kind(module: nn.Module) -> str:
    """The class name without torch's `Parametrized` wrapper."""
    return type(module).__name__.removeprefix("Parametrized")


def require_finite(name: str, module: nn.Module) -> None:
    """Raise RangeError naming the layer and the first parameter or statistic that holds a NaN or an infinity."""
    for key, value in (*module.named_parameters(), *module.named_buffers()):
        bad = int((~torch.isfinite(value)).sum())
        if bad:
            raise RangeError(
                f"{name}.{key}: {bad} of {value.numel()} values are not finite; the training diverged "
                f"or the file is damaged: load a sound checkpoint"
            )


def inputs(data: Batches, limit: int) -> list[Tensor]:
    """The first `limit` samples of `data` as a list of input batches.

    Raises:
        DataError: there are no samples, or one is not finite.
    """
    batches: list[Tensor] = []
    left = limit
    for batch in data.split(256) if isinstance(data, Tensor) else data:
        x = batch if isinstance(batch, Tensor) else batch[0]
        if left <= 0:
            break
        if len(x):
            batches.append(x[:left])
            left -= len(x)
    if not batches:
        raise DataError("calibration data are empty: give at least one sample, better some hundred")
    if not all(bool(torch.isfinite(x).all()) for x in batches):
        raise DataError("calibration data hold NaN or infinity: clean them first")
    return batches
