"""The layers of a network that methods act on: selectors, and what is required of weights and calibration data."""

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from intaglio.ir.errors import DataError, RangeError, RecipeError, unknown
from intaglio.ir.window import extent

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""The layers with a `weight` matrix that weight methods act on."""

Inputs = Tensor | tuple[Tensor, ...]
"""What a network takes: one tensor (N, ...), or a tuple of them, one for each argument, all of N samples."""

Batches = Inputs | Iterable[Any]
"""Network inputs: one tensor (N, ...), or an iterable of batches `x` or `(x, y)`.

For a network of several inputs: a tuple of tensors, or an iterable of batches `(p, q)`, `(p, q, y)` or `((p, q), y)`.
"""


def several(x: Inputs) -> tuple[Tensor, ...]:
    """The tensors of a network's inputs, one for each argument."""
    return x if isinstance(x, tuple) else (x,)


def each(x: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    """Inputs whose tensors are all changed in the same way."""
    return tuple(map(change, x)) if isinstance(x, tuple) else change(x)


def shape_of(x: Inputs) -> str:
    """The shapes of inputs, for messages."""
    return " and ".join(str(tuple(part.shape)) for part in several(x))


def matches(name: str, module: nn.Module, select: str | Iterable[str]) -> bool:
    """Whether a selector (name, glob, or `type:Class`) picks this module."""
    for pattern in [select] if isinstance(select, str) else select:
        if pattern.startswith("type:"):
            if any(base.__name__ == pattern[5:] for base in type(module).__mro__):
                return True
        elif fnmatch.fnmatchcase(name, pattern):
            return True
    return False


def added_by_same(layer: nn.Conv1d | nn.Conv2d) -> list[int]:
    """How many zeros per axis padding="same" adds, on both sides together."""
    return [extent(k, d) - 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]


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
        if not all(p.numel() for p in module.parameters()):
            raise RangeError(f"{name}: has no weights; give it at least one input and one output, or leave it out")
    return chosen


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """`model` in evaluation mode; afterwards each of its parts trains, or does not, as it did."""
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, flag in training:
            module.training = flag


def _kind(module: nn.Module) -> str:
    """The class name without torch's `Parametrized` wrapper."""
    return type(module).__name__.removeprefix("Parametrized")


def require_finite(name: str, module: nn.Module) -> None:
    """Raise RangeError naming the layer and the first parameter or statistic that holds a NaN or an infinity.

    So does a batch norm whose variance is not positive.
    """
    for key, value in (*module.named_parameters(), *module.named_buffers()):
        bad = int((~torch.isfinite(value)).sum())
        if bad:
            raise RangeError(
                f"{name}.{key}: {bad} of {value.numel()} values are not finite; the training diverged "
                f"or the file is damaged: load a sound checkpoint"
            )
    variance = getattr(module, "running_var", None)
    if isinstance(variance, Tensor) and bool((variance + getattr(module, "eps", 0.0) <= 0).any()):
        raise RangeError(
            f"{name}.running_var: lowest {float(variance.min()):g}, and a variance and eps must be positive together: "
            f"load a sound checkpoint, or set eps = 1e-5"
        )


def inputs(data: Batches, limit: int) -> list[Inputs]:
    """The first `limit` samples of `data` as a list of input batches.

    Raises:
        DataError: there are no samples, one is not finite, or the data are no tensors.
    """
    batches: list[Inputs] = []
    left = limit
    for x, *_ in _batches(data):
        if left <= 0:
            break
        if len(several(x)[0]):
            batches.append(each(x, lambda part, left=left: part[:left].detach()))
            left -= len(several(x)[0])
    if not batches:
        raise DataError("calibration data are empty: give at least one sample, better some hundred")
    if not all(bool(torch.isfinite(part).all()) for x in batches for part in several(x)):
        raise DataError("calibration data hold NaN or infinity: clean them first")
    return batches


def by_input(data: Batches, names: Sequence[str]) -> Batches:
    """Data of a network with these inputs; several become batches that begin with the tuple of a network's inputs.

    Raises:
        DataError: a batch has not a tensor for each of several inputs.
    """
    if len(names) == 1:
        return data
    whole = tuple(data) if isinstance(data, tuple | list) else ()
    if len(whole) == len(names) and all(map(holds_samples, whole)):
        return [(part,) for part in zip(*(some.split(256) for some in _of_one_length(whole, names)), strict=True)]
    batches = [data] if isinstance(data, Tensor) or not isinstance(data, Iterable) else data
    return [_nested(batch, names) for batch in batches]


def _nested(batch: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """A batch that begins with the tuple of its inputs."""
    parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    if parts and isinstance(parts[0], tuple | list):
        given, rest = tuple(parts[0]), parts[1:]
    else:
        given, rest = parts[: len(names)], parts[len(names) :]
    return (_of_one_length(given, names), *rest)


def _of_one_length(given: tuple[Any, ...], names: Sequence[str]) -> tuple[Tensor, ...]:
    """The tensors of several inputs; DataError where one is missing or has another number of samples."""
    wanted = f"the network takes {len(names)} inputs ({', '.join(names)})"
    if len(given) != len(names) or not all(map(holds_samples, given)):
        kinds = ", ".join(type(part).__name__ for part in given)
        raise DataError(
            f"{wanted}, and the data hold ({kinds}): give a tuple of {len(names)} tensors (samples, ...), or batches "
            f"of them"
        )
    if len({len(part) for part in given}) != 1:
        raise DataError(f"{wanted}, and the data have shapes {shape_of(given)}: give as many samples of each")
    return given


def holds_samples(x: object) -> bool:
    """Whether this is an ordinary tensor of at least one axis."""
    return isinstance(x, Tensor) and x.dim() > 0 and x.layout is torch.strided and not x.is_meta


def _batches(data: Batches) -> Iterator[tuple[Inputs, ...]]:
    """Each batch as a tuple that begins with its inputs."""
    whole = data.split(256) if isinstance(data, Tensor) and holds_samples(data) else data
    for batch in whole if isinstance(whole, Iterable) and not isinstance(whole, Tensor) else [whole]:
        parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
        if not parts or not all(map(holds_samples, parts[0] if isinstance(parts[0], tuple) else parts[:1])):
            found = type(parts[0] if parts else batch).__name__
            raise DataError(
                f"calibration data hold a {found} where inputs should be: give a tensor (samples, ...), or batches x "
                f"or (x, y) of tensors, such as a DataLoader"
            )
        yield parts


def in_precision_of(model: nn.Module, x: Inputs) -> Inputs:
    """Inputs in the precision of the network's parameters; whole numbers stay."""
    kind = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    return each(x, lambda part: part.to(kind) if part.is_floating_point() else part)


def all_in_precision_of(model: nn.Module, data: Batches) -> Batches:
    """The same data with inputs in the precision of the network's parameters."""
    if isinstance(data, Tensor):
        return in_precision_of(model, data)
    parts = [(in_precision_of(model, x), rest) for x, *rest in _batches(data)]
    return [(x, *rest) if rest or isinstance(x, tuple) else x for x, rest in parts]
