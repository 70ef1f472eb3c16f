"""The traced form of a network, proved to compute what the network computes before anything is changed."""

import copy
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx import Node
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from intaglio.ir.errors import DataError, ShapeError, UnsupportedLayer
from intaglio.twin.layers import Inputs, each, require_finite, several, shape_of
from intaglio.twin.lower import given, shapes_of
from intaglio.twin.network import Network
from intaglio.twin.prepare import bake, copied
from intaglio.twin.source import place
from intaglio.twin.trace import trace

EXACT = 1e-9
"""How far the traced form may be from the network in float64, relative to the largest output."""

WRITTEN_DOWN = 1e-5
"""The same where computed weights (weight norm and the like) were written down in float32."""


def capture(model: nn.Module, example: Inputs) -> Network:
    """A traced copy of a network that gives the same results on `example` (N, ...), N at least 1.

    Raises:
        UnsupportedLayer: the network cannot be recorded, is no fixed function, or its traced form differs; the
        message names the first operation that differs; ShapeError: it does not accept the example; DataError,
        RangeError: the example, or a parameter, is not finite.
    """
    reference, plain = copied(model), copied(model)
    written = bake(plain)
    for name, module in plain.named_modules():
        if [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            require_finite(name or type(model).__name__, module)
    gm = trace(plain)
    example = given(gm, example)
    if not all(bool(torch.isfinite(part).all()) for part in several(example)):
        raise DataError("the example holds NaN or infinity: clean it first")
    shapes_of(copy.deepcopy(gm).eval(), example)
    _prove(reference, gm, example, WRITTEN_DOWN if written else EXACT)
    return gm


class _Double(TorchFunctionMode):
    """Keeps floating numbers in float64 where a network asks for another precision."""

    _NARROW = (Tensor.float, Tensor.half, Tensor.bfloat16)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func` with float64 in place of every floating type."""
        args, kwargs = pytree.tree_map(_wide, (args, kwargs or {}))
        result = (Tensor.double if func in self._NARROW else func)(*args, **kwargs)
        new = isinstance(result, Tensor) and result.is_floating_point() and result.dtype != torch.float64
        return result.double() if new else result


def _wide(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value.is_floating_point else value


def _prove(reference: nn.Module, gm: Network, example: Inputs, limit: float) -> None:
    """Raise UnsupportedLayer unless the traced form gives what the network gives, in float64."""
    name = type(reference).__name__
    reference, flat = reference.double().eval(), copy.deepcopy(gm).double().eval()
    x = each(example, lambda part: torch.cat([part, part]) if len(part) == 1 else part)
    x = each(x, lambda part: part.double() if part.is_floating_point() else part)
    with torch.no_grad(), _Double():
        expected, again = _run(name, reference, x), _run(name, reference, x)
        found = pytree.tree_leaves(fx.Interpreter(flat).run(*_clones(x)))
        if not _apart(expected, again) <= limit:
            raise UnsupportedLayer(
                f"{name}: gives other results when it is called again; remove what is random or counts calls in "
                f"evaluation (dropout with training=True, a buffer that forward changes)"
            )
        difference = _apart(expected, found)
        if not difference <= limit:
            raise UnsupportedLayer(
                f"{_first_difference(reference, flat, x, limit)}: the recorded network differs here from what torch "
                f"computes (by {difference:.1g} of the largest output); write this part with layers, and without "
                f"changing tensors in place"
            )


def _clones(x: Inputs) -> list[Tensor]:
    return [part.clone() for part in several(x)]


def _run(name: str, model: nn.Module, x: Inputs) -> list[Any]:
    """The outputs of the network as it was given."""
    try:
        return pytree.tree_leaves(model(*_clones(x)))
    except Exception as error:
        reason = str(error).partition("\n")[0]
        samples, shape = len(several(x)[0]), shape_of(each(x, lambda part: part[0]))
        raise ShapeError(
            f"{name}: does not accept a batch of {samples} samples of shape {shape} ({reason}); a network "
            f"takes any number of samples, batch first"
        ) from error


def _apart(expected: list[Any], found: list[Any]) -> float:
    """The largest difference of outputs, relative to the largest value; infinite where their shapes differ."""
    if len(expected) != len(found):
        return float("inf")
    return max((_distance(a, b) for a, b in zip(expected, found, strict=True)), default=0.0)


def _distance(a: Any, b: Any) -> float:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        return 0.0 if type(a) is type(b) else float("inf")  # what is no tensor cannot leave hardware, and is refused
    if a.shape != b.shape:
        return float("inf")
    difference = float((a.double() - b.double()).abs().max()) if a.numel() else 0.0
    return difference / max(float(a.abs().max()), 1e-300) if difference else 0.0


class _Results(fx.Interpreter):
    """Runs a traced network and keeps what each call of a module gives."""

    def __init__(self, gm: Network) -> None:
        super().__init__(gm)
        self.results: list[tuple[Node, Any]] = []

    def run_node(self, n: Node) -> Any:
        """Run one node."""
        value = super().run_node(n)
        if n.op in ("call_module", "call_function", "call_method"):
            self.results.append((n, value))
        return value


def _first_difference(reference: nn.Module, flat: Network, x: Inputs, limit: float) -> str:
    """The first layer whose results differ, or the last operation where all layers agree."""
    seen: dict[str, list[Any]] = defaultdict(list)
    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: seen[name].append(_kept(o)))
        for name, module in reference.named_modules()
    ]
    reference(*_clones(x))
    for handle in handles:
        handle.remove()
    runner = _Results(flat)
    runner.run(*_clones(x))
    for node, value in runner.results:
        wanted = seen.get(str(node.target)) if node.op == "call_module" else None
        if wanted and _apart(pytree.tree_leaves(wanted.pop(0)), pytree.tree_leaves(value)) > limit:
            return place(flat, node)
    return place(flat, runner.results[-1][0]) if runner.results else type(reference).__name__


def _kept(value: Any) -> Any:
    return pytree.tree_map(lambda item: item.clone() if isinstance(item, Tensor) else item, value)
