"""The layers of a network that methods act on: selectors, and what is required of weights and calibration data."""

import fnmatch
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from intaglio.ir.errors import DataError, RangeError, RecipeError, unknown
from intaglio.ir.window import extent

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""The layers with a `weight` matrix that weight methods act on."""

Batches = Tensor | Iterable[Tensor | tuple[Tensor, Tensor]]
"""Network inputs: one tensor (N, ...), or an iterable of batches `x` or `(x, y)`."""


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


def inputs(data: Batches, limit: int) -> list[Tensor]:
    """The first `limit` samples of `data` as a list of input batches.

    Raises:
        DataError: there are no samples, one is not finite, or the data are no tensors.
    """
    batches: list[Tensor] = []
    left = limit
    for x, *_ in _batches(data):
        if left <= 0:
            break
        if len(x):
            batches.append(x[:left].detach())
            left -= len(x)
    if not batches:
        raise DataError("calibration data are empty: give at least one sample, better some hundred")
    if not all(bool(torch.isfinite(x).all()) for x in batches):
        raise DataError("calibration data hold NaN or infinity: clean them first")
    return batches


def holds_samples(x: object) -> bool:
    """Whether this is an ordinary tensor of at least one axis."""
    return isinstance(x, Tensor) and x.dim() > 0 and x.layout is torch.strided and not x.is_meta


def _batches(data: Batches) -> Iterator[tuple[Tensor, ...]]:
    """Each batch as a tuple that begins with its inputs."""
    whole = data.split(256) if isinstance(data, Tensor) and holds_samples(data) else data
    for batch in whole if isinstance(whole, Iterable) and not isinstance(whole, Tensor) else [whole]:
        parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
        if not parts or not holds_samples(parts[0]):
            found = type(parts[0] if parts else batch).__name__
            raise DataError(
                f"calibration data hold a {found} where inputs should be: give a tensor (samples, ...), or batches x "
                f"or (x, y) of tensors, such as a DataLoader"
            )
        yield parts


def in_precision_of(model: nn.Module, x: Tensor) -> Tensor:
    """Inputs in the precision of the network's parameters; whole numbers stay."""
    kind = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    return x.to(kind) if x.is_floating_point() else x


def all_in_precision_of(model: nn.Module, data: Batches) -> Batches:
    """The same data with inputs in the precision of the network's parameters."""
    if isinstance(data, Tensor):
        return in_precision_of(model, data)
    parts = [(in_precision_of(model, x), rest) for x, *rest in _batches(data)]
    return [(x, *rest) if rest else x for x, rest in parts]  # type: ignore[misc]
