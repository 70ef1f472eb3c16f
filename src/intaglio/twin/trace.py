"""A torch module as a flat torch.fx graph in which every operation is a module."""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx import GraphModule, Node

from intaglio.ir.errors import UnsupportedLayer
from intaglio.twin.flat import insert_module
from intaglio.twin.modules import Add, Concat
from intaglio.twin.network import Network


def _adaptive(x: Any, output_size: Any) -> nn.Module:
    return nn.AdaptiveAvgPool2d(output_size)


def _max_pool(kind: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def build(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> nn.Module:
        return kind(kernel_size, stride, padding, dilation, return_indices, ceil_mode)

    return build


def _average_pool(kind: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def build(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> nn.Module:
        return kind(kernel_size, stride, padding, ceil_mode, count_include_pad)

    return build


def _hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> nn.Module:
    return nn.Hardtanh(min_val, max_val)


def _softmax(kind: Callable[[int | None], nn.Module]) -> Callable[..., nn.Module]:
    def build(x: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> nn.Module:
        return kind(dim)

    return build


def _simple(kind: Callable[[], nn.Module]) -> Callable[..., nn.Module]:
    return lambda *args, **kwargs: kind()


FUNCTIONS: dict[Any, Callable[..., nn.Module]] = {
    F.relu: _simple(nn.ReLU),
    torch.relu: _simple(nn.ReLU),
    "relu": _simple(nn.ReLU),
    "relu_": _simple(nn.ReLU),
    F.relu6: _simple(nn.ReLU6),
    F.hardtanh: _hardtanh,
    F.max_pool1d: _max_pool(nn.MaxPool1d),
    torch.max_pool1d: _max_pool(nn.MaxPool1d),
    F.max_pool2d: _max_pool(nn.MaxPool2d),
    torch.max_pool2d: _max_pool(nn.MaxPool2d),
    F.avg_pool1d: _average_pool(nn.AvgPool1d),
    F.avg_pool2d: _average_pool(nn.AvgPool2d),
    F.adaptive_avg_pool2d: _adaptive,
    F.dropout: _simple(nn.Identity),
    "contiguous": _simple(nn.Identity),
    F.softmax: _softmax(nn.Softmax),
    F.log_softmax: _softmax(nn.LogSoftmax),
    torch.softmax: _softmax(nn.Softmax),
    torch.log_softmax: _softmax(nn.LogSoftmax),
    "softmax": _softmax(nn.Softmax),
    "log_softmax": _softmax(nn.LogSoftmax),
}
"""Functional forms and the modules that replace them."""

ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")


class _Tracer(fx.Tracer):
    """Stops at torch's layers and at our own modules, looks into everything else."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del module_qualified_name
        home = type(m).__module__
        if isinstance(m, nn.Sequential | nn.ModuleList | GraphModule):
            return False
        return home.startswith(("torch.nn.", "torch.ao.", "intaglio.twin.", "intaglio.methods."))


def trace(model: nn.Module) -> GraphModule:
    """A flat GraphModule that shares the submodules of `model` under the same names.

    Functional forms (F.relu, +, torch.cat, ...) become modules named after their place, so that later steps
    see only modules, reshapes and sizes. The forward pass is recorded in evaluation mode.

    Raises:
        UnsupportedLayer: the forward pass depends on data, or uses an operation without a rule.
    """
    if isinstance(model, GraphModule):
        return model
    training = model.training
    model.eval()
    try:
        graph = _Tracer().trace(model)
    except Exception as error:
        raise UnsupportedLayer(
            f"{type(model).__name__}: the forward pass cannot be recorded ({error}); a branch or a loop "
            "that depends "
            f"on tensor values has no fixed hardware: make it a constant, or split the network"
        ) from error
    finally:
        model.train(training)
    module = Network(model, graph, type(model).__name__)
    _modularise(module)
    module.train(training)
    return module


def _modularise(module: GraphModule) -> None:
    """Replace functional operations in place."""
    for node in list(module.graph.nodes):
        if node.op not in ("call_function", "call_method"):
            continue
        replacement = _replacement(node)
        if replacement is not None:
            made, arguments = replacement
            insert_module(module, node, node.name, made, arguments)
    module.graph.lint()
    module.recompile()


def _replacement(node: Node) -> tuple[nn.Module, tuple[Any, ...]] | None:
    """The module for a functional node and its tensor arguments; None to leave the node."""
    if node.target in ADDITIONS:
        operands = node.args[:2]
        if len(operands) == 2 and all(_tensor(item) for item in operands) and not node.kwargs:
            return Add(), operands
        return None
    if node.target in (torch.cat, torch.concat):
        dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        if dim != 1:
            raise UnsupportedLayer(f"{node.name}: concatenation along axis {dim}; only the channel axis 1 is supported")
        return Concat(), tuple(node.args[0])  # type: ignore[arg-type]
    if node.target in FUNCTIONS:
        try:
            return FUNCTIONS[node.target](*node.args, **node.kwargs), (node.args or (node.kwargs["input"],))[:1]
        except TypeError as error:
            raise UnsupportedLayer(f"{node.name}: {error}") from error
    return None


def _tensor(item: Any) -> bool:
    """Whether an argument may be an activation (sizes are call_method size or getattr)."""
    return isinstance(item, Node) and item.op != "get_attr" and item.target not in ("size", getattr, operator.getitem)
